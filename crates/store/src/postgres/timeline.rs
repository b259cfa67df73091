//! Every event of a ledger in the order in which it happened, put together from the tables.
//!
//! One transaction sees one moment of all of them. Four lists are read side by side, each in the
//! order of time and a page at a time: what is in memory is a page of each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{IsolationLevel, Portal, Row, Transaction};
use tongjang_core::audit::{Audit, AuditSummary, Fault};
use tongjang_core::{
    Account, AccountId, Booked, Event, Fingerprint, IdempotencyKey, KeyUse, Opened, Opening,
    StatusChanged, Timestamp, UserId,
};

use super::columns::{self, ACCOUNT, ENTRY};
use super::outcomes::{self, KeyRow, StandsFor};
use super::places::Parts;
use super::values::Uuid;
use super::{Copying, Postgres, Profile};
use crate::StoreError;

/// So many rows are fetched at once.
const PAGE: i32 = 4_000;

const READ: &str = "read the ledger from its beginning";

/// The columns of a key that may be missing.
const KEY: &str = "k.scope, k.key, k.fingerprint";

/// Shows `each` event of `ledger`, the oldest first. It must be called off the async threads.
///
/// # Errors
/// What `each` answers, at once; or what is damaged, or how the database failed.
pub fn events<E: From<StoreError>>(
    ledger: &Postgres,
    each: impl FnMut(&Event) -> Result<(), E>,
) -> Result<(), E> {
    read(ledger, each, false).map(|_| ())
}

/// Has the core's audit look at every event and every account of `ledger`, as they were at one
/// moment; servers may go on. `progress` is told how many events were read.
///
/// # Errors
/// [`StoreError::Damaged`] with the first fault, or how the database failed.
pub fn audit(ledger: &Postgres, mut progress: impl FnMut(u64)) -> Result<AuditSummary, StoreError> {
    let damaged = |fault: Fault| StoreError::Damaged {
        place: "the ledger".to_owned(),
        what: fault.to_string(),
    };
    let mut audit = Audit::new().ordered_by_account();
    let mut events = 0;
    let each = |event: &Event| {
        events += 1;
        progress(events);
        audit.check(event).map_err(damaged)
    };
    let accounts = read(ledger, each, true)?;
    audit.finish(accounts.iter()).map_err(damaged)
}

/// Shows `each` event; all accounts come back if they shall be kept.
fn read<E: From<StoreError>>(
    ledger: &Postgres,
    mut each: impl FnMut(&Event) -> Result<(), E>,
    keep: bool,
) -> Result<Vec<Account>, E> {
    ledger.reader.runtime.block_on(async {
        // All rows are read, and sorted: no index is the better way, and it takes its time.
        let (statement_timeout, idle_in_transaction_timeout) = (Duration::ZERO, Duration::ZERO);
        let profile =
            Profile { statement_timeout, idle_in_transaction_timeout, ..Profile::DIRECTORY };
        let (mut client, driver) = ledger.target.connect(Copying::APPLICATION, &profile).await?;
        tokio::spawn(driver);
        let attempt = |error| StoreError::database(READ, error);
        let begun = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start();
        let transaction = begun.await.map_err(attempt)?;
        let mut lists = Lists::open(&transaction, ledger.parts).await?;
        lists.kept = keep.then(Vec::new);
        while let Some(event) = lists.next(&transaction).await? {
            each(&event)?;
        }
        Ok(lists.kept.unwrap_or_default())
    })
}

/// The four lists, and the events at their heads.
struct Lists {
    parts: Parts,
    /// All accounts so far, if they are kept.
    kept: Option<Vec<Account>>,
    accounts: List,
    entries: List,
    changes: List,
    refusals: List,
    /// Of the accounts opened at one time, which belong together.
    openings: VecDeque<Event>,
    booked: Option<Event>,
    changed: Option<Event>,
    refused: Option<Event>,
}

