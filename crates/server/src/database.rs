//! A ledger that is kept in a database: the only place where one is opened, for the server and for
//! every command.

use crate::config::{StoreArgs, StoreUrl};

/// A database that keeps a ledger. There is none yet, and so nobody can ask one for anything.
#[derive(Debug)]
pub(crate) enum Database {}

/// Why no database was opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The program cannot do it.
    #[error("this build does not keep a ledger in PostgreSQL yet, so it cannot open {store}")]
    NotYet {
        /// The database.
        store: StoreUrl,
    },
}

impl StoreArgs {
    /// The database that keeps the ledger; `None` if it is in a folder.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub(crate) fn database(&self) -> Result<Option<Database>, DatabaseError> {
        self.store.as_ref().map(|url| open_postgres(self, url)).transpose()
    }
}

/// Opens the database at `url` as `args` say.
fn open_postgres(_args: &StoreArgs, url: &StoreUrl) -> Result<Database, DatabaseError> {
    Err(DatabaseError::NotYet { store: url.clone() })
}
