//! The journal through the teller, as a server uses it.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod chronicle;
mod damage;
mod forger;
mod golden;
mod history;
mod keys;
mod ledger;
mod reads;
mod restart;
mod scripts;
