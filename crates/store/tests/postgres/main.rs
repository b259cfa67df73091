//! The PostgreSQL store on a real PostgreSQL, started for the tests and ended with them.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod attacks;
mod certificates;
mod cluster;
mod ledger;
mod pool;
mod reach;
mod scripts;
mod session;
mod tls;
