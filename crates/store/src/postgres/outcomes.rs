//! What keys stand for: from rows of `tongjang.keys` back to the events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use tokio_postgres::{Client, Row, Statement};
use tongjang_core::{
    Account, AccountId, Booked, Command, Direction, Entry, Event, Fingerprint, IdempotencyKey,
    KeyUse, Opening, Refused, StatusChanged, Timestamp, Transaction, TransactionId, UserId,
};

use super::columns::{self, ENTRY, EntryRow};
use super::places::Parts;
use super::refusals;
use super::values::Uuid;
use crate::StoreError;

/// The columns that [`KeyRow::read`] reads, of `tongjang.keys AS k`.
pub(super) const KEY: &str = "k.scope, k.key, k.fingerprint, k.happened_at, k.transaction_id, \
    k.opened_id, k.changed_id, k.refusal, k.version, k.part";

/// The rows of keys, by part, scope and key.
pub(super) static KEYS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {KEY} FROM tongjang.keys AS k
            JOIN unnest($1::smallint[], $2::uuid[], $3::text[]) AS w (part, scope, key)
                ON k.part = w.part AND k.scope = w.scope AND k.key = w.key"
    )
});

/// A key as it stands in its table.
pub(super) struct KeyRow {
    pub(super) part: i16,
    pub(super) used: KeyUse,
    pub(super) at: Timestamp,
    pub(super) stands_for: StandsFor,
}

/// What a key stands for.
pub(super) enum StandsFor {
    Transaction(TransactionId),
    Opening(AccountId),
    Change { account: AccountId, version: i64 },
    Refusal(String),
}

impl KeyRow {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let nameless = |bad: columns::Bad<'_>| bad.at("a row of tongjang.keys");
        let Uuid(scope) = columns::value(row, 0).map_err(nameless)?;
        let (scope, text) =
            (UserId::from_bits(scope), columns::value::<&str>(row, 1).map_err(nameless)?);
        let part = columns::value(row, 9).map_err(nameless)?;
        let fault = |what: &str| StoreError::Damaged {
            place: format!("key {text} of {scope}"),
            what: what.to_owned(),
        };
        let key = IdempotencyKey::new(text).ok_or_else(|| fault("it is no key"))?;
        let fingerprint = columns::value::<&[u8]>(row, 2).ok();
        let fingerprint = fingerprint.and_then(|bytes| bytes.try_into().ok());
        let fingerprint = fingerprint.ok_or_else(|| fault("its fingerprint is none"))?;
        let (transaction, opened): (Option<Uuid>, Option<Uuid>) = (row.get(4), row.get(5));
        let (changed, version): (Option<Uuid>, Option<i64>) = (row.get(6), row.get(8));
        let refusal: Option<String> = row.get(7);
        let stands_for = match (transaction, opened, changed.zip(version), refusal) {
            (Some(Uuid(id)), None, None, None) => {
                StandsFor::Transaction(TransactionId::from_bits(id))
            }
            (None, Some(Uuid(id)), None, None) => StandsFor::Opening(AccountId::from_bits(id)),
            (None, None, Some((Uuid(id), version)), None) => {
                StandsFor::Change { account: AccountId::from_bits(id), version }
            }
            (None, None, None, Some(refusal)) => StandsFor::Refusal(refusal),
            _ => return Err(fault("it stands for several outcomes or for none")),
        };
        let fingerprint = Fingerprint::from_bytes(fingerprint);
        let used = KeyUse { scope, key, fingerprint };
        let at = columns::time(row, 3).map_err(|_| fault("its time is none"))?;
        Ok(Self { part, used, at, stands_for })
    }

    pub(super) fn fault(&self, what: &str) -> StoreError {
        let place = format!("key {} of {}", self.used.key.as_str(), self.used.scope);
        StoreError::Damaged { place, what: what.to_owned() }
    }
}

/// The statements that find events.
pub(super) struct Statements {
    entries: Statement,
    accounts: Statement,
    changes: Statement,
}

