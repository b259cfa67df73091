//! A transaction, as much of it as the one who asks may see.

use serde::Serialize;
use tongjang_core::{AccountId, Direction, Entry, Metadata, Transaction, TransactionId};
use utoipa::ToSchema;

use super::{EntryView, Kind, Pairs, Parties, Text, some};
use crate::when::Utc;

/// Which entries of a transaction are shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Viewer {
    /// An operator, who sees all of it.
    Operator,
    /// A user who owns these accounts of it.
    Owner(Vec<AccountId>),
}

impl Viewer {
    /// Whether `account`'s entry is shown.
    pub fn sees(&self, account: AccountId) -> bool {
        match self {
            Self::Operator => true,
            Self::Owner(accounts) => accounts.contains(&account),
        }
    }
}

/// A booked transaction. It shows the entries of the caller's own accounts; an operator sees all.
#[derive(Serialize, ToSchema)]
#[schema(as = Transaction)]
pub struct TransactionView<'a> {
    /// The transaction's id.
    #[schema(value_type = String, example = "txn_01j9w3m2d6h8r4c1wzt9kqy5fb")]
    id: Text<TransactionId>,
    /// What it is.
    kind: Kind,
    /// How much moved, in the currency's minor unit; at most 2^96.
    #[schema(format = "int128", minimum = 1, example = 25000)]
    amount: i128,
    /// The ISO 4217 code of its currency.
    #[schema(value_type = String, example = "KRW")]
    currency: &'a str,
    /// What is said about it (적요), or null; who received a transfer sees the memo meant for him.
    #[schema(required, value_type = Option<String>, example = "점심")]
    memo: Option<&'a str>,
    /// What its maker keeps with it; empty for who received a transfer.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: Pairs<'a>,
    /// When it was booked.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T00:30:00.000001Z")]
    booked_at: Utc,
    /// Its entries, the debit first.
    #[schema(value_type = Vec<EntryView<'static>>)]
    entries: Vec<EntryView<'a>>,
    /// The transaction that this one takes back, or null.
    #[schema(required, value_type = Option<String>)]
    reverses: Option<Text<TransactionId>>,
    /// The transaction that took this one back, or null.
    #[schema(required, value_type = Option<String>)]
    reversed_by: Option<Text<TransactionId>>,
}

impl<'a> TransactionView<'a> {
    /// What `viewer` may see of `transaction`.
    pub fn new(transaction: &'a Transaction, viewer: &Viewer, parties: &'a Parties) -> Self {
        let kind = transaction.kind.into();
        let seen: Vec<&Entry> =
            transaction.entries.iter().filter(|entry| viewer.sees(entry.account)).collect();
        // The payer's memo and metadata are his own affair: who only received money gets the
        // memo that was meant for him.
        let received = transaction.kind == tongjang_core::Kind::Transfer
            && seen.iter().all(|entry| entry.direction == Direction::Credit);
        let memo = match seen.first() {
            Some(entry) if received => &entry.memo,
            _ => &transaction.memo,
        };
        Self {
            id: Text(transaction.id),
            kind,
            amount: transaction.amount.minor(),
            currency: transaction.currency.code(),
            memo: some(memo.as_str()),
            metadata: Pairs(if received { &Metadata::EMPTY } else { &transaction.metadata }),
            booked_at: Utc(transaction.booked_at),
            entries: seen
                .into_iter()
                .map(|entry| {
                    let booked_at = transaction.booked_at;
                    EntryView::new(transaction.id, kind, booked_at, entry, parties)
                })
                .collect(),
            reverses: None,
            reversed_by: None,
        }
    }
}
