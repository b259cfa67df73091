//! The PostgreSQL store through its tellers, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod attacks;
mod ledger;
mod scripts;
