//! What a batch touches, locked in order and brought in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::{Client, Error, Row, Statement};
use tongjang_core::{AccountId, Bank, Command, Currency, Event, IdempotencyKey, Request, UserId};

use super::Engine;
use super::book::{Held, PostgresBook};
use super::by_part::{ByPart, Values};
use super::columns::{self, ACCOUNT, AccountRow};
use super::outcomes::{self, KeyRow, every};
use super::places::{Parts, Place, Places};
use super::values::Uuid;
use crate::StoreError;

/// The statements that load a batch.
pub(super) struct Loading {
    engine: Engine,
    find: Statement,
    lock: ByPart,
    keys: ByPart,
    numbers: ByPart,
    pub(super) outcomes: outcomes::Statements,
}

/// What requests touch.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    accounts: BTreeSet<AccountId>,
    /// The settlement accounts of openings: those of other requests follow from their accounts.
    openings: BTreeSet<(Currency, UserId)>,
    keys: BTreeSet<(UserId, String)>,
    /// The numbers of openings, by bank and bare number, with the part that each is in.
    numbers: BTreeMap<(String, String), i16>,
    /// Whether what another holds is waited for no longer than a moment.
    in_a_hurry: bool,
}

impl Wanted {
    pub(super) fn by(requests: &[&Request], parts: Parts, in_a_hurry: bool) -> Self {
        let mut wanted = Self { in_a_hurry, ..Self::default() };
        for request in requests {
            wanted.accounts.extend(request.command.accounts().into_iter().flatten());
            if let Some((key, _)) = &request.key {
                wanted.keys.insert((request.caller.user, key.as_str().to_owned()));
            }
            if let Command::Open { owner, currency, bank, number, .. } = &request.command {
                wanted.openings.insert((*currency, *owner));
                let name = (bank.as_str().to_owned(), number.bare());
                wanted.numbers.insert(name, parts.of_number(bank, number));
            }
        }
        wanted
    }
}

/// The accounts that a batch holds: part and id, in the order in which they are locked.
pub(super) type Locks = BTreeSet<(i16, Uuid)>;

impl Loading {
    pub(super) async fn prepare(client: &Client, engine: Engine) -> Result<Self, Error> {
        let lock = |only: &str| {
            format!(
                "SELECT {ACCOUNT} FROM tongjang.accounts AS a
                    JOIN unnest($1::smallint[], $2::uuid[]) AS w (part, id)
                        ON a.part = w.part AND a.id = w.id {only}
                    ORDER BY a.part, a.id FOR NO KEY UPDATE OF a"
            )
        };
        let keys = |only: &str| format!("{} {only}", *outcomes::KEYS);
        let numbers = |only: &str| {
            format!(
                "SELECT n.bank, n.bare, n.account_id FROM tongjang.account_numbers AS n
                    JOIN unnest($1::smallint[], $2::text[], $3::text[]) AS w (part, bank, bare)
                        ON n.part = w.part AND n.bank = w.bank AND n.bare = w.bare {only}"
            )
        };
        Ok(Self {
            engine,
            find: client.prepare(&columns::ACCOUNTS_BY_ID).await?,
            lock: ByPart::prepare(client, engine, ("a.part", 2), lock).await?,
            keys: ByPart::prepare(client, engine, ("k.part", 3), keys).await?,
            numbers: ByPart::prepare(client, engine, ("n.part", 3), numbers).await?,
            outcomes: outcomes::Statements::prepare(client).await?,
        })
    }

