//! A ledger in a database of its own, with tellers in front.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};

use tokio::runtime::Runtime;
use tongjang_cluster::{Cluster, Database};
use tongjang_core::Request;
use tongjang_store::postgres::schema::{Layout, migrate};
use tongjang_store::postgres::{Parts, Passwords, PoolLimits, Postgres, Profile, Target};
use tongjang_store::{Answer, StoreError, Teller, TellerLimits, TellerThread};

/// What the connections of the tests' readers run on.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});

/// Tellers over a new ledger.
pub(crate) struct Ledger {
    pub(crate) teller: Teller,
    pub(crate) thread: Option<TellerThread>,
    pub(crate) postgres: Postgres,
    database: Option<Database>,
}

/// A new ledger in `parts`, without a teller.
pub(crate) fn new_ledger(parts: u16) -> Database {
    let database = Cluster::shared().database();
    migrated(&database, parts);
    database
}

/// Two ledgers that Citus is to distribute at once may be in each other's way: it has the nodes
/// alter the roles, which they share.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Makes the tables of a ledger in `parts`.
pub(crate) fn migrated(database: &Database, parts: u16) {
    let _turn =
        database.has_citus().then(|| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
    RUNTIME.block_on(async {
        let target = target(database);
        let (mut owner, driver) = target.connect("migrate", &Profile::OWNER).await.unwrap();
        tokio::spawn(driver);
        let parts = Parts::new(parts).unwrap();
        let layout = Layout { parts: Some(parts), id: 7, citus: database.has_citus() };
        migrate(&mut owner, layout).await.unwrap();
    });
}

/// The way to `database`.
pub(crate) fn target(database: &Database) -> Target {
    Target::new(database.url(), &Passwords::default()).unwrap()
}

/// The ledger in `database`.
pub(crate) fn open(database: &Database) -> Result<Postgres, StoreError> {
    RUNTIME.block_on(Postgres::open(target(database), PoolLimits::default()))
}

impl Ledger {
    pub(crate) fn new(parts: u16, tellers: usize) -> Self {
        Self::on(new_ledger(parts), tellers)
    }

    pub(crate) fn on(database: Database, tellers: usize) -> Self {
        let postgres = open(&database).unwrap();
        let stores = (0..tellers).map(|_| postgres.teller().unwrap()).collect();
        let messenger: tongjang_store::Messenger = Arc::new(|deliver| deliver());
        let limits = TellerLimits::default();
        let (teller, thread) = Teller::start_shared(stores, limits, &messenger).unwrap();
        Self { teller, thread: Some(thread), postgres, database: Some(database) }
    }

    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    /// Ends the day of its tellers, and leaves the database.
    pub(crate) fn end(mut self) -> Database {
        self.thread.take().unwrap().close().unwrap();
        self.database.take().unwrap()
    }

    /// What comes of `requests`, which are handed in one after another.
    pub(crate) fn perform(&self, requests: Vec<Request>) -> Vec<Result<Answer, StoreError>> {
        let (tell, told) = mpsc::channel();
        let count = requests.len();
        for (nth, request) in requests.into_iter().enumerate() {
            let tell = tell.clone();
            let reply = Box::new(move |answer| tell.send((nth, answer)).unwrap());
            self.teller.submit(request, reply).unwrap();
        }
        let mut answers: Vec<_> = told.iter().take(count).collect();
        answers.sort_by_key(|(nth, _)| *nth);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A test that failed is not to fail twice.
            let _ = thread.close();
        }
    }
}
