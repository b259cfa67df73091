//! stub
use tokio_postgres::{Client, Config, NoTls};

use crate::StoreError;

/// The way to a database.
#[derive(Clone, Debug)]
pub struct Target(Config);

impl Target {
    /// The database at `url`.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let config =
            url.parse().map_err(|error| StoreError::database("read the address", error))?;
        Ok(Self(config))
    }

    async fn connect(&self, settings: &str) -> Result<Client, StoreError> {
        let attempt = |error| StoreError::database("connect", error);
        let (client, driver) = self.0.connect(NoTls).await.map_err(attempt)?;
        tokio::spawn(async move {
            let _ = driver.await;
        });
        client.batch_execute(settings).await.map_err(attempt)?;
        Ok(client)
    }

    /// A connection for a teller.
    pub async fn teller(&self) -> Result<Client, StoreError> {
        self.connect(
            "SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
            SET enable_seqscan = off; SET lock_timeout = '10s';
            SET idle_in_transaction_session_timeout = '10s'; SET TimeZone = 'UTC';
            SET plan_cache_mode = force_generic_plan; SET ROLE tongjang_app",
        )
        .await
    }

    /// A connection for who may change the schema.
    pub async fn owner(&self) -> Result<Client, StoreError> {
        self.connect("SET TimeZone = 'UTC'").await
    }

    /// A pool of connections for queries.
    pub fn pool(&self, size: usize) -> Result<deadpool_postgres::Pool, StoreError> {
        let manager = deadpool_postgres::Manager::new(self.0.clone(), NoTls);
        let set_up = deadpool_postgres::Hook::async_fn(|client, _| {
            Box::pin(async move {
                let set = client.batch_execute(super::reader::SETTINGS).await;
                set.map_err(deadpool_postgres::HookError::Backend)
            })
        });
        let pool = deadpool_postgres::Pool::builder(manager).max_size(size).post_create(set_up);
        Ok(pool.build().expect("a runtime"))
    }
}
