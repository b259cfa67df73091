//! The server through HTTP: each test starts one of its own, on a free port and an empty folder.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, its helpers too")]

mod accounts;
mod app;
mod authorization;
mod bank;
mod batches;
mod batches_refused;
mod bench;
mod carry;
mod carry_database;
mod carry_refused;
mod carry_retry;
mod carry_unknown;
mod cli;
mod copy;
mod damage;
mod edge;
mod errors;
mod failing;
mod history;
mod idempotency;
mod identity;
mod jump;
mod keys;
mod metrics;
mod money;
mod openapi;
mod outages;
mod pages;
mod passbook;
mod readme;
mod ready;
mod scripts;
mod servers;
mod start;
mod streams;
