//! A teller's line to the database: a connection with its statements, opened anew when it broke.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::loading::Loading;
use super::session::Profile;
use super::writing::Writing;
use super::{Engine, Target};
use crate::StoreError;

/// The statements of a line.
pub(super) struct Statements {
    pub(super) loading: Loading,
    pub(super) writing: Writing,
}

/// A connection on a runtime of the teller's own thread: it works while it is waited for.
pub(super) struct Line {
    target: Target,
    engine: Engine,
    /// As whom the database knows it.
    application: &'static str,
    runtime: Runtime,
    open: Option<Open>,
    /// The longest that an answer is waited for: a database may hang and still be there.
    deadline: Duration,
    /// How much was written on this connection, and when its plans are made anew.
    written: u64,
    plan_again_at: u64,
}

/// A connection with its statements, and what drives it.
struct Open {
    client: Client,
    statements: Statements,
    driver: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// What came of work that has a deadline.
type InTime<T> = Result<Result<T, StoreError>, Elapsed>;

/// How long the end of a transaction is waited for before the connection is closed instead.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest that a new connection's statements may take until they are prepared.
const PREPARING: Duration = Duration::from_secs(10);
const PREPARE: &str = "prepare a teller's statements";

/// The plans of a connection are made anew when so much was written on it, then after twice as
/// much, and so on.
const PLAN_AGAIN: u64 = 128;

impl Line {
    pub(super) fn new(
        target: Target,
        engine: Engine,
        application: &'static str,
    ) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| StoreError::io("make", "a runtime", source))?;
        // Longer than a lock is waited for by far.
        let deadline = Profile::TELLER.lock_timeout + 5 * target.patience;
        let (open, written, plan_again_at) = (None, 0, PLAN_AGAIN);
        Ok(Self { target, engine, application, runtime, open, deadline, written, plan_again_at })
    }

    /// Runs `work` on the connection, which is opened if there is none.
    pub(super) fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&Client, &Statements) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Self { target, engine, application, runtime, open, deadline, .. } = self;
        let (written, plan_again_at) = (&mut self.written, &mut self.plan_again_at);
        let done: Result<InTime<T>, StoreError> = runtime.block_on(async {
            if open.as_ref().is_none_or(|open| open.client.is_closed()) {
                *open = Some(connect(target, *engine, application).await?);
                (*written, *plan_again_at) = (0, PLAN_AGAIN);
            }
            let Some(Open { client, statements, .. }) = open else { unreachable!("it was opened") };
            Ok(timeout(*deadline, work(client, statements)).await)
        });
        self.in_time(done?)
    }

    /// Runs `work` in the transaction that [`run`](Self::run) left open. On a new connection it
    /// would be none.
    pub(super) fn go_on<T>(
        &mut self,
        work: impl AsyncFnOnce(&Client, &Statements) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(Open { client, statements, .. }) = &self.open else {
            return Err(StoreError::Overtaken);
        };
        let work = async { timeout(self.deadline, work(client, statements)).await };
        let done = self.runtime.block_on(work);
        self.in_time(done)
    }

    /// What was answered in time. A line on which nothing was is closed.
    fn in_time<T>(&mut self, done: InTime<T>) -> Result<T, StoreError> {
        done.unwrap_or_else(|_| {
            self.hang_up();
            Err(StoreError::too_late("wait for the database"))
        })
    }

    /// Told of `events` that were committed. As long as the tables are small, every index is as
    /// good as any other to the planner, also one that leads through all of a settlement account's
    /// entries; and a plan once made is kept, by the checks of foreign keys too.
    pub(super) fn wrote(&mut self, events: usize) {
        self.written += events as u64;
        if self.written < self.plan_again_at {
            return;
        }
        self.plan_again_at = self.plan_again_at.max(self.written).saturating_mul(2);
        if let Some(Open { client, .. }) = &self.open {
            let discard = async { timeout(PATIENCE, client.batch_execute("DISCARD PLANS")).await };
            // An engine without it makes its plans in another way; a database that does not answer
            // must not hold up what was committed.
            if self.runtime.block_on(discard).is_err() {
                self.hang_up();
            }
        }
    }

    /// Closes the connection, at once: what it has locked is not to wait until it is used again.
    pub(super) fn hang_up(&mut self) {
        if let Some(Open { driver, .. }) = self.open.take() {
            driver.abort();
            // It ends by being aborted, and takes the socket with it.
            let _ = self.runtime.block_on(driver);
        }
    }

    /// Ends the transaction under way without a trace. A line that cannot do that soon is closed,
    /// which has the same effect.
    pub(super) fn give_up(&mut self) {
        let ended = match &self.open {
            Some(Open { client, .. }) if !client.is_closed() => self.runtime.block_on(async {
                let ended = timeout(PATIENCE, client.batch_execute("ROLLBACK")).await;
                ended.is_ok_and(|ended| ended.is_ok())
            }),
            _ => false,
        };
        if !ended {
            self.hang_up();
        }
    }
}

async fn connect(target: &Target, engine: Engine, application: &str) -> Result<Open, StoreError> {
    let (client, driver) = target.connect(application, engine.teller()).await?;
    let driver = tokio::spawn(driver);
    let prepared = async {
        let loading = Loading::prepare(&client, engine).await?;
        Ok(Statements { loading, writing: Writing::prepare(&client, engine).await? })
    };
    let statements = match timeout(PREPARING, prepared).await {
        Ok(prepared) => prepared.map_err(|error| StoreError::database(PREPARE, error))?,
        Err(_) => return Err(StoreError::too_late(PREPARE)),
    };
    Ok(Open { client, statements, driver })
}
