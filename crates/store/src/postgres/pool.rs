//! Connections that queries share. Each is one more process of the database, so they are few, and
//! who finds none free waits for a while.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Connect, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::failure::{Failure, words};
use super::session::Profile;
use super::target::Target;
use crate::StoreError;

/// How large a pool is, and how long it lets wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolLimits {
    /// The most connections that it has open.
    pub size: usize,
    /// The longest that somebody waits for a free one.
    pub wait: Duration,
    /// The longest that it may take to see that a used one is still good.
    pub recycle: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { size: 8, wait: Duration::from_secs(5), recycle: Duration::from_secs(5) }
    }
}

/// How a pool is filled at this moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolStatus {
    /// The most connections that it may have.
    pub max_size: usize,
    /// Those that are open.
    pub size: usize,
    /// Those that are open and free.
    pub available: usize,
    /// Those who wait for one.
    pub waiting: usize,
}

/// Shared connections. A clone is the same pool.
#[derive(Clone)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    limits: PoolLimits,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Target {
    /// A pool of connections that are opened when they are needed, within a runtime of tokio.
    pub fn pool(&self, application_name: &str, profile: Profile, limits: PoolLimits) -> Pool {
        let opener =
            Opener { target: self.clone(), application_name: application_name.to_owned(), profile };
        // Connecting has limits of its own, for each address. A connection is good unless it is
        // known to be closed: no question before each query.
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(Config::new(), opener, config);
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(limits.size)
            .wait_timeout(Some(limits.wait))
            .recycle_timeout(Some(limits.recycle))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with timeouts needs a runtime, and has one");
        Pool { connections, limits }
    }
}

impl Pool {
    /// A connection, which goes back to the pool when it is dropped.
    pub async fn get(&self) -> Result<deadpool_postgres::Client, StoreError> {
        let asked = async {
            let got = self.connections.get().await;
            got.map_err(|error| self.told(error))
        };
        WHY.scope(RefCell::new(None), asked).await
    }

    /// Closes the free ones that are known to be broken.
    pub(super) fn drop_broken(&self) {
        self.connections.retain(|client, _| !client.is_closed());
    }

    /// How it is filled at this moment.
    pub fn status(&self) -> PoolStatus {
        let status = self.connections.status();
        PoolStatus {
            max_size: status.max_size,
            size: status.size,
            available: status.available,
            waiting: status.waiting,
        }
    }

    /// Gives out no more connections, and closes those that are free and, when they come back,
    /// the others.
    pub fn close(&self) {
        self.connections.close();
    }

    fn told(&self, error: PoolError) -> StoreError {
        const ATTEMPT: &str = "get a connection to the database";
        let unavailable = |why: String| StoreError::Database {
            attempt: ATTEMPT,
            failure: Failure::Unavailable,
            code: None,
            cause: Arc::new(io::Error::new(io::ErrorKind::TimedOut, why)),
        };
        let PoolLimits { size, wait, recycle } = self.limits;
        match error {
            PoolError::Backend(error) => WHY
                .with(|why| why.borrow_mut().take())
                .unwrap_or_else(|| StoreError::database(ATTEMPT, error)),
            PoolError::Timeout(TimeoutType::Wait) => {
                unavailable(format!("none of {size} was free within {wait:?}"))
            }
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                unavailable(format!("a used one was not seen to be good within {:?}", recycle))
            }
            PoolError::Closed => unavailable("the pool is closed".into()),
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                unreachable!("the pool has a runtime and no hooks")
            }
        }
    }
}

/// A connection of a pool that is asked something. One that is given up while its answer is still
/// to come is closed, and asked nothing any more: whoever asked next would wait for that, too.
pub struct Asked(Option<Object>);

impl Asked {
    /// A connection that will be asked something now.
    pub fn of(client: Object) -> Self {
        Self(Some(client))
    }

    /// The connection.
    pub fn it(&self) -> &Object {
        self.0.as_ref().expect("it is there until it has answered")
    }

    /// Gives the connection back, which has given this answer.
    pub fn answered<T>(mut self, answer: T) -> T {
        self.0 = None;
        answer
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}

tokio::task_local! {
    /// Why a connection could not be opened, for who asked for it: the pool itself carries no
    /// errors but the driver's. It opens connections within the call that asks for one.
    static WHY: RefCell<Option<StoreError>>;
}

/// Opens the pool's connections.
struct Opener {
    target: Target,
    application_name: String,
    profile: Profile,
}

type Opened<'a> =
    dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a;

impl Connect for Opener {
    fn connect(&self, _settings: &Config) -> Pin<Box<Opened<'_>>> {
        Box::pin(async move {
            let opened = self.target.connect(&self.application_name, &self.profile).await;
            let (client, driver) = opened.map_err(|error| {
                // Absent only if somebody asks the inner pool past `get`.
                let _ = WHY.try_with(|why| why.borrow_mut().replace(error));
                stand_in()
            })?;
            let task = tokio::spawn(async move {
                if let Err(error) = driver.await {
                    let error = words(&error);
                    tracing::warn!(error, "a connection to the database broke");
                }
            });
            Ok((client, task))
        })
    }
}

/// An error of the driver's type, which nobody outside can make; `WHY` has the real one.
fn stand_in() -> tokio_postgres::Error {
    "no setting".parse::<Config>().expect_err("no setting is two words without a `=`")
}
