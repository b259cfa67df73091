//! What a batch did, as rows, a column a field, as the statements of `writing` take them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tongjang_core::{AccountId, Entry, Event, KeyUse, Opened, StatusChanged, Transaction};

use super::book::PostgresBook;
use super::columns::{self, bigint};
use super::places::Parts;
use super::refusals;
use super::values::{Instant, Numeric, Uuid};

/// The columns of some rows; none, if there is no row.
pub(super) type Values<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// The rows of a batch, a column a field.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub(super) accounts: Accounts<'a>,
    pub(super) numbers: Numbers<'a>,
    pub(super) entries: Entries<'a>,
    pub(super) heads: Heads<'a>,
    pub(super) changes: Changes,
    pub(super) keys: Keys<'a>,
}

macro_rules! columns {
    ($name:ident $(<$life:lifetime>)? { $($column:ident: $kind:ty),* $(,)? }) => {
        #[derive(Default)]
        pub(super) struct $name $(<$life>)? { $(pub(super) $column: Vec<$kind>),* }

        impl $(<$life>)? $name $(<$life>)? {
            pub(super) fn values(&self) -> Values<'_> {
                if self.part.is_empty() { Vec::new() } else { vec![$(&self.$column),*] }
            }
        }
    };
}

columns!(Accounts<'a> {
    part: i16, id: Uuid, owner: Uuid, currency: &'a str, bank: Option<&'a str>,
    number: Option<&'a str>, number_made: bool, opened_at: Instant, hash: Vec<u8>,
});
columns!(Numbers<'a> { part: i16, bank: &'a str, bare: String, account: Uuid });
columns!(Entries<'a> {
    part: i16, account: Uuid, number: i64, previous_number: Option<i64>, currency: &'a str,
    kind: i16, direction: i16, transaction: Uuid, booked_at: Instant, amount: Numeric,
    balance_before: Numeric, balance: Numeric, credit_count: i64, credit_total: Numeric,
    counterparty: Option<Uuid>, memo: &'a str, metadata: Option<String>, hash: &'a [u8],
});
columns!(Heads<'a> {
    part: i16, id: Uuid, version_before: i64, status: &'static str, entry_count: i64,
    balance: Numeric, credit_count: i64, credit_total: Numeric, head_hash: &'a [u8],
    last_booked_at: Instant, changed_at: Instant, version: i64,
});
columns!(Changes {
    part: i16, account: Uuid, version: i64, status: &'static str, changed_at: Instant,
});
columns!(Keys<'a> {
    part: i16, scope: Uuid, key: &'a str, fingerprint: &'a [u8], happened_at: Instant,
    transaction: Option<Uuid>, opened: Option<Uuid>, changed: Option<Uuid>,
    refusal: Option<String>, version: Option<i64>,
});

