//! The PostgreSQL store on a real PostgreSQL, started for the tests and ended with them.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod certificates;
mod certify;
mod cluster;
mod killed;
mod migrating;
mod pool;
mod reach;
mod ready;
mod session;
mod tls;
mod unsure;

/// How many cases a property is tried on: `usual`, or more with `TONGJANG_SIM_RUNS`.
fn cases(usual: u32) -> u32 {
    let runs = std::env::var("TONGJANG_SIM_RUNS");
    let runs = runs.map_or(1, |runs| runs.parse().expect("TONGJANG_SIM_RUNS is a number"));
    usual.saturating_mul(runs)
}
