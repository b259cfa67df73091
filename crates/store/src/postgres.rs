//! The PostgreSQL store: many servers, one book. The database does the distributing and the
//! keeping; what is decided is decided by the same core as everywhere.
//!
//! `target` knows the way to the database, `schema` what must stand in it. A teller has a `line` of
//! his own; `batch` is his store: `loading` locks and brings in, `book` lends it to the rules,
//! `rows` are what they decided, and `writing` adds them. Queries go through `reader`.

mod address;
mod batch;
mod book;
mod by_part;
mod census;
pub mod chronicle;
mod columns;
mod connect;
mod copying;
mod counters;
mod durability;
mod engine;
mod failure;
mod history;
mod line;
mod loading;
mod outcomes;
mod pages;
mod password;
mod places;
mod pool;
mod probe;
mod range;
mod reader;
mod refusals;
mod rehearsal;
mod rows;
pub mod schema;
mod session;
mod target;
mod tls;
mod values;
pub mod verify;
mod writing;

pub use batch::PostgresStore;
pub use book::PostgresBook;
pub use connect::Driver;
pub use copying::{Copying, Way};
pub use counters::{Counters, Counts};
pub use durability::check_durability;
pub use engine::Engine;
pub use failure::Failure;
pub(crate) use failure::words;
pub use pages::counting_pages;
pub use password::Passwords;
pub use places::Parts;
pub use pool::{Asked, Pool, PoolLimits, PoolStatus};
pub use reader::PostgresReader;
pub use rehearsal::PostgresRehearsal;
pub use schema::{Layout, Migrated};
pub use session::{Profile, Role};
pub use target::Target;

use tokio::runtime::Handle;

use crate::StoreError;
use places::Places;
use probe::Probe;
use schema::Standing;

/// A ledger in a database, for one server.
#[derive(Clone)]
pub struct Postgres {
    target: Target,
    parts: Parts,
    engine: Engine,
    id: u128,
    places: Places,
    counters: Counters,
    reader: PostgresReader,
}

impl Postgres {
    /// The ledger at `target`, with a pool of connections for queries.
    ///
    /// # Errors
    /// If the database cannot be reached, or its schema is not this version's.
    ///
    /// # Panics
    /// Outside a runtime: queries will be waited for on that one.
    pub async fn open(target: Target, queries: PoolLimits) -> Result<Self, StoreError> {
        Self::open_as("tongjang", None, target, queries).await
    }

    /// The same for a copy, to which nobody else may be connected who could write. Into a part of
    /// a copy only the rest of it goes.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if somebody is connected.
    ///
    /// # Panics
    /// As [`open`](Self::open).
    pub async fn open_to_copy(
        target: Target,
        queries: PoolLimits,
        way: Way,
    ) -> Result<Self, StoreError> {
        Self::open_as(Copying::APPLICATION, Some(way), target, queries).await
    }

    async fn open_as(
        application: &str,
        copied: Option<Way>,
        target: Target,
        queries: PoolLimits,
    ) -> Result<Self, StoreError> {
        let (client, driver) = target.connect(application, &Profile::READER).await?;
        let driver = tokio::spawn(driver);
        let warnings = check_durability(&client).await?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let Standing { parts, id, engine } = schema::check(&client).await?;
        if copied.is_some() {
            copying::check_alone(&client).await?;
        }
        if copied != Some(Way::Into) {
            schema::check_whole(&client).await?;
        }
        driver.abort();
        let (places, counters) = (Places::default(), Counters::default());
        let (pool, runtime) =
            (target.pool(application, Profile::READER, queries), Handle::current());
        let probe = Probe::new(&target, application);
        let reader = PostgresReader { pool, probe, runtime, parts, engine, places: places.clone() };
        Ok(Self { target, parts, engine, id, places, counters, reader })
    }

    /// The store of one more teller.
    ///
    /// # Errors
    /// If the operating system refuses a runtime.
    pub fn teller(&self) -> Result<PostgresStore, StoreError> {
        let (places, counters) = (self.places.clone(), self.counters.clone());
        PostgresStore::new(self.target.clone(), self.parts, self.engine, places, counters)
    }

    /// Who answers queries. They are asked off the threads of the runtime in which the ledger was
    /// opened, and that has to be there yet.
    pub fn reader(&self) -> PostgresReader {
        self.reader.clone()
    }

    /// How the ledger is divided.
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// The engine that keeps it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The bits by which the ledger is known.
    pub fn id(&self) -> u128 {
        self.id
    }

    /// How the connections for queries are filled at this moment.
    pub fn pool_status(&self) -> PoolStatus {
        self.reader.pool.status()
    }

    /// What its tellers counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
