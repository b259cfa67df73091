//! What makes the ledger durable: the teller, who alone writes, and the store under it.
//!
//! A request goes `Teller::submit` → `Store::load` → `decide` and `apply` of the core →
//! `Store::commit` → the answer. Queries go to a `Reader` and see only what is durable.

pub mod disk;
pub mod error;
pub mod faulty;
pub mod journal;
pub mod postgres;
pub mod query;
pub mod store;
pub mod teller;

pub use error::StoreError;
pub use query::{EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Row, Summary};
pub use store::{Reader, Release, Room, Store};
pub use teller::{
    Answer, Brief, BundleReply, Made, Messenger, Refusal, Reply, Teller, TellerLimits,
    TellerThread, Together, TogetherReply,
};
