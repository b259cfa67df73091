//! Rows of the tables as the core's types. What does not fit them is damage, told with its place.

use std::sync::{Arc, LazyLock};

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use tongjang_core::{
    Account, AccountId, AccountNumber, Amount, Balance, Bank, Currency, Direction, Entry,
    EntryNumber, Hash, Kind, Memo, Metadata, Opened, Standing, Status, Timestamp, TransactionId,
    UserId,
};

use super::values::{Instant, Numeric, Uuid};
use crate::StoreError;

/// The columns that [`account`] reads, of `tongjang.accounts AS a`.
pub(super) const ACCOUNT: &str = "a.part, a.id, a.owner, a.currency, a.bank, a.number, \
    a.opened_at, a.status, a.entry_count, a.credit_count, a.credit_total, a.balance, a.held, \
    a.overdraft_limit, a.head_hash, a.last_booked_at, a.version, a.changed_at, a.number_made";

/// The columns that [`entry`] reads, of `tongjang.entries AS e`.
pub(super) const ENTRY: &str = "e.account_id, e.number, e.direction, e.amount, e.balance, \
    e.memo, e.counterparty_id, e.credit_count, e.credit_total, e.hash, e.transaction_id, e.kind, \
    e.booked_at, e.currency, e.metadata, e.part";

/// The accounts of some ids.
pub(super) static ACCOUNTS_BY_ID: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {ACCOUNT} FROM tongjang.accounts AS a WHERE a.id = ANY ($1::uuid[])")
});

/// An account as it stands in its table.
pub(super) struct AccountRow {
    pub(super) account: Account,
    pub(super) part: i16,
    pub(super) changed_at: Timestamp,
    pub(super) number_made: bool,
}

/// An entry as it stands in its table, with what it repeats of its transaction.
pub(super) struct EntryRow {
    pub(super) row: crate::Row,
    pub(super) currency: Currency,
    /// Of a debit alone.
    pub(super) metadata: Option<Metadata>,
}

/// A column that is not what it must be.
pub(super) struct Bad<'a>(&'a str);

impl Bad<'_> {
    pub(super) fn at(self, place: impl std::fmt::Display) -> StoreError {
        let what = format!("its column {} holds what no ledger puts there", self.0);
        StoreError::Damaged { place: place.to_string(), what }
    }
}

/// That an account is in two parts. Only an engine that distributes the tables takes such a row.
pub(super) fn twice(id: AccountId, parts: [i16; 2]) -> StoreError {
    let [one, other] = parts;
    let what = format!("it is in part {one} and in part {other}");
    StoreError::Damaged { place: format!("account {id}"), what }
}

/// What stands in a column of `row`. A number beyond 128 bits, or a time beyond the last, may stand
/// in its column, but cannot be read.
pub(super) fn value<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Bad<'a>> {
    row.try_get(column).map_err(|_| Bad(row.columns()[column].name()))
}

/// The account of a row of [`ACCOUNT`].
pub(super) fn account(row: &Row) -> Result<AccountRow, StoreError> {
    let nameless = |bad: Bad<'_>| bad.at("a row of tongjang.accounts");
    let Uuid(id) = value(row, 1).map_err(nameless)?;
    let id = AccountId::from_bits(id);
    let part: i16 = value(row, 0).map_err(nameless)?;
    let read = || {
        let opened = opened(row, id)?;
        let Numeric(credit_total) = value(row, 10)?;
        let Numeric(balance) = value(row, 11)?;
        let debit_total = credit_total.checked_sub(balance).ok_or(Bad("balance"))?;
        let (Numeric(held), Numeric(limit)) = (value(row, 12)?, value(row, 13)?);
        let count = |column: usize, name| whole(value(row, column)?).ok_or(Bad(name));
        let standing = Standing {
            status: status(value(row, 7)?).ok_or(Bad("status"))?,
            credit_total: Balance::new(credit_total),
            debit_total: Balance::new(debit_total),
            held: Balance::new(held),
            overdraft_limit: Balance::new(limit),
            entry_count: count(8, "entry_count")?,
            credit_count: count(9, "credit_count")?,
            head_hash: hash(value(row, 14)?).ok_or(Bad("head_hash"))?,
            last_booked_at: time(row, 15)?,
            version: count(16, "version")?,
        };
        Account::at(opened, standing).ok_or(Bad("credit_total, or another of its figures,"))
    };
    let place = |bad: Bad<'_>| bad.at(format_args!("account {id} in part {part}"));
    let (account, changed_at) = (read().map_err(place)?, time(row, 17).map_err(place)?);
    Ok(AccountRow { account, part, changed_at, number_made: value(row, 18).map_err(place)? })
}

