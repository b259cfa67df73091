//! The directory of one server: a file of SQLite in its data directory.

pub(crate) mod contents;
mod keys;
mod labels;
mod names;
mod schema;
mod secrets;
mod tokens;
mod users;
mod users_in;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};

pub use labels::labels_in;
pub use users_in::{Users, users_in};

use super::DirectoryError;
use crate::cursor::CursorKey;

/// The file in the data directory.
pub(crate) const FILE: &str = "directory.sqlite";

/// Adds what was attempted to an error of SQLite.
trait Attempt<T> {
    fn attempt(self, what: &'static str) -> Result<T, DirectoryError>;
}

impl<T> Attempt<T> for Result<T, rusqlite::Error> {
    fn attempt(self, attempt: &'static str) -> Result<T, DirectoryError> {
        self.map_err(|source| DirectoryError::Sqlite { attempt, source })
    }
}

/// What is kept in SQLite, off the async threads. Cloning it is cheap.
#[derive(Clone)]
pub(super) struct Sqlite(Arc<Connections>);

struct Connections {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    /// Opens the file in `data`, makes it if there is none, and brings its tables up to date.
    pub(super) fn open(data: &Path) -> Result<(Self, CursorKey), DirectoryError> {
        let path = data.join(FILE);
        make_private(&path).map_err(|source| DirectoryError::Io { path: path.clone(), source })?;
        let mut writer = Connection::open(&path).attempt("open the directory")?;
        prepare(&writer)?;
        schema::migrate(&mut writer, &path)?;
        let cursor_key = CursorKey::new(secrets::kept(&writer, "cursors")?);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&path, flags).attempt("open the directory")?;
        let (writer, reader) = (Mutex::new(writer), Mutex::new(reader));
        Ok((Self(Arc::new(Connections { writer, reader })), cursor_key))
    }

    /// Writes, off the async threads: all that `work` does, or nothing of it, with one sync.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DirectoryError> + Send + 'static,
    ) -> Result<T, DirectoryError> {
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
    ) -> Result<T, DirectoryError> {
        let connections = self.0.clone();
        off_thread(move || work(&connections.reader.lock())).await
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, DirectoryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(DirectoryError::Stopping),
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
