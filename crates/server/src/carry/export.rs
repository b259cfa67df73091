//! A whole ledger as lines that an import takes: every opening, booking and change of status, in
//! the order in which they happened.

use serde::Serialize;
use tongjang_core::{
    AccountId, Booked, Direction, Entry, Event, Kind, Opened, StatusChanged, TransactionId, UserId,
};

use super::cells::{COLUMNS, guarded};
use super::sheet::Record;
use crate::api::view::{Pairs, Text};
use crate::when::Utc;

/// A line of an export, with the names that `fields` reads.
#[derive(Default, Serialize)]
pub(crate) struct Exported<'a> {
    op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Text<AccountId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<Text<UserId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bank: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_account: Option<Text<AccountId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_account: Option<Text<AccountId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_memo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Pairs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<Text<TransactionId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    booked_at: Option<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened_at: Option<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at: Option<Utc>,
}

impl<'a> Exported<'a> {
    /// The line of an event; none, if nothing came of it but a refusal.
    ///
    /// # Panics
    /// If a transaction moves between anything but two accounts, which no version books.
    pub(crate) fn of(event: &'a Event) -> Option<Self> {
        match event {
            Event::Opened(opening) => Some(Self::opened(&opening.account)),
            Event::Booked(booked) => Some(Self::booked(booked)),
            Event::StatusChanged(change) => Some(Self::changed(change)),
            Event::Refused(_) => None,
        }
    }

    fn opened(opened: &'a Opened) -> Self {
        let place = opened.place.as_ref();
        Self {
            op: "open",
            account: Some(Text(opened.id)),
            owner_id: Some(Text(opened.owner)),
            currency: Some(opened.currency.code()),
            bank: place.map(|(bank, _)| bank.as_str()),
            number: place.map(|(_, number)| number.as_str()),
            opened_at: Some(Utc(opened.opened_at)),
            ..Self::default()
        }
    }

    /// Whatever kind of transaction it is, its entries say what it did to which accounts.
    fn booked(booked: &'a Booked) -> Self {
        let booked = &booked.transaction;
        let [debit, credit] = booked.entries.as_slice() else {
            panic!("{} does not have two entries", booked.id);
        };
        let base = Self {
            amount: Some(booked.amount.minor()),
            metadata: Some(Pairs(&booked.metadata)).filter(|pairs| !pairs.0.pairs().is_empty()),
            transaction_id: Some(Text(booked.id)),
            booked_at: Some(Utc(booked.booked_at)),
            ..Self::default()
        };
        let own = |entry: &Entry| !entry.account.is_settlement();
        let (op, kind, line) = match (own(debit), own(credit)) {
            (false, _) => {
                let account = Some(Text(credit.account));
                ("deposit", Kind::Deposit, Self { account, memo: some(credit), ..base })
            }
            (true, false) => {
                let account = Some(Text(debit.account));
                ("withdrawal", Kind::Withdrawal, Self { account, memo: some(debit), ..base })
            }
            (true, true) => {
                assert_eq!(debit.direction, Direction::Debit, "the debit stands first");
                let line = Self {
                    from_account: Some(Text(debit.account)),
                    to_account: Some(Text(credit.account)),
                    memo: some(debit),
                    to_memo: (credit.memo != debit.memo).then(|| credit.memo.as_str()),
                    ..base
                };
                ("transfer", Kind::Transfer, line)
            }
        };
        let kind = (booked.kind != kind).then(|| booked.kind.as_str());
        Self { op, kind, ..line }
    }

    fn changed(change: &StatusChanged) -> Self {
        Self {
            op: "status",
            account: Some(Text(change.account)),
            status: Some(change.status.as_str()),
            changed_at: Some(Utc(change.at)),
            ..Self::default()
        }
    }
}

fn some(entry: &Entry) -> Option<&str> {
    Some(entry.memo.as_str()).filter(|memo| !memo.is_empty())
}

impl Record for Exported<'_> {
    const COLUMNS: &'static [&'static str] = &COLUMNS;

    fn cells(&self, put: &mut dyn FnMut(&str)) {
        fn shown<T: std::fmt::Display>(value: Option<&T>) -> String {
            value.map(T::to_string).unwrap_or_default()
        }
        let metadata = self
            .metadata
            .as_ref()
            .map(|pairs| serde_json::to_string(pairs).expect("texts can be written as JSON"));
        let text = |text: Option<&str>| text.map(|text| guarded(text).into_owned());
        for cell in [
            self.op,
            &shown(self.account.as_ref().map(|id| &id.0)),
            &shown(self.owner_id.as_ref().map(|id| &id.0)),
            self.currency.unwrap_or_default(),
            &text(self.bank).unwrap_or_default(),
            &text(self.number).unwrap_or_default(),
            &shown(self.from_account.as_ref().map(|id| &id.0)),
            "",
            "",
            &shown(self.to_account.as_ref().map(|id| &id.0)),
            "",
            "",
            &shown(self.amount.as_ref()),
            &text(self.memo).unwrap_or_default(),
            &text(self.to_memo).unwrap_or_default(),
            &metadata.unwrap_or_default(),
            self.status.unwrap_or_default(),
            "",
            self.kind.unwrap_or_default(),
            &shown(self.transaction_id.as_ref().map(|id| &id.0)),
            &shown(self.booked_at.as_ref()),
            &shown(self.opened_at.as_ref()),
            &shown(self.changed_at.as_ref()),
        ] {
            put(cell);
        }
    }
}