    /// Begins a transaction, locks what is `wanted` and fills `book` with it: the accounts that it
    /// locked.
    pub(super) async fn load(
        &self,
        client: &Client,
        wanted: &Wanted,
        parts: Parts,
        places: &Places,
        book: &mut PostgresBook,
    ) -> Result<Locks, StoreError> {
        let attempt = |error| StoreError::database("load what a batch touches", error);
        let locks = self.locks(client, wanted, parts, places, &mut book.stand_ins).await?;
        let (lock_parts, lock_ids) = unzip(&locks);
        let (key_parts, scopes, keys) = key_columns(wanted, parts);
        let (number_parts, banks, bares) = number_columns(wanted);
        let locks_wanted: Values<'_> = &[&lock_parts, &lock_ids];
        let keys_wanted: Values<'_> = &[&key_parts, &scopes, &keys];
        let numbers_wanted: Values<'_> = &[&number_parts, &banks, &bares];
        let lock = || self.lock.query(client, &lock_parts, locks_wanted);
        let look_up = || {
            let keys = some(client, &self.keys, &key_parts, keys_wanted);
            (keys, some(client, &self.numbers, &number_parts, numbers_wanted))
        };
        let begin = client.batch_execute(self.engine.begin(wanted.in_a_hurry));
        let (rows, keys, numbers) = if self.engine.is_distributed() {
            begin.await.map_err(attempt)?;
            let rows = lock().await.map_err(attempt)?;
            let (keys, numbers) = look_up();
            (rows, keys.await.map_err(attempt)?, numbers.await.map_err(attempt)?)
        } else {
            let (keys, numbers) = look_up();
            // All of it is sent at once, in this order, and answered in order: each statement sees
            // what others had committed when it began, and the keys are read after the locks are
            // held.
            let loaded = tokio::try_join!(biased; begin, lock(), keys, numbers);
            let (_, rows, keys, numbers) = loaded.map_err(attempt)?;
            (rows, keys, numbers)
        };
        bring_in(&rows, book)?;
        for row in &numbers {
            let (bank, bare): (&str, String) = (row.get(0), row.get(1));
            let Uuid(id) = row.get(2);
            let bank = Bank::new(bank).map_err(|_| StoreError::Damaged {
                place: format!("the number {bare} in tongjang.account_numbers"),
                what: "its bank is none".to_owned(),
            })?;
            book.numbers.insert((bank, bare), AccountId::from_bits(id));
        }
        if !keys.is_empty() {
            let rows = keys.iter().map(KeyRow::read).collect::<Result<Vec<_>, _>>()?;
            let answered = self.outcomes.events(client, parts, rows).await?;
            let answered = answered.into_iter().map(|(scope, key, event)| ((scope, key), event));
            book.answers.extend::<HashMap<(UserId, IdempotencyKey), Event>>(answered.collect());
        }
        // An account that was not there was not locked, even if somebody opens it meanwhile.
        let held = book.held.values().map(|held| (held.part, Uuid(held.account.id().bits())));
        Ok(held.collect())
    }

    /// The accounts to lock: those named, and the settlement accounts on the other side. Where
    /// a part has none of its own, `stand_ins` tells which one is locked for it.
    async fn locks(
        &self,
        client: &Client,
        wanted: &Wanted,
        parts: Parts,
        places: &Places,
        stand_ins: &mut HashMap<(Currency, i16), AccountId>,
    ) -> Result<Locks, StoreError> {
        let found = self.places_of(client, &wanted.accounts, places).await?;
        let mut locks = Locks::new();
        let mut settlements = BTreeSet::new();
        for (id, place) in &found {
            locks.insert((place.part, Uuid(id.bits())));
            settlements.insert((place.opened.currency, place.part));
        }
        let own = |part: i16, currency| AccountId::settlement(currency, part.unsigned_abs());
        let owns = settlements.iter().map(|(currency, part)| own(*part, *currency)).collect();
        let owns = self.places_of(client, &owns, places).await?;
        for (currency, part) in settlements {
            let id = own(part, currency);
            if owns.contains_key(&id) {
                locks.insert((part, Uuid(id.bits())));
                continue;
            }
            let all = every(parts).into_iter().map(|part| own(part, currency)).collect();
            let others = self.places_of(client, &all, places).await?;
            if let Some((other, place)) = others.into_iter().min_by_key(|(id, _)| *id) {
                locks.insert((place.part, Uuid(other.bits())));
                stand_ins.insert((currency, part), other);
            }
        }
        for (currency, owner) in &wanted.openings {
            let (part, settlement) = parts.settlement_of(*currency, *owner);
            locks.insert((part, Uuid(settlement.bits())));
        }
        Ok(locks)
    }

