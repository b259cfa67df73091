//! The core and the journal under random requests, crashes, failures and panics.
//!
//! Each chapter is a file. How to run more, or one seed again, is in `docs/testing.md`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod batching;
mod crash;
mod history;
mod panic;
mod race;
mod together;

/// The seeds to run: `TONGJANG_SIM_RUNS` of them (or `runs`), from `TONGJANG_SIM_SEED` (or 1) on.
fn seeds(runs: u64) -> impl Iterator<Item = u64> {
    let first = number("TONGJANG_SIM_SEED").unwrap_or(1);
    let runs = number("TONGJANG_SIM_RUNS").unwrap_or(runs);
    first..first + runs
}

/// How many cases a property is tried on: `usual`, or more with `TONGJANG_SIM_RUNS`.
fn cases(usual: u32) -> u32 {
    let runs = number("TONGJANG_SIM_RUNS").map_or(1, |runs| u32::try_from(runs).unwrap());
    usual.saturating_mul(runs)
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Prints how to run `seed` again if it fails.
fn with_seed<T>(seed: u64, run: impl FnOnce() -> T + std::panic::UnwindSafe) -> T {
    std::panic::catch_unwind(run).unwrap_or_else(|failure| {
        eprintln!("to see it again: TONGJANG_SIM_SEED={seed} TONGJANG_SIM_RUNS=1");
        std::panic::resume_unwind(failure)
    })
}
