//! The directory: users, tokens, keys and the names of accounts. It is what people may ask to
//! have changed or erased, so none of it is in the ledger.

mod keys;
mod labels;
mod names;
mod schema;
mod secrets;
mod tokens;
mod users;
mod users_in;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

pub use keys::{ApiKey, NewKey};
pub use labels::labels_in;
pub use users::{NewUser, User, Username};
pub use users_in::{Users, users_in};

use crate::cursor::CursorKey;
use crate::problem::{Code, Problem};

/// The file in the data directory.
pub(crate) const FILE: &str = "directory.sqlite";

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
}

/// Adds what was attempted to an error of SQLite.
trait Attempt<T> {
    fn attempt(self, what: &'static str) -> Result<T, DirectoryError>;
}

impl<T> Attempt<T> for Result<T, rusqlite::Error> {
    fn attempt(self, attempt: &'static str) -> Result<T, DirectoryError> {
        self.map_err(|source| DirectoryError::Sqlite { attempt, source })
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::UsernameTaken => Self::new(Code::UsernameTaken),
            DirectoryError::Sqlite { .. }
            | DirectoryError::Io { .. }
            | DirectoryError::TooNew { .. } => {
                tracing::error!(%error, "the directory failed");
                Self::new(Code::StoreUnavailable)
            }
        }
    }
}

/// The directory. Cloning it is cheap.
#[derive(Clone)]
pub struct Directory(Arc<Connections>);

struct Connections {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    names: names::Names,
    cursor_key: CursorKey,
}

impl Directory {
    /// Opens the directory in `data`, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// If SQLite refuses, or the file is of a newer version.
    pub fn open(data: &Path) -> Result<Self, DirectoryError> {
        let path = data.join(FILE);
        make_private(&path).map_err(|source| DirectoryError::Io { path: path.clone(), source })?;
        let mut writer = Connection::open(&path).attempt("open the directory")?;
        prepare(&writer)?;
        schema::migrate(&mut writer, &path)?;
        let cursor_key = CursorKey::new(secrets::kept(&writer, "cursors")?);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&path, flags).attempt("open the directory")?;
        let (writer, reader) = (Mutex::new(writer), Mutex::new(reader));
        let names = names::Names::default();
        Ok(Self(Arc::new(Connections { writer, reader, names, cursor_key })))
    }

    /// Writes, off the async threads: all that `work` does, or nothing of it, with one sync.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DirectoryError> + Send + 'static,
    ) -> Result<T, Problem> {
        let connections = self.0.clone();
        off_thread(move || {
            let connection = connections.writer.lock();
            // Dropped before it is committed, it is taken back.
            let transaction = connection.unchecked_transaction().attempt("begin to write")?;
            let done = work(&transaction)?;
            transaction.commit().attempt("commit what was written")?;
            Ok(done)
        })
        .await
    }

    /// Reads, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DirectoryError> + Send + 'static,
    ) -> Result<T, Problem> {
        let connections = self.0.clone();
        off_thread(move || work(&connections.reader.lock())).await
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Code::ShuttingDown)),
        },
    }
}

/// Makes the file for its owner's eyes only, whatever folder it is in: it holds the hashes of
/// passwords. SQLite gives the files that it puts beside it the same rights.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(|_| ())
}

fn prepare(connection: &Connection) -> Result<(), DirectoryError> {
    connection
        .execute_batch(
            "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;",
        )
        .attempt("set the directory up")
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory")
    }
}