impl Statements {
    pub(super) async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let entries = format!(
            "SELECT {ENTRY} FROM unnest($1::smallint[], $2::uuid[]) AS w (part, id)
                JOIN tongjang.entries AS e ON e.part = w.part AND e.transaction_id = w.id
                    AND e.booked_at IS NOT NULL"
        );
        let changes = "SELECT s.account_id, s.version, s.status
            FROM unnest($1::smallint[]) AS p (part)
            CROSS JOIN unnest($2::uuid[], $3::bigint[]) AS w (id, version)
            JOIN tongjang.status_changes AS s
                ON s.part = p.part AND s.account_id = w.id AND s.version = w.version";
        Ok(Self {
            entries: client.prepare(&entries).await?,
            accounts: client.prepare(&columns::ACCOUNTS_BY_ID).await?,
            changes: client.prepare(changes).await?,
        })
    }

    /// The events that `keys` stand for.
    pub(super) async fn events(
        &self,
        client: &Client,
        parts: Parts,
        keys: Vec<KeyRow>,
    ) -> Result<Vec<(UserId, IdempotencyKey, Event)>, StoreError> {
        let (mut transactions, mut accounts, mut changes) =
            (BTreeSet::new(), Vec::new(), Vec::new());
        for key in &keys {
            match &key.stands_for {
                StandsFor::Transaction(id) => {
                    transactions.insert((parts.of_owner(key.used.scope), *id));
                }
                StandsFor::Opening(id) => accounts.push(Uuid(id.bits())),
                StandsFor::Change { account, version } => {
                    changes.push((Uuid(account.bits()), *version));
                }
                StandsFor::Refusal(_) => {}
            }
        }
        let attempt = |error| StoreError::database(LOOK_UP, error);
        let booked = self.transactions(client, parts, transactions).await?;
        let mut opened = HashMap::new();
        if !accounts.is_empty() {
            for row in client.query(&self.accounts, &[&accounts]).await.map_err(attempt)? {
                let row = columns::account(&row)?;
                opened.insert(row.account.id(), (row.account, row.number_made));
            }
        }
        let mut changed = HashMap::new();
        if !changes.is_empty() {
            let (ids, versions): (Vec<Uuid>, Vec<i64>) = changes.into_iter().unzip();
            let rows = client.query(&self.changes, &[&every(parts), &ids, &versions]).await;
            for row in rows.map_err(attempt)? {
                let (Uuid(id), version): (_, i64) = (row.get(0), row.get(1));
                changed.insert((id, version), columns::status(row.get(2)));
            }
        }
        let found = keys.into_iter().map(|key| {
            let used = Some(key.used.clone());
            let event = match &key.stands_for {
                StandsFor::Transaction(id) => {
                    let transaction = booked.get(id).cloned();
                    transaction.map(|transaction| Event::Booked(Booked { transaction, key: used }))
                }
                StandsFor::Opening(id) => opened
                    .get(id)
                    .map(|(account, number_made)| opening(account, *number_made, used)),
                StandsFor::Change { account, version } => {
                    let status = changed.get(&(account.bits(), *version)).copied().flatten();
                    status.map(|status| {
                        let (account, at) = (*account, key.at);
                        Event::StatusChanged(StatusChanged { account, status, at, key: used })
                    })
                }
                StandsFor::Refusal(text) => refused(text, &key),
            };
            let event = event.ok_or_else(|| key.fault("what it stands for is not there"))?;
            Ok((key.used.scope, key.used.key, event))
        });
        found.collect()
    }

    /// Those of the transactions `wanted` that there are, each of which most likely has both of its
    /// sides in the part that is told with it.
    async fn transactions(
        &self,
        client: &Client,
        parts: Parts,
        wanted: BTreeSet<(i16, TransactionId)>,
    ) -> Result<BTreeMap<TransactionId, Transaction>, StoreError> {
        let mut sides = self.sides(client, &wanted).await?;
        let has_both = |id: &TransactionId| sides.get(id).is_some_and(|sides| sides.len() == 2);
        let missing = wanted.iter().map(|(_, id)| *id).filter(|id| !has_both(id));
        let anywhere = missing.flat_map(|id| every(parts).into_iter().map(move |at| (at, id)));
        let anywhere = anywhere.collect();
        sides.extend(self.sides(client, &anywhere).await?);
        sides.into_iter().map(|(id, sides)| Ok((id, transaction(sides)?))).collect()
    }

    /// The sides of transactions that are in the parts `among`.
    async fn sides(
        &self,
        client: &Client,
        among: &BTreeSet<(i16, TransactionId)>,
    ) -> Result<Sides, StoreError> {
        if among.is_empty() {
            return Ok(Sides::new());
        }
        let (parts, ids): (Vec<i16>, Vec<Uuid>) =
            among.iter().map(|(part, id)| (*part, Uuid(id.bits()))).unzip();
        let rows = client.query(&self.entries, &[&parts, &ids]).await;
        sides(&rows.map_err(|error| StoreError::database(LOOK_UP, error))?)
    }
}