    /// Where those of `ids` are that there are.
    pub(super) async fn places_of(
        &self,
        client: &Client,
        ids: &BTreeSet<AccountId>,
        places: &Places,
    ) -> Result<HashMap<AccountId, Place>, StoreError> {
        let attempt = |error| StoreError::database("look accounts up", error);
        let mut found: HashMap<AccountId, Place> = HashMap::new();
        let mut unknown = Vec::new();
        for id in ids {
            match places.get(*id) {
                Some(place) => _ = found.insert(*id, place),
                None => unknown.push(Uuid(id.bits())),
            }
        }
        if !unknown.is_empty() {
            let rows = client.query(&self.find, &[&unknown]).await.map_err(attempt)?;
            for row in &rows {
                let AccountRow { account, part, .. } = columns::account(row)?;
                let place = Place { part, opened: account.opened().clone() };
                if let Some(other) = found.insert(account.id(), place) {
                    return Err(columns::twice(account.id(), [other.part, part]));
                }
            }
            places.put(found.iter().map(|(id, place)| (*id, place.clone())));
        }
        Ok(found)
    }

    /// Locks the accounts at `locks` in a transaction that has begun, and brings them in.
    pub(super) async fn hold(
        &self,
        client: &Client,
        locks: &Locks,
        book: &mut PostgresBook,
    ) -> Result<(), StoreError> {
        let (parts, ids) = unzip(locks);
        let rows = self.lock.query(client, &parts, &[&parts, &ids]).await;
        let rows = rows.map_err(|error| StoreError::database("lock accounts", error))?;
        bring_in(&rows, book)
    }

    /// Locks `locks` again, in a transaction that has begun.
    pub(super) async fn lock_again(&self, client: &Client, locks: &Locks) -> Result<usize, Error> {
        let (parts, ids) = unzip(locks);
        self.lock.query(client, &parts, &[&parts, &ids]).await.map(|rows| rows.len())
    }
}

/// The rows of a statement about things in `parts`.
async fn some(
    client: &Client,
    statement: &ByPart,
    parts: &[i16],
    values: Values<'_>,
) -> Result<Vec<Row>, Error> {
    if parts.is_empty() { Ok(Vec::new()) } else { statement.query(client, parts, values).await }
}

fn bring_in(rows: &[Row], book: &mut PostgresBook) -> Result<(), StoreError> {
    for row in rows {
        let row = columns::account(row)?;
        book.earliest = book.earliest.max(row.changed_at.next());
        let held = Held {
            part: row.part,
            locked_at: Some(row.account.version()),
            changed_at: row.changed_at,
            account: row.account,
        };
        book.held.insert(held.account.id(), held);
    }
    Ok(())
}

fn unzip(locks: &Locks) -> (Vec<i16>, Vec<Uuid>) {
    locks.iter().copied().unzip()
}

fn key_columns(wanted: &Wanted, parts: Parts) -> (Vec<i16>, Vec<Uuid>, Vec<&str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (scope, key) in &wanted.keys {
        columns.0.push(parts.of_owner(*scope));
        columns.1.push(Uuid(scope.bits()));
        columns.2.push(key.as_str());
    }
    columns
}

fn number_columns(wanted: &Wanted) -> (Vec<i16>, Vec<&str>, Vec<&str>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for ((bank, bare), part) in &wanted.numbers {
        columns.0.push(*part);
        columns.1.push(bank.as_str());
        columns.2.push(bare.as_str());
    }
    columns
}
