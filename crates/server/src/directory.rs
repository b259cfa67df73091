//! The directory: users, tokens, keys and the names of accounts. It is what people may ask to
//! have changed or erased, so none of it is in the ledger. One server keeps it in a file of SQLite;
//! servers that share a ledger in PostgreSQL share a directory there too.

mod contents;
mod keys;
mod labels;
mod names;
mod postgres;
mod sqlite;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use keys::{ApiKey, NewKey};
pub(crate) use postgres::contents as in_postgres;
pub(crate) use sqlite::FILE;
pub(crate) use sqlite::contents as in_sqlite;
pub use sqlite::{Users, labels_in, users_in};
pub use users::{NewUser, User, Username};

use tongjang_store::StoreError;
use tongjang_store::postgres::Pool;

use crate::cursor::CursorKey;
use crate::problem::{Code, Problem};

/// Why the directory could not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// SQLite refused.
    #[error("cannot {attempt}: {source}")]
    Sqlite {
        /// What was attempted.
        attempt: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// PostgreSQL refused, or the way to it is broken.
    #[error("cannot {attempt}: {}", postgres::told(source))]
    Postgres {
        /// What was attempted.
        attempt: &'static str,
        /// What PostgreSQL or the way to it said.
        source: tokio_postgres::Error,
    },
    /// There is no connection to PostgreSQL to be had.
    #[error("cannot {attempt}: {}", postgres::told(source))]
    Pool {
        /// What was attempted.
        attempt: &'static str,
        /// Why there is none.
        source: StoreError,
    },
    /// The operating system refused.
    #[error("cannot make {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The file was written by a version that this one does not know.
    #[error("{} has schema {found}, and this version knows up to {known}", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The schema found.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// Somebody has this username.
    #[error("the username is taken")]
    UsernameTaken,
    /// The server stops and begins nothing any more.
    #[error("the server is stopping")]
    Stopping,
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::UsernameTaken => Self::new(Code::UsernameTaken),
            DirectoryError::Stopping => Self::new(Code::ShuttingDown),
            DirectoryError::Sqlite { .. }
            | DirectoryError::Postgres { .. }
            | DirectoryError::Pool { .. }
            | DirectoryError::Io { .. }
            | DirectoryError::TooNew { .. } => {
                tracing::error!(%error, "the directory failed");
                let problem = Self::new(Code::StoreUnavailable);
                // Without a connection nothing was asked.
                let unasked = matches!(error, DirectoryError::Pool { .. });
                if unasked { problem.nothing_changed() } else { problem }
            }
        }
    }
}

/// The directory. Cloning it is cheap.
#[derive(Clone)]
pub struct Directory(Arc<Parts>);

struct Parts {
    keeper: Keeper,
    names: names::Names,
    cursor_key: CursorKey,
}

/// Where it is kept.
enum Keeper {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
}

impl Directory {
    /// Opens the directory in `data`, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// If SQLite refuses, or the file is of a newer version.
    pub fn open(data: &Path) -> Result<Self, DirectoryError> {
        let (sqlite, cursor_key) = sqlite::Sqlite::open(data)?;
        Ok(Self::new(Keeper::Sqlite(sqlite), cursor_key))
    }

    /// The directory in the database to which `pool` connects, as a role that has the rights of
    /// `tongjang_app`. Its tables must be there. Servers that share it share a key for cursors.
    ///
    /// # Errors
    /// If PostgreSQL cannot be reached or refuses.
    pub async fn on_postgres(pool: Pool) -> Result<Self, DirectoryError> {
        let (postgres, cursor_key) = postgres::Postgres::open(pool).await?;
        Ok(Self::new(Keeper::Postgres(postgres), cursor_key))
    }

    fn new(keeper: Keeper, cursor_key: CursorKey) -> Self {
        Self(Arc::new(Parts { keeper, names: names::Names::default(), cursor_key }))
    }

    /// The key under which cursors are sealed.
    pub fn cursor_key(&self) -> &CursorKey {
        &self.0.cursor_key
    }

    /// Whether other servers may change it, of which this one is not told.
    pub fn is_shared(&self) -> bool {
        matches!(self.keeper(), Keeper::Postgres(_))
    }

    fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory")
    }
}
