//! What a store could not do. A refusal by the rules is no error; see the core's `Rejection`.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Chance;
use crate::postgres::{Failure, words};

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
    /// What is said of where the database is, and how to get there, is wrong. The password is
    /// never repeated.
    #[error("the address of the database is wrong: {what}")]
    Address {
        /// What is wrong with it.
        what: String,
    },
    /// The database failed, refused, or was not reached.
    #[error("cannot {attempt}: {}", words(cause.as_ref()))]
    Database {
        /// What was attempted.
        attempt: &'static str,
        /// What it means for who asked.
        failure: Failure,
        /// The server's SQLSTATE, if the server said something.
        code: Option<String>,
        /// What the driver or the server said; it is in the words of this error already.
        cause: Arc<dyn Error + Send + Sync>,
    },
    /// The database cannot hold the ledger as it is.
    #[error("the database cannot be used: {what}")]
    Unfit {
        /// What is in the way.
        what: String,
    },
    /// The connection broke while a commit was under way, and whether it was done cannot be found
    /// out.
    #[error("cannot {attempt}, and whether it was done is not known: {cause}")]
    Unknown {
        /// What was attempted.
        attempt: &'static str,
        /// Why that is not known.
        cause: Arc<str>,
    },
    /// Between a transaction's first statement and its last the connection was lost, or others
    /// were there first. Nothing was done.
    #[error("others came in between, and nothing was done")]
    Overtaken,
    /// What stands in the database is not what was written there.
    #[error("{place} is damaged: {what}")]
    Damaged {
        /// The row.
        place: String,
        /// What is wrong with it.
        what: String,
    },
    /// The database has the schema of another version.
    #[error("{}", wrong_schema(*found, *known))]
    Schema {
        /// The step found; 0 if there is none.
        found: i32,
        /// The newest known.
        known: i32,
    },
}

fn wrong_schema(found: i32, known: i32) -> String {
    if found == 0 {
        return "there is no ledger in the database yet; run `tongjang migrate`".to_owned();
    }
    let way_out = if found < known { "run `tongjang migrate`" } else { "run a newer version" };
    format!("the database has schema {found}, and this version needs {known}; {way_out}")
}

impl StoreError {
    /// The error of an operating system call on `path`.
    pub fn io(attempt: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { attempt, path: path.into(), source: Arc::new(source) }
    }

    /// The error of a call to the database.
    pub fn database(attempt: &'static str, cause: tokio_postgres::Error) -> Self {
        let failure = Failure::of(&cause);
        let code = cause.code().map(|code| code.code().to_owned());
        Self::Database { attempt, failure, code, cause: Arc::new(cause) }
    }

    /// That the database has not answered in time.
    pub(crate) fn too_late(attempt: &'static str) -> Self {
        let cause = Arc::new(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        Self::Database { attempt, failure: Failure::Unavailable, code: None, cause }
    }

    /// The same as [`database`](Self::database) tells, but a unique key that is taken (23505)
    /// means `Again`: for who lost a race for the key, and will find the winner's row when he looks
    /// again.
    #[must_use]
    pub fn again_if_taken(mut self) -> Self {
        if let Self::Database { failure, code: Some(code), .. } = &mut self
            && code == "23505"
        {
            *failure = Failure::Again;
        }
        self
    }

    /// What is left to be done after this error of a shared store.
    pub fn chance(&self) -> Chance {
        match self {
            Self::Database { failure: Failure::Again, .. } | Self::Overtaken => Chance::Again,
            Self::Database { failure: Failure::Held, .. } => Chance::Held,
            Self::Database { failure: Failure::Unavailable, .. } => Chance::Later,
            Self::Unknown { .. } => Chance::Unknown,
            _ => Chance::Never,
        }
    }

    /// What a failure of the database means; none if it was another's.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Database { failure, .. } => Some(*failure),
            _ => None,
        }
    }
}
