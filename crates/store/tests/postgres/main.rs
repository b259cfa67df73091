//! Connections against a real PostgreSQL, started for the tests and ended with them.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod certificates;
mod cluster;
mod pool;
mod reach;
mod session;
mod tls;
