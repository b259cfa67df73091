//! An entry: a row of a passbook.

use serde::Serialize;
use tongjang_core::{AccountId, Entry, Hash, Timestamp, TransactionId};
use tongjang_store::Row;
use utoipa::ToSchema;

use super::{Direction, Kind, Parties, Party, Text, some};
use crate::when::Utc;

/// A row of an account's history.
#[derive(Serialize, ToSchema)]
#[schema(as = Entry)]
pub struct EntryView<'a> {
    /// The account it is booked on.
    #[schema(value_type = String, example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp")]
    account_id: Text<AccountId>,
    /// Its place among the account's entries: 1, 2, 3 … without a gap.
    #[schema(minimum = 1, example = 3)]
    number: u64,
    /// The transaction that it belongs to.
    #[schema(value_type = String, example = "txn_01j9w3m2d6h8r4c1wzt9kqy5fb")]
    transaction_id: Text<TransactionId>,
    /// What that transaction is.
    kind: Kind,
    /// In or out.
    direction: Direction,
    /// How much, always positive, in the currency's minor unit; at most 2^96.
    #[schema(format = "int128", minimum = 1, example = 25000)]
    amount: i128,
    /// The account's balance right after this entry.
    #[schema(format = "int128", example = 125000)]
    balance: i128,
    /// What the passbook says about it (적요), or null.
    #[schema(required, value_type = Option<String>, example = "점심")]
    memo: Option<&'a str>,
    /// The customer's account on the other side; null for money from or to the outside.
    #[schema(required, value_type = Option<CounterpartyView<'static>>)]
    counterparty: Option<CounterpartyView<'a>>,
    /// When it was booked; later than the account's entry before it.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T00:30:00.000001Z")]
    booked_at: Utc,
    /// SHA-256 over the hash of the entry before and this entry, in hexadecimal.
    #[schema(
        value_type = String,
        example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    hash: Text<Hash>,
}

/// Who stands on the other side of an entry.
#[derive(Serialize, ToSchema)]
#[schema(as = Counterparty)]
pub struct CounterpartyView<'a> {
    /// The account on the other side.
    #[schema(value_type = String, example = "acc_01j9w3k7c2s5n9b4vxg8td6yeh")]
    account_id: Text<AccountId>,
    /// The bank that keeps it.
    #[schema(required, value_type = Option<String>, example = "088")]
    bank: Option<&'a str>,
    /// Its number within the bank.
    #[schema(required, value_type = Option<String>, example = "110-733-064128")]
    number: Option<&'a str>,
    /// Its owner's display name, if there is one.
    #[schema(required, value_type = Option<String>, example = "이영희")]
    name: Option<&'a str>,
}

impl<'a> EntryView<'a> {
    /// The row of a history.
    pub fn of_row(row: &'a Row, parties: &'a Parties) -> Self {
        Self::new(row.transaction, row.kind.into(), row.booked_at, &row.entry, parties)
    }

    /// The entry of a transaction.
    ///
    /// An account on the other side that is not among `parties` is shown by its id alone.
    pub(super) fn new(
        transaction: TransactionId,
        kind: Kind,
        booked_at: Timestamp,
        entry: &'a Entry,
        parties: &'a Parties,
    ) -> Self {
        Self {
            account_id: Text(entry.account),
            number: entry.number.get(),
            transaction_id: Text(transaction),
            kind,
            direction: entry.direction.into(),
            amount: entry.amount.minor(),
            balance: entry.balance.minor(),
            memo: some(entry.memo.as_str()),
            counterparty: entry
                .counterparty
                .map(|account| CounterpartyView::new(account, parties.get(&account))),
            booked_at: Utc(booked_at),
            hash: Text(entry.hash),
        }
    }
}

impl<'a> CounterpartyView<'a> {
    fn new(account: AccountId, party: Option<&'a Party>) -> Self {
        let place = party.and_then(|party| party.opened.place.as_ref());
        Self {
            account_id: Text(account),
            bank: place.map(|(bank, _)| bank.as_str()),
            number: place.map(|(_, number)| number.as_str()),
            name: party.and_then(|party| party.name.as_deref()),
        }
    }
}