const LOOK_UP: &str = "look up what keys stand for";

/// Entries by their transactions.
type Sides = BTreeMap<TransactionId, Vec<EntryRow>>;

/// Every part, as a column takes them.
pub(super) fn every(parts: Parts) -> Vec<i16> {
    (0..parts.count()).map(|part| i16::try_from(part).expect("fewer than 2^15 parts")).collect()
}

/// The opening of `account`, as a key answers it.
fn opening(account: &Account, number_made: bool, key: Option<KeyUse>) -> Event {
    let account = account.opened().clone();
    Event::Opened(Opening { account, settlement: None, number_made, key })
}

pub(super) fn refused(text: &str, key: &KeyRow) -> Option<Event> {
    let (rejection, command): (_, Command) = refusals::read(text)?;
    Some(Event::Refused(Refused { rejection, command, key: key.used.clone(), at: key.at }))
}

/// The transactions that rows of [`ENTRY`] belong to.
pub(super) fn assembled(rows: &[Row]) -> Result<BTreeMap<TransactionId, Transaction>, StoreError> {
    sides(rows)?.into_iter().map(|(id, sides)| Ok((id, transaction(sides)?))).collect()
}

fn sides(rows: &[Row]) -> Result<Sides, StoreError> {
    let mut sides = Sides::new();
    for row in rows {
        let row = columns::entry(row)?;
        sides.entry(row.row.transaction).or_default().push(row);
    }
    Ok(sides)
}

/// Whether of two entries each names the other's account, or none. Two bookings between two parts
/// under one id have a debit and a credit in each part, which are not one booking's.
fn are_a_pair(entries: &[Entry]) -> bool {
    let [one, other] = entries else { return false };
    let names = |one: &Entry, other: &Entry| one.counterparty.is_none_or(|id| id == other.account);
    names(one, other) && names(other, one)
}

/// The transaction of these entries, of which there is at least one.
pub(super) fn transaction(mut rows: Vec<EntryRow>) -> Result<Transaction, StoreError> {
    // The debit first. Of a row that two parts show, one is enough.
    let credit = |row: &EntryRow| row.row.entry.direction == Direction::Credit;
    rows.sort_by_key(|row| (credit(row), row.row.entry.account, row.row.entry.number));
    let mut seen = HashSet::new();
    rows.retain(|row| seen.insert((row.row.entry.account, row.row.entry.number)));
    let debit = &rows[0];
    let head = &debit.row;
    let transaction = Transaction {
        id: head.transaction,
        kind: head.kind,
        amount: head.entry.amount,
        currency: debit.currency,
        memo: head.entry.memo.clone(),
        metadata: debit.metadata.clone().unwrap_or_default(),
        booked_at: head.booked_at,
        entries: Vec::new(),
    };
    let same = |row: &EntryRow| {
        row.row.kind == transaction.kind
            && row.row.booked_at == transaction.booked_at
            && row.currency == transaction.currency
    };
    let (count, whole) = (rows.len(), rows.iter().all(same));
    let entries = rows.into_iter().map(|row| row.row.entry).collect();
    let transaction = Transaction { entries, ..transaction };
    let what = match count {
        2 if whole && transaction.is_balanced() && are_a_pair(&transaction.entries) => {
            return Ok(transaction);
        }
        2 => "its entries do not belong together or do not sum to zero".to_owned(),
        _ => format!("its entries are {count}, and not one debit and one credit"),
    };
    Err(StoreError::Damaged { place: format!("transaction {}", transaction.id), what })
}
