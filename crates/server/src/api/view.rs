//! What answers look like: the JSON of accounts, entries and transactions, borrowed from the
//! core's values and written straight into the answer's bytes.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use tongjang_core as core;
use tongjang_core::{AccountId, Metadata, Opened};
use utoipa::ToSchema;

mod account;
mod entry;
mod transaction;

pub use account::AccountView;
pub use entry::{CounterpartyView, EntryView};
pub use transaction::{TransactionView, Viewer};

/// A value that JSON shows as the text it displays as: an id, a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text<T>(pub T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Metadata as an object.
pub(crate) struct Pairs<'a>(pub &'a Metadata);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pairs = self.0.pairs();
        let mut map = serializer.serialize_map(Some(pairs.len()))?;
        for (key, value) in pairs {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// What a transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Money came into the ledger.
    Deposit,
    /// Money left the ledger.
    Withdrawal,
    /// Money went from one customer's account to another.
    Transfer,
    /// A hold was turned into a booking.
    Capture,
    /// An earlier transaction was taken back.
    Reversal,
    /// An operator put something right.
    Adjustment,
}

impl From<core::Kind> for Kind {
    fn from(kind: core::Kind) -> Self {
        match kind {
            core::Kind::Deposit => Self::Deposit,
            core::Kind::Withdrawal => Self::Withdrawal,
            core::Kind::Transfer => Self::Transfer,
            core::Kind::Capture => Self::Capture,
            core::Kind::Reversal => Self::Reversal,
            core::Kind::Adjustment => Self::Adjustment,
        }
    }
}

impl From<Kind> for core::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Deposit => Self::Deposit,
            Kind::Withdrawal => Self::Withdrawal,
            Kind::Transfer => Self::Transfer,
            Kind::Capture => Self::Capture,
            Kind::Reversal => Self::Reversal,
            Kind::Adjustment => Self::Adjustment,
        }
    }
}

/// Which way the money went, seen from the account: `credit` is in (입금), `debit` out (출금).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Money came in.
    Credit,
    /// Money went out.
    Debit,
}

impl From<core::Direction> for Direction {
    fn from(direction: core::Direction) -> Self {
        match direction {
            core::Direction::Credit => Self::Credit,
            core::Direction::Debit => Self::Debit,
        }
    }
}

impl From<Direction> for core::Direction {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Credit => Self::Credit,
            Direction::Debit => Self::Debit,
        }
    }
}

/// Whether an account may be booked on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It may.
    Open,
    /// Not until it is opened again.
    Frozen,
    /// Never again.
    Closed,
}

impl From<core::Status> for Status {
    fn from(status: core::Status) -> Self {
        match status {
            core::Status::Open => Self::Open,
            core::Status::Frozen => Self::Frozen,
            core::Status::Closed => Self::Closed,
        }
    }
}

/// Who stands on the other side of an entry, as far as the reader may know it.
#[derive(Clone, Debug)]
pub struct Party {
    /// The opening of their account.
    pub opened: Arc<Opened>,
    /// The owner's display name.
    pub name: Option<Arc<str>>,
}

/// The accounts on the other side of some entries.
pub type Parties = HashMap<AccountId, Party>;

/// A text, or nothing where it is empty.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