fn opened(row: &Row, id: AccountId) -> Result<Arc<Opened>, Bad<'_>> {
    let Uuid(owner) = value(row, 2)?;
    let (bank, number): (Option<&str>, Option<&str>) = (row.get(4), row.get(5));
    let place = match (bank, number) {
        (Some(bank), Some(number)) => Some((
            Bank::new(bank).map_err(|_| Bad("bank"))?,
            AccountNumber::new(number).map_err(|_| Bad("number"))?,
        )),
        (None, None) => None,
        _ => return Err(Bad("bank")),
    };
    Ok(Arc::new(Opened {
        id,
        owner: UserId::from_bits(owner),
        currency: currency(value(row, 3)?).ok_or(Bad("currency"))?,
        place,
        opened_at: time(row, 6)?,
    }))
}

/// The entry of a row of [`ENTRY`].
pub(super) fn entry(row: &Row) -> Result<EntryRow, StoreError> {
    let nameless = |bad: Bad<'_>| bad.at("a row of tongjang.entries");
    let Uuid(account) = value(row, 0).map_err(nameless)?;
    let account = AccountId::from_bits(account);
    let (number, part): (i64, i16) =
        (value(row, 1).map_err(nameless)?, value(row, 15).map_err(nameless)?);
    let read = || {
        let (Numeric(amount), Numeric(balance)) = (value(row, 3)?, value(row, 4)?);
        let Numeric(credit_total) = value(row, 8)?;
        let Uuid(transaction) = value(row, 10)?;
        let counterparty: Option<Uuid> = row.get(6);
        let metadata: Option<&str> = row.get(14);
        let entry = Entry {
            account,
            number: whole(number).and_then(EntryNumber::new).ok_or(Bad("number"))?,
            direction: direction(value(row, 2)?).ok_or(Bad("direction"))?,
            amount: Amount::new(amount).ok_or(Bad("amount"))?,
            balance: Balance::new(balance),
            memo: Memo::new(value(row, 5)?).map_err(|_| Bad("memo"))?,
            counterparty: counterparty.map(|Uuid(id)| AccountId::from_bits(id)),
            credit_count: whole(value(row, 7)?).ok_or(Bad("credit_count"))?,
            credit_total: Balance::new(credit_total),
            hash: hash(value(row, 9)?).ok_or(Bad("hash"))?,
        };
        Ok(EntryRow {
            row: crate::Row {
                transaction: TransactionId::from_bits(transaction),
                kind: kind(value(row, 11)?).ok_or(Bad("kind"))?,
                booked_at: time(row, 12)?,
                entry,
            },
            currency: currency(value(row, 13)?).ok_or(Bad("currency"))?,
            metadata: match metadata {
                None => None,
                Some(text) => Some(read_metadata(text).ok_or(Bad("metadata"))?),
            },
        })
    };
    let place = format_args!("entry {number} of account {account} in part {part}").to_string();
    read().map_err(|bad: Bad<'_>| bad.at(place))
}

/// The time in a column of `row`.
pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, Bad<'_>> {
    value(row, column).map(|Instant(time)| time)
}

/// A count, which is never negative.
pub(super) fn whole(count: i64) -> Option<u64> {
    u64::try_from(count).ok()
}

/// A count as a column takes it.
pub(super) fn bigint(count: u64) -> i64 {
    i64::try_from(count).expect("no account is booked on 2^63 times")
}

pub(super) fn currency(code: &str) -> Option<Currency> {
    Currency::new(code)
}

pub(super) fn status(text: &str) -> Option<Status> {
    [Status::Open, Status::Frozen, Status::Closed].into_iter().find(|one| one.as_str() == text)
}

fn hash(bytes: &[u8]) -> Option<Hash> {
    bytes.try_into().ok().map(Hash::from_bytes)
}

fn kind(number: i16) -> Option<Kind> {
    u8::try_from(number).ok().and_then(Kind::from_byte)
}

fn direction(sign: i16) -> Option<Direction> {
    match sign {
        1 => Some(Direction::Credit),
        -1 => Some(Direction::Debit),
        _ => None,
    }
}

/// The sign that a direction stands as: 1 for a credit, −1 for a debit.
pub(super) fn sign(direction: Direction) -> i16 {
    match direction {
        Direction::Credit => 1,
        Direction::Debit => -1,
    }
}

/// Metadata as its column keeps it: an object of texts, or nothing.
pub(super) fn write_metadata(metadata: &Metadata) -> Option<String> {
    let pairs = metadata.pairs();
    if pairs.is_empty() {
        return None;
    }
    let pairs = pairs.iter().map(|(key, value)| (key.to_string(), Value::from(value.as_ref())));
    Some(Value::Object(pairs.collect()).to_string())
}

/// What [`write_metadata`] wrote.
pub(super) fn read_metadata(text: &str) -> Option<Metadata> {
    let Ok(Value::Object(pairs)) = serde_json::from_str(text) else { return None };
    let pairs = pairs.into_iter().map(|(key, value)| match value {
        Value::String(value) => Some((key.into(), value.into())),
        _ => None,
    });
    Metadata::new(pairs.collect::<Option<_>>()?).ok()
}
