//! Whether the database takes bookings: asked on a connection of its own and answered soon, however
//! busy the queries are and however silent the database is.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio::time::timeout;

use super::reader::query;
use super::session::Profile;
use super::target::Target;
use super::{Asked, Pool, PoolLimits};
use crate::StoreError;

/// A standby answers queries and cannot be booked on.
const READY: &str = "SELECT pg_is_in_recovery()";
const ATTEMPT: &str = "ask the database whether it is ready";
/// The longest that one answer is waited for, the connection included.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asks. Those who ask at the same time take turns.
#[derive(Clone)]
pub(super) struct Probe(Pool);

impl Probe {
    pub(super) fn new(target: &Target, application: &str) -> Self {
        let limits = PoolLimits { size: 1, wait: PATIENCE, ..PoolLimits::default() };
        Self(target.pool(application, Profile::READER, limits))
    }

    /// Whether it is there and no standby.
    ///
    /// # Errors
    /// If it is not, or does not say so in time.
    pub(super) async fn ask(&self) -> Result<(), StoreError> {
        let in_time = timeout(PATIENCE, self.answer()).await;
        in_time.unwrap_or_else(|_| Err(StoreError::too_late(ATTEMPT)))
    }

    /// A connection. It is opened to the end even if nobody waits for it any more, as behind
    /// hosts that are silent: who asks next finds it.
    async fn connection(&self) -> Result<Object, StoreError> {
        let pool = self.0.clone();
        let opened = tokio::spawn(async move { pool.get().await });
        // It has no end where the server is being stopped.
        opened.await.unwrap_or_else(|_| Err(StoreError::too_late(ATTEMPT)))
    }

    async fn answer(&self) -> Result<(), StoreError> {
        let mut first = true;
        loop {
            let client = Asked::of(self.connection().await?);
            let rows = query(client.it(), READY, &[]).await;
            // What broke while it lay idle says nothing about the database.
            if rows.is_err() && client.it().is_closed() && std::mem::take(&mut first) {
                continue;
            }
            let rows = client.answered(rows)?;
            return match rows.first().map(|row| row.get(0)) {
                Some(false) => Ok(()),
                _ => Err(StoreError::Unfit { what: "it is a standby".to_owned() }),
            };
        }
    }
}
