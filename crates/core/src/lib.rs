//! The rules of the ledger, and nothing else.
//!
//! `decide(book, request)` says what a command leads to, `apply` folds the
//! resulting event into the accounts, `audit` checks any sequence of events
//! against any balances. Nothing here reads a clock, a disk or a random
//! number: whatever is not deterministic arrives inside the [`Request`].

#![deny(clippy::indexing_slicing, clippy::float_arithmetic, clippy::as_conversions)]
// A test's own sums may overflow: it fails then, as it should.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod account;
pub mod apply;
pub mod audit;
pub mod book;
pub mod chain;
pub mod command;
pub mod currency;
pub mod decide;
pub mod entry;
pub mod event;
pub mod idempotency;
pub mod ids;
pub mod memory_book;
pub mod money;
pub mod rejection;
#[cfg(test)]
mod test_ledger;
pub mod text;
pub mod timestamp;
pub mod transaction;
pub mod trial;

pub use account::{Account, Opened, Standing, Status};
pub use audit::{Audit, AuditSummary, Fault};
pub use book::Book;
pub use chain::Hash;
pub use command::{Caller, Command, Request};
pub use currency::Currency;
pub use decide::{Decision, decide};
pub use entry::{Direction, Entry, EntryNumber};
pub use event::{Booked, Event, Opening, Refused, StatusChanged};
pub use idempotency::{Fingerprint, IdempotencyKey, KeyUse};
pub use ids::{AccountId, TransactionId, UserId};
pub use memory_book::MemoryBook;
pub use money::{Amount, Balance};
pub use rejection::Rejection;
pub use text::{AccountNumber, Bank, Memo, Metadata};
pub use timestamp::Timestamp;
pub use transaction::{Kind, Transaction};
pub use trial::{Tried, Verdict, decide_together};
