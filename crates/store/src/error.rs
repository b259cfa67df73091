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
    /// The database did not do what was asked of it.
    #[error("cannot {attempt}: {cause}")]
    Database {
        /// What was attempted.
        attempt: &'static str,
        /// What is left to be done.
        chance: Chance,
        /// SQLSTATE.
        code: Option<String>,
        /// What it said.
        cause: Arc<str>,
    },
    /// stub
    #[error("unknown")]
    Unknown {
        /// What was attempted.
        attempt: &'static str,
        /// Why.
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
    #[error("the database has schema {found}, and this version needs {known}; {}", if *found < *known {
        "run `tongjang migrate`"
    } else {
        "run a newer version"
    })]
    Schema {
        /// The step found.
        found: i32,
        /// The newest known.
        known: i32,
    },
}

impl StoreError {
    /// The error of an operating system call on `path`.
    pub fn io(attempt: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { attempt, path: path.into(), source: Arc::new(source) }
    }

    /// What is left to be done after this error of a shared store.
    pub fn chance(&self) -> Chance {
        match self {
            Self::Database { chance, .. } => *chance,
            Self::Overtaken => Chance::Again,
            Self::Unknown { .. } => Chance::Unknown,
            _ => Chance::Never,
        }
    }

    /// stub
    pub fn database(attempt: &'static str, error: tokio_postgres::Error) -> Self {
        let code = error.code().map(|code| code.code().to_owned());
        let chance = match code.as_deref() {
            None => Chance::Later,
            Some("40001" | "40P01" | "23505" | "55P03" | "25P02") => Chance::Again,
            Some(code)
                if code.starts_with("08") || code.starts_with("57") || code.starts_with("53") =>
            {
                Chance::Later
            }
            Some(_) => Chance::Never,
        };
        let cause = match error.as_db_error() {
            Some(error) => error.to_string(),
            None => error.to_string(),
        };
        Self::Database { attempt, chance, code, cause: cause.into() }
    }
}
