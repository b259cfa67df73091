//! What a store could not do. A refusal by the rules is no error; see the core's `Rejection`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Chance;

/// A failure of the store: what was attempted, and why it did not go.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused to read or write.
    #[error("cannot {attempt} {}: {source}", path.display())]
    Io {
        /// What was attempted: `read`, `write`, `sync`, …
        attempt: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// What stands on the disk is not what was written there.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there, and the way out.
        what: String,
    },
    /// Another process has the data directory.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The directory was written by a version that this one does not know.
    #[error("{} has format {found}, and this version reads up to {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u16,
        /// The newest known.
        known: u16,
    },
    /// The journal is as long as one can be. It can still be read.
    #[error("{} is full: no journal is longer than {longest} bytes", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// How long it can be.
        longest: u64,
    },
    /// An earlier write or sync failed, so nothing more is taken in until a restart.
    #[error("the store stopped after a failure: {cause}")]
    Poisoned {
        /// The failure, in words.
        cause: Arc<str>,
    },
}

impl StoreError {
    /// The error of an operating system call on `path`.
    pub fn io(attempt: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { attempt, path: path.into(), source: Arc::new(source) }
    }

    /// What is left to be done after this error of a shared store.
    pub fn chance(&self) -> Chance {
        Chance::Never
    }
}
