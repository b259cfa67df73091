//! A teller's line to the database: a connection with its statements, opened anew when it broke.

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use super::loading::Loading;
use super::writing::Writing;
use super::{Profile, Target};
use crate::StoreError;

/// The statements of a line.
pub(super) struct Statements {
    pub(super) loading: Loading,
    pub(super) writing: Writing,
}

/// A connection on a runtime of the teller's own thread: it works while it is waited for.
pub(super) struct Line {
    target: Target,
    runtime: Runtime,
    open: Option<(Client, Statements)>,
}

impl Line {
    pub(super) fn new(target: Target) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| StoreError::io("make", "a runtime", source))?;
        Ok(Self { target, runtime, open: None })
    }

    /// Runs `work` on the connection, which is opened if there is none.
    pub(super) fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&Client, &Statements) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Self { target, runtime, open } = self;
        runtime.block_on(async {
            if open.as_ref().is_none_or(|(client, _)| client.is_closed()) {
                *open = Some(connect(target).await?);
            }
            let Some((client, statements)) = open else { unreachable!("it was opened") };
            work(client, statements).await
        })
    }

    /// Runs `work` in the transaction that [`run`](Self::run) left open. On a new connection it
    /// would be none.
    pub(super) fn go_on<T>(
        &mut self,
        work: impl AsyncFnOnce(&Client, &Statements) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some((client, statements)) = &self.open else {
            return Err(StoreError::Overtaken);
        };
        self.runtime.block_on(work(client, statements))
    }

    /// Closes the connection.
    pub(super) fn hang_up(&mut self) {
        self.open = None;
    }

    /// Ends the transaction under way without a trace. A line that cannot even do that is closed,
    /// which has the same effect.
    pub(super) fn give_up(&mut self) {
        let Self { runtime, open, .. } = self;
        let ended = runtime.block_on(async {
            match open {
                Some((client, _)) if !client.is_closed() => {
                    client.batch_execute("ROLLBACK").await.is_ok()
                }
                _ => false,
            }
        });
        if !ended {
            *open = None;
        }
    }
}

/// Every statement of a teller finds its rows one by one in an index. The planner does not know how
/// few they are, nor, in a new ledger, how many rows there are to search.
const PLANS: &str = "SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan;";

async fn connect(target: &Target) -> Result<(Client, Statements), StoreError> {
    let (client, driver) = target.connect("tongjang teller", &Profile::TELLER).await?;
    tokio::spawn(driver);
    let attempt = |error| StoreError::database("prepare a teller's statements", error);
    client.batch_execute(PLANS).await.map_err(attempt)?;
    let loading = Loading::prepare(&client).await.map_err(attempt)?;
    let writing = Writing::prepare(&client).await.map_err(attempt)?;
    Ok((client, Statements { loading, writing }))
}
