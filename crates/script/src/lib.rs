//! The scripts of `testdata/`: rows of an action and what must come of it.
//!
//! One script runs on the bare core, on a store and over HTTP: each implements [`Ledger`], and one
//! function compares. For tests only; nothing that is shipped depends on this crate.

mod clock;
mod desk;
mod memory;
mod outcome;
mod parse;
mod run;
mod step;
mod tokens;

pub use clock::{instant, written};
pub use desk::{Books, Desk};
pub use memory::{MemoryBooks, MemoryLedger};
pub use outcome::{Expected, HistoryRow, Observed, Outcome, compare};
pub use parse::{NotAScript, Row, Script};
pub use run::{Failure, Ledger, run, run_folder, testdata};
pub use step::{Action, Ask, Money, Step, Target};
