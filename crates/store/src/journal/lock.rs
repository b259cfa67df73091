//! One process a directory: the lock that a log holds from its opening to its last write.
//!
//! It is an advisory lock on the file `LOCK`, which the system drops with the process.

use std::path::Path;

use crate::StoreError;
use crate::disk::{Disk, Lock};

/// The name of the file that is locked. Its content means nothing.
pub const LOCK_NAME: &str = "LOCK";

/// Locks `dir` until the lock is dropped.
///
/// # Errors
/// [`StoreError::InUse`] if another log has it, in this process or in another.
pub fn lock(disk: &dyn Disk, dir: &Path) -> Result<Lock, StoreError> {
    disk.lock(&dir.join(LOCK_NAME))?.ok_or_else(|| StoreError::InUse { path: dir.to_owned() })
}