impl<'a> Rows<'a> {
    /// The rows of everything that `book` did, each table's in the order of its primary key: of
    /// two who add the same at once one waits at most, neighbours in an index are added one after
    /// another, and the entries of an account are next to each other.
    pub(super) fn of(book: &'a PostgresBook, parts: Parts) -> Self {
        let mut rows = Self::default();
        let mut versions = Versions::of(book);
        let (mut opened, mut entries, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for event in &book.events {
            let mut changed = None;
            match event {
                Event::Opened(opening) => {
                    opened.extend(opening.settlement.iter().map(|settlement| (settlement, false)));
                    opened.push((&opening.account, opening.number_made));
                }
                Event::Booked(booked) => {
                    let sides = sides(book, &booked.transaction);
                    sides.iter().for_each(|side| _ = versions.after(side.entry.account));
                    entries.extend(sides);
                }
                Event::StatusChanged(change) => {
                    let version = versions.after(change.account);
                    rows.change(book, change, version);
                    changed = Some(version);
                }
                Event::Refused(_) => {}
            }
            if let Some(used) = event.key() {
                keys.push((parts.of_owner(used.scope), used, event, changed));
            }
        }
        opened.sort_by_key(|(opened, _)| (book.part_of(opened), opened.id));
        rows.opened(book, &opened);
        rows.numbers(opened.iter().filter_map(|(opened, _)| numbered(opened, parts)).collect());
        entries.sort_by_key(|side| (side.part, side.entry.account));
        rows.entries(&entries);
        keys.sort_by_key(|(part, used, ..)| (*part, used.scope, used.key.as_str()));
        keys.into_iter().for_each(|(part, used, event, changed)| {
            rows.key(part, used, event, changed);
        });
        rows.move_on(book);
        rows
    }

    fn opened(&mut self, book: &PostgresBook, opened: &[(&'a Arc<Opened>, bool)]) {
        let rows = &mut self.accounts;
        for (opened, number_made) in opened {
            rows.part.push(book.part_of(opened));
            rows.id.push(Uuid(opened.id.bits()));
            rows.owner.push(Uuid(opened.owner.bits()));
            rows.currency.push(opened.currency.code());
            let place = opened.place.as_ref();
            rows.bank.push(place.map(|(bank, _)| bank.as_str()));
            rows.number.push(place.map(|(_, number)| number.as_str()));
            rows.number_made.push(*number_made);
            rows.opened_at.push(Instant(opened.opened_at));
            rows.hash.push(tongjang_core::chain::genesis(opened).bytes().to_vec());
        }
    }

    fn numbers(&mut self, mut numbers: Vec<(i16, &'a str, String, AccountId)>) {
        numbers.sort();
        let rows = &mut self.numbers;
        for (part, bank, bare, account) in numbers {
            rows.part.push(part);
            rows.bank.push(bank);
            rows.bare.push(bare);
            rows.account.push(Uuid(account.bits()));
        }
    }

    fn change(&mut self, book: &PostgresBook, change: &StatusChanged, version: i64) {
        let rows = &mut self.changes;
        rows.part.push(part_in(book, change.account));
        rows.account.push(Uuid(change.account.bits()));
        rows.version.push(version);
        rows.status.push(change.status.as_str());
        rows.changed_at.push(Instant(change.at));
    }

    /// Adds `sides`, those of an account one after another.
    fn entries(&mut self, sides: &[Side<'a>]) {
        let rows = &mut self.entries;
        let mut before = None;
        for Side { part, transaction, entry, with_metadata } in sides {
            let (sign, amount) = (columns::sign(entry.direction), entry.amount.minor());
            let number = bigint(entry.number.get());
            let is_first = before.replace(entry.account) != Some(entry.account);
            let metadata = with_metadata.then(|| columns::write_metadata(&transaction.metadata));
            rows.part.push(*part);
            rows.account.push(Uuid(entry.account.bits()));
            rows.number.push(number);
            rows.previous_number.push((is_first && number > 1).then_some(number - 1));
            rows.currency.push(transaction.currency.code());
            rows.kind.push(transaction.kind.byte().into());
            rows.direction.push(sign);
            rows.transaction.push(Uuid(transaction.id.bits()));
            rows.booked_at.push(Instant(transaction.booked_at));
            rows.amount.push(Numeric(amount));
            rows.balance_before.push(Numeric(entry.balance.minor() - i128::from(sign) * amount));
            rows.balance.push(Numeric(entry.balance.minor()));
            rows.credit_count.push(bigint(entry.credit_count));
            rows.credit_total.push(Numeric(entry.credit_total.minor()));
            rows.counterparty.push(entry.counterparty.map(|id| Uuid(id.bits())));
            rows.memo.push(entry.memo.as_str());
            rows.metadata.push(metadata.flatten());
            rows.hash.push(entry.hash.bytes());
        }
    }

    /// What `event` makes of its key; a change of status, with the `version` that it led to.
    fn key(&mut self, part: i16, used: &'a KeyUse, event: &'a Event, version: Option<i64>) {
        let rows = &mut self.keys;
        rows.part.push(part);
        rows.scope.push(Uuid(used.scope.bits()));
        rows.key.push(used.key.as_str());
        rows.fingerprint.push(used.fingerprint.bytes());
        rows.happened_at.push(Instant(event.at()));
        let (mut transaction, mut opened, mut changed, mut refusal) = (None, None, None, None);
        match event {
            Event::Booked(booked) => transaction = Some(Uuid(booked.transaction.id.bits())),
            Event::Opened(opening) => opened = Some(Uuid(opening.account.id.bits())),
            Event::StatusChanged(change) => changed = Some(Uuid(change.account.bits())),
            Event::Refused(refused) => {
                refusal = Some(refusals::write(&refused.rejection, &refused.command));
            }
        }
        rows.transaction.push(transaction);
        rows.opened.push(opened);
        rows.changed.push(changed);
        rows.refusal.push(refusal);
        rows.version.push(version);
    }

    /// The heads of the accounts that changed, in the order in which they were locked.
    fn move_on(&mut self, book: &'a PostgresBook) {
        let moved =
            book.held.values().filter(|held| held.account.version() != held.locked_at.unwrap_or(1));
        let mut moved: Vec<_> = moved.collect();
        moved.sort_by_key(|held| (held.part, held.account.id()));
        let rows = &mut self.heads;
        for held in moved {
            let (account, at) = (&held.account, held.account.standing());
            rows.part.push(held.part);
            rows.id.push(Uuid(account.id().bits()));
            rows.version_before.push(bigint(held.locked_at.unwrap_or(1)));
            rows.status.push(at.status.as_str());
            rows.entry_count.push(bigint(at.entry_count));
            rows.balance.push(Numeric(account.balance().minor()));
            rows.credit_count.push(bigint(at.credit_count));
            rows.credit_total.push(Numeric(at.credit_total.minor()));
            rows.head_hash.push(at.head_hash.bytes());
            rows.last_booked_at.push(Instant(at.last_booked_at));
            rows.changed_at.push(Instant(held.changed_at));
            rows.version.push(bigint(at.version));
        }
    }
}

/// An entry of the batch, with what it shares with the other side.
struct Side<'a> {
    part: i16,
    transaction: &'a Transaction,
    entry: &'a Entry,
    /// Whether the transaction's metadata stands on this side.
    with_metadata: bool,
}

/// The debit and the credit of `transaction`; its metadata stands on the debit.
fn sides<'a>(book: &PostgresBook, transaction: &'a Transaction) -> [Side<'a>; 2] {
    let [debit, credit] = &transaction.entries[..] else {
        unreachable!("a transaction has one debit and one credit")
    };
    [(debit, true), (credit, false)].map(|(entry, with_metadata)| {
        let part = part_in(book, entry.account);
        Side { part, transaction, entry, with_metadata }
    })
}

/// The part of an account of the batch.
fn part_in(book: &PostgresBook, id: AccountId) -> i16 {
    book.held.get(&id).expect("what a batch does is on its accounts").part
}

/// Which version each change leads to: those of one account are counted on from the one that it
/// was locked at.
struct Versions(HashMap<AccountId, u64>);

impl Versions {
    fn of(book: &PostgresBook) -> Self {
        let held = book.held.values();
        Self(held.map(|held| (held.account.id(), held.locked_at.unwrap_or(1))).collect())
    }

    /// The version after one more change of `account`.
    fn after(&mut self, account: AccountId) -> i64 {
        let version = self.0.get_mut(&account).expect("what a batch does is on its accounts");
        *version += 1;
        bigint(*version)
    }
}

/// What leads to the account `opened` by its number, if it has one: in which part, the bank, the
/// bare number, and the account.
fn numbered(opened: &Opened, parts: Parts) -> Option<(i16, &str, String, AccountId)> {
    let (bank, number) = opened.place.as_ref()?;
    Some((parts.of_number(bank, number), bank.as_str(), number.bare(), opened.id))
}
