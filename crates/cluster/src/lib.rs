//! A real PostgreSQL for tests: started by the test itself, broken on purpose, gone afterwards.
//!
//! A test that only needs a database takes one of [`Cluster::shared`]; one that kills, restarts or
//! reconfigures the server takes its own by [`Cluster::start`]. Everything here blocks, may be
//! called from async code too, and panics with the reason if it cannot be done: a test has nothing
//! better to do. Nothing that is shipped depends on this crate, and it on no other of the project.

mod cluster;
mod database;
mod nodes;
mod process;
mod programs;
mod proxy;
mod server;
mod small_disk;
mod sql;
mod standby;
mod watchdog;

pub use cluster::{Cluster, citus};
pub use database::Database;
pub use proxy::{Direction, Proxy};

use std::fmt;

/// Why something cannot be done, as the person who runs the tests should read it.
#[derive(Debug)]
struct Trouble(String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Trouble {
    /// That `what` was attempted and failed by `cause`.
    fn new(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self(format!("{what}: {cause}"))
    }
}

/// Ends the test if something went wrong.
trait OrPanic<T> {
    /// The value, or a panic that tells the trouble at the caller's line.
    fn or_panic(self) -> T;
}

impl<T> OrPanic<T> for Result<T, Trouble> {
    #[track_caller]
    fn or_panic(self) -> T {
        match self {
            Ok(value) => value,
            Err(trouble) => panic!("{trouble}"),
        }
    }
}