impl Lists {
    async fn open(transaction: &Transaction<'_>, parts: Parts) -> Result<Self, StoreError> {
        let attempt = |error| StoreError::database(READ, error);
        let accounts = format!(
            "SELECT {ACCOUNT}, {KEY} FROM tongjang.accounts AS a
                LEFT JOIN tongjang.keys AS k ON k.opened_id = a.id
                ORDER BY a.opened_at, a.id"
        );
        // The high half of a transaction's id is its time.
        let entries = format!(
            "SELECT {ENTRY}, {KEY} FROM tongjang.entries AS e
                LEFT JOIN tongjang.keys AS k ON k.transaction_id = e.transaction_id
                ORDER BY e.transaction_id, e.direction"
        );
        let changes = format!(
            "SELECT s.account_id, s.status, s.changed_at, {KEY} FROM tongjang.status_changes AS s
                LEFT JOIN tongjang.keys AS k
                    ON k.changed_id = s.account_id AND k.version = s.version
                ORDER BY s.changed_at, s.account_id"
        );
        let refusals = "SELECT k.scope, k.key, k.fingerprint, k.happened_at, k.transaction_id,
                k.opened_id, k.changed_id, k.refusal, k.version
            FROM tongjang.keys AS k WHERE k.refusal IS NOT NULL
            ORDER BY k.happened_at, k.scope, k.key";
        Ok(Self {
            parts,
            kept: None,
            accounts: List::open(transaction, &accounts).await.map_err(attempt)?,
            entries: List::open(transaction, &entries).await.map_err(attempt)?,
            changes: List::open(transaction, &changes).await.map_err(attempt)?,
            refusals: List::open(transaction, refusals).await.map_err(attempt)?,
            openings: VecDeque::new(),
            booked: None,
            changed: None,
            refused: None,
        })
    }

    async fn next(&mut self, transaction: &Transaction<'_>) -> Result<Option<Event>, StoreError> {
        if self.openings.is_empty() {
            self.openings = self.opened(transaction).await?;
        }
        if self.booked.is_none() {
            self.booked = self.booked(transaction).await?;
        }
        if self.changed.is_none() {
            let row = self.changes.take(transaction).await?;
            self.changed = row.as_ref().map(changed).transpose()?;
        }
        if self.refused.is_none() {
            let row = self.refusals.take(transaction).await?;
            self.refused = row.as_ref().map(refused).transpose()?;
        }
        let at = |event: Option<&Event>| event.map(Event::at);
        let heads: [Option<Timestamp>; 4] = [
            at(self.openings.front()),
            at(self.booked.as_ref()),
            at(self.changed.as_ref()),
            at(self.refused.as_ref()),
        ];
        let first = heads.iter().enumerate().filter_map(|(nth, at)| at.map(|at| (at, nth))).min();
        Ok(match first {
            Some((_, 0)) => self.openings.pop_front(),
            Some((_, 1)) => self.booked.take(),
            Some((_, 2)) => self.changed.take(),
            Some(_) => self.refused.take(),
            None => None,
        })
    }

    /// The openings of the next time at which there are any. A settlement account belongs to one
    /// of its currency, and of its own part if there is such a one.
    async fn opened(&mut self, on: &Transaction<'_>) -> Result<VecDeque<Event>, StoreError> {
        let (mut openings, mut settlements): (Vec<Opening>, Vec<Account>) = Default::default();
        let mut time = None;
        while let Some(row) = self.accounts.peek(on).await? {
            let read = columns::account(row)?;
            let opened = read.account.opened().clone();
            if *time.get_or_insert(opened.opened_at) != opened.opened_at {
                break;
            }
            let key = key(row, 19)?;
            self.accounts.drop_first();
            self.kept.iter_mut().for_each(|kept| kept.push(read.account.clone()));
            if opened.is_settlement() {
                settlements.push(read.account);
            } else {
                let number_made = read.number_made;
                openings.push(Opening { account: opened, settlement: None, number_made, key });
            }
        }
        for settlement in settlements {
            let of = settlement.opened();
            let own = |opening: &Opening| {
                self.parts.of_owner(opening.account.owner) == Parts::of_settlement(of.id)
            };
            let mut free: Vec<&mut Opening> = openings
                .iter_mut()
                .filter(|opening| opening.settlement.is_none())
                .filter(|opening| opening.account.currency == of.currency)
                .collect();
            let nth = free.iter().position(|opening| own(opening)).unwrap_or(0);
            let Some(opening) = free.get_mut(nth) else { return Err(orphaned(of)) };
            opening.settlement = Some(of.clone());
        }
        Ok(openings.into_iter().map(Event::Opened).collect())
    }

