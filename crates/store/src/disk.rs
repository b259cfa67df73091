//! The disk as the journal sees it: the few calls that it makes, and no more.
//!
//! The journal talks to a [`Disk`]; that is [`RealDisk`] in a server and
//! [`FaultyDisk`](crate::faulty::FaultyDisk) in tests that crash and tear.

pub mod real;

use std::any::Any;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

use crate::StoreError;

/// What a disk writes at once: what is written past the cache begins, ends and lies in memory at a
/// multiple of it.
pub const BLOCK: usize = 4096;

/// Holds a file lock for as long as it lives.
pub type Lock = Box<dyn Any + Send + Sync>;

/// The calls on folders and names. All paths of one folder are given in the same spelling.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file that exists, to read and write.
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError>;

    /// Opens a file that exists, to read only.
    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError>;

    /// How many files may be kept open to read from. At most as many again are open for a while.
    fn open_files(&self) -> usize {
        256
    }

    /// Makes an empty file, or empties the one that is there. Its name is durable only after
    /// `sync_dir`.
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError>;

    /// Whether there is a file or folder of this name.
    fn exists(&self, path: &Path) -> Result<bool, StoreError>;

    /// Makes the folder and those above it, unless they are there.
    fn create_dir(&self, path: &Path) -> Result<(), StoreError>;

    /// The names of the files in a folder, sorted.
    fn list(&self, dir: &Path) -> Result<Vec<String>, StoreError>;

    /// Gives a file another name in the same folder, in place of the file that had it.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), StoreError>;

    /// Makes the names of a folder durable: files made, renamed and removed in it.
    fn sync_dir(&self, dir: &Path) -> Result<(), StoreError>;

    /// Locks `path`, making the file if it is not there, until the lock is dropped or the
    /// process ends. `None` if somebody else has it.
    fn lock(&self, path: &Path) -> Result<Option<Lock>, StoreError>;
}

/// An open file. Threads may share it, as no call moves a cursor.
pub trait DiskFile: Send + Sync {
    /// The path under which it was opened, for messages.
    fn path(&self) -> &Path;

    /// Fills `bytes` from `offset` on; an error if the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError>;

    /// As `read_at`, if that need not wait for the disk; `false` if it must, or if nobody can tell.
    /// Then nobody knows what is in the bytes, and they are still to be read.
    fn read_at_once(&self, bytes: &mut [u8], offset: u64) -> Result<bool, StoreError> {
        self.read_at(bytes, offset).map(|()| true)
    }

    /// Tells that reads will jump about, so that what lies beside them is not fetched too.
    fn will_jump(&self) {}

    /// Tells that `len` bytes from `offset` on will be read. A disk fetches all that it was
    /// told of at the same time, and none of these calls waits for it.
    fn will_read(&self, offset: u64, len: usize) {
        let _ = (offset, len);
    }

    /// Writes all of `parts`, one after the other, from `offset` on.
    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<(), StoreError>;

    /// Writes `bytes` at `offset`, all of it whole blocks, past the operating system's cache where
    /// the file system can. What others read after that is what was written.
    fn write_blocks(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        self.write_at(&[IoSlice::new(bytes)], offset)
    }

    /// Makes what was written durable, and the length (`fdatasync`). After an error nobody
    /// knows what is durable, and a second call that succeeds proves nothing.
    fn sync(&self) -> Result<(), StoreError>;

    /// The length in bytes.
    fn len(&self) -> Result<u64, StoreError>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> Result<bool, StoreError> {
        self.len().map(|len| len == 0)
    }

    /// Cuts the file, or lengthens it by zeros.
    fn set_len(&self, len: u64) -> Result<(), StoreError>;
}
