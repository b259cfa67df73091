//! `tongjang bench`: measures the ledger on the machine that it runs on, each figure beside the
//! machine's own limit, which is measured in the same run and in turn with it.
//!
//! Nothing here asserts a time, and nothing else in this program knows of it. A file a
//! measurement; they share the load (`workload`, `load`), the sides (`ledger`, `served`) and the
//! way figures are told (`figures`, `explained`, `report`,
//! `plot`). `docs/performance.md` has the commands.

pub(crate) mod batch;
mod cold;
mod count;
pub(crate) mod database;
pub(crate) mod database_batch;
pub(crate) mod database_history;
pub(crate) mod engine;
mod explained;
mod figures;
pub(crate) mod fill;
mod fresh_database;
pub(crate) mod history;
pub(crate) mod http;
mod lean_book;
mod ledger;
mod limits;
mod load;
mod machine;
pub(crate) mod mixed;
pub(crate) mod noop;
mod outcomes;
mod plot;
mod queries;
mod report;
pub(crate) mod restart;
pub(crate) mod scratch;
mod served;
mod slow_link;
mod throttle;
mod workload;