    async fn booked(&mut self, on: &Transaction<'_>) -> Result<Option<Event>, StoreError> {
        let (mut rows, mut used) = (Vec::new(), None);
        while let Some(row) = self.entries.peek(on).await? {
            let entry = columns::entry(row)?;
            let of = entry.row.transaction;
            if rows.first().is_some_and(|first: &columns::EntryRow| first.row.transaction != of) {
                break;
            }
            used = key(row, 16)?;
            self.entries.drop_first();
            rows.push(entry);
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let transaction = outcomes::transaction(rows)?;
        Ok(Some(Event::Booked(Booked { transaction, key: used })))
    }
}

fn changed(row: &Row) -> Result<Event, StoreError> {
    let Uuid(account) = row.get(0);
    let (account, at) = (AccountId::from_bits(account), columns::time(row, 2));
    let status = columns::status(row.get(1)).ok_or_else(|| StoreError::Damaged {
        place: format!("a change of account {account}"),
        what: "its status is none".to_owned(),
    })?;
    let key = key(row, 3)?;
    Ok(Event::StatusChanged(StatusChanged { account, status, at, key }))
}

fn refused(row: &Row) -> Result<Event, StoreError> {
    let key = KeyRow::read(row)?;
    let event = match &key.stands_for {
        StandsFor::Refusal(text) => outcomes::refused(text, &key),
        _ => None,
    };
    event.ok_or_else(|| StoreError::Damaged {
        place: format!("key {} of {}", key.used.key.as_str(), key.used.scope),
        what: "it stands for a refusal that is none".to_owned(),
    })
}

/// The key whose three columns begin with the column `first`.
fn key(row: &Row, first: usize) -> Result<Option<KeyUse>, StoreError> {
    let scope: Option<Uuid> = row.get(first);
    let Some(Uuid(scope)) = scope else { return Ok(None) };
    let scope = UserId::from_bits(scope);
    let (text, fingerprint): (&str, &[u8]) = (row.get(first + 1), row.get(first + 2));
    let key = IdempotencyKey::new(text);
    let fingerprint = fingerprint.try_into().ok().map(Fingerprint::from_bytes);
    match (key, fingerprint) {
        (Some(key), Some(fingerprint)) => Ok(Some(KeyUse { scope, key, fingerprint })),
        _ => Err(StoreError::Damaged {
            place: format!("key {text} of {scope}"),
            what: "it is no key, or its fingerprint is none".to_owned(),
        }),
    }
}

fn orphaned(settlement: &Arc<Opened>) -> StoreError {
    StoreError::Damaged {
        place: format!("settlement account {}", settlement.id),
        what: "no account was opened along with it".to_owned(),
    }
}

/// The rows of a statement, a page in memory.
struct List {
    portal: Portal,
    rows: VecDeque<Row>,
    is_over: bool,
}

impl List {
    async fn open(on: &Transaction<'_>, sql: &str) -> Result<Self, tokio_postgres::Error> {
        let portal = on.bind(sql, &[]).await?;
        Ok(Self { portal, rows: VecDeque::new(), is_over: false })
    }

    async fn peek(&mut self, on: &Transaction<'_>) -> Result<Option<&Row>, StoreError> {
        if self.rows.is_empty() && !self.is_over {
            let rows = on.query_portal(&self.portal, PAGE).await;
            self.rows = rows.map_err(|error| StoreError::database(READ, error))?.into();
            self.is_over = self.rows.is_empty();
        }
        Ok(self.rows.front())
    }

    fn drop_first(&mut self) {
        self.rows.pop_front();
    }

    async fn take(&mut self, on: &Transaction<'_>) -> Result<Option<Row>, StoreError> {
        self.peek(on).await?;
        Ok(self.rows.pop_front())
    }
}
