//! The ledger over HTTP and at the command line.
//!
//! A request goes `serve` → `edge` (what every request passes) → `api` (a file a resource), whose
//! handlers take their arguments through `extract` and `auth` and reach the accounts through
//! `ledger`. Every answer that is no success is a `problem`.

pub mod api;
pub mod app;
pub mod auth;
mod bench;
mod carry;
pub mod cli;
pub mod config;
pub mod cursor;
pub mod database;
pub mod directory;
mod edge;
pub mod extract;
pub mod ledger;
pub mod problem;
pub mod serve;
pub mod telemetry;
mod web;
pub mod when;

pub use app::{App, AppState};
