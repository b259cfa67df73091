//! A ledger that is kept in a database: the only place where one is opened, for the server and for
//! every command.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;
use tongjang_store::StoreError;
use tongjang_store::postgres::{
    Passwords, Pool, PoolLimits, Postgres, PostgresStore, Profile, Target,
};

use crate::config::{ServingArgs, StoreArgs, StoreUrl};
use crate::directory::{Directory, DirectoryError};

/// A database that keeps a ledger, and the users of its servers.
#[derive(Clone)]
pub(crate) struct Database {
    /// The ledger.
    pub(crate) postgres: Postgres,
    /// Connections for the directory, which must not wait until the queries are done.
    directory: Pool,
    tellers: usize,
    store: StoreUrl,
}

/// Why no database was opened.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, or there is no ledger of this version in it.
    #[error("cannot open the ledger in {store}: {source}")]
    Store {
        /// The database.
        store: StoreUrl,
        /// Why.
        source: StoreError,
    },
    /// There are no threads to wait for it.
    #[error("cannot start the threads that talk to a database: {0}")]
    Threads(#[from] std::io::Error),
}

/// How many connections the directory may have: its questions are short.
const DIRECTORY_CONNECTIONS: usize = 4;

impl StoreArgs {
    /// The way to the database; `None` if the ledger is in a folder.
    pub(crate) fn target(&self) -> Result<Option<Target>, DatabaseError> {
        let Some(store) = &self.store else { return Ok(None) };
        let file = self.password_file.clone();
        let environment = std::env::var("PGPASSWORD").ok();
        let target = Target::new(store.reveal(), &Passwords { file, environment });
        target.map(Some).map_err(|source| DatabaseError::Store { store: store.clone(), source })
    }

    /// The database that keeps the ledger; `None` if it is in a folder.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub(crate) async fn database(
        &self,
        serving: &ServingArgs,
    ) -> Result<Option<Database>, DatabaseError> {
        let (Some(target), Some(store)) = (self.target()?, &self.store) else { return Ok(None) };
        let few = Self::limits(DIRECTORY_CONNECTIONS);
        let queries = Self::limits(serving.connections);
        let directory = target.pool("tongjang directory", Profile::DIRECTORY, few);
        let opened = Postgres::open(target, queries).await;
        let failed = |source| DatabaseError::Store { store: store.clone(), source };
        let (postgres, store) = (opened.map_err(failed)?, store.clone());
        let tellers = serving.tellers;
        Ok(Some(Database { postgres, directory, tellers, store }))
    }

    /// The same for the command line, which has no async threads.
    ///
    /// # Errors
    /// As [`database`](Self::database).
    pub(crate) fn database_blocking(&self) -> Result<Option<Database>, DatabaseError> {
        if self.store.is_none() {
            return Ok(None);
        }
        runtime()?.block_on(self.database(&ServingArgs::default()))
    }

    fn limits(size: usize) -> PoolLimits {
        PoolLimits { size, wait: Duration::from_secs(10), ..PoolLimits::default() }
    }
}

/// The threads on which the commands of the command line talk to a database.
pub(crate) fn runtime() -> Result<&'static Runtime, std::io::Error> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let threads = builder.worker_threads(1).enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| threads))
}

impl Database {
    /// The directory of its users.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn directory(&self) -> Result<Directory, DirectoryError> {
        Directory::on_postgres(self.directory.clone()).await
    }

    /// A store for each teller.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn stores(&self) -> Result<Vec<PostgresStore>, StoreError> {
        (0..self.tellers).map(|_| self.postgres.teller()).collect()
    }

    /// Connections of the directory.
    pub(crate) fn directory_pool(&self) -> &Pool {
        &self.directory
    }

    /// Where it is, without the password.
    pub(crate) fn store(&self) -> &StoreUrl {
        &self.store
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("store", &self.store).finish_non_exhaustive()
    }
}
