//! Every event of a ledger in the order of its time, as an export, a copy and an audit need it.
//!
//! All of it is one moment of the database: it is read in one transaction, which locks nothing and
//! may run beside servers; where the tables are distributed it keeps those waiting. Openings,
//! entries by transaction, changes of status and keys are each read in their order, in pieces, and
//! merged by time. Along an account that is the order in which things happened; events of different
//! accounts may have one time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio_postgres::{Client, Portal, Row, Transaction as Session};
use tongjang_core::{AccountId, Booked, Event, Opening, StatusChanged, Timestamp, TransactionId};

use super::columns::{self, ACCOUNT, AccountRow, ENTRY, EntryRow};
use super::outcomes::{self, KEY, KeyRow, StandsFor};
use super::places::Parts;
use super::reader::READ;
use super::session::Profile;
use super::values::Uuid;
use super::{Copying, Engine, Postgres, schema};
use crate::StoreError;

/// So many rows of a table are fetched at once, of entries over all parts together.
const PIECE: i32 = 2_000;
/// But so many of a part at least.
const LEAST: i32 = 50;

/// A session that reads the whole ledger takes its time.
const CHRONICLER: Profile = Profile {
    statement_timeout: std::time::Duration::ZERO,
    idle_in_transaction_timeout: std::time::Duration::ZERO,
    // Rows are fetched piece by piece, in the order of an index where there is one.
    settings: "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off;",
    ..Profile::READER
};

/// Shows `each` event of the ledger, the oldest first. It is called off the async threads.
///
/// # Errors
/// What `each` answers, at once; or [`StoreError::Damaged`] with the place of what cannot be read.
pub fn events<E: From<StoreError>>(
    postgres: &Postgres,
    each: impl FnMut(&Event) -> Result<(), E>,
) -> Result<(), E> {
    postgres.reader.runtime.block_on(async {
        let mut client = connect(postgres).await?;
        let session = begin(&mut client, postgres.engine).await?;
        tell(&session, postgres.parts, each, |_| Ok(())).await
    })
}

/// A connection for reading the whole ledger.
pub(super) async fn connect(postgres: &Postgres) -> Result<Client, StoreError> {
    let (client, driver) = postgres.target.connect(Copying::APPLICATION, &CHRONICLER).await?;
    tokio::spawn(driver);
    schema::check(&client).await?;
    Ok(client)
}

/// A transaction that sees one moment and changes nothing.
pub(super) async fn begin(client: &mut Client, engine: Engine) -> Result<Session<'_>, StoreError> {
    let attempt = |error| StoreError::database("begin to read the ledger", error);
    let level = tokio_postgres::IsolationLevel::RepeatableRead;
    let session = client.build_transaction().isolation_level(level).read_only(true).start().await;
    let session = session.map_err(attempt)?;
    if engine.is_distributed() {
        // Each node has moments of its own, so nobody books meanwhile: every batch locks accounts.
        let still = "LOCK TABLE tongjang.accounts IN EXCLUSIVE MODE";
        session.batch_execute(still).await.map_err(attempt)?;
    }
    Ok(session)
}

/// Shows each event and each account of the table, as `session` sees them.
pub(super) async fn tell<E: From<StoreError>>(
    session: &Session<'_>,
    parts: Parts,
    mut each: impl FnMut(&Event) -> Result<(), E>,
    mut account: impl FnMut(&AccountRow) -> Result<(), E>,
) -> Result<(), E> {
    let mut openings = Stream::open(session, &openings(), PIECE).await?;
    let mut entries: Vec<Stream<'_, EntryRow>> = Vec::new();
    let piece = (PIECE / i32::from(parts.count())).max(LEAST);
    for part in outcomes::every(parts) {
        entries.push(Stream::open(session, &entries_of(part), piece).await?);
    }
    let mut changes: Stream<'_, Change> = Stream::open(session, CHANGES, PIECE).await?;
    let mut keys = Stream::open(session, &keys(), PIECE).await?;
    loop {
        let mut next = openings.next_time().await?;
        for stream in entries.iter_mut() {
            next = earlier(next, stream.next_time().await?);
        }
        next = earlier(next, changes.next_time().await?);
        next = earlier(next, keys.next_time().await?);
        let Some(now) = next else { return Ok(()) };
        let mut used = Keys::at(now, parts, &mut keys).await?;
        let mut rows = Vec::new();
        while let Some(row) = openings.take_at(now).await? {
            account(&row)?;
            rows.push(row);
        }
        for mut opening in together(rows) {
            opening.key = used.of_opening(opening.account.id);
            each(&Event::Opened(opening))?;
        }
        let mut booked: BTreeMap<TransactionId, Vec<EntryRow>> = BTreeMap::new();
        for stream in entries.iter_mut() {
            while let Some(row) = stream.take_at(now).await? {
                booked.entry(row.row.transaction).or_default().push(row);
            }
        }
        for (id, rows) in booked {
            let transaction = outcomes::transaction(rows)?;
            let key = used.of_transaction(id);
            each(&Event::Booked(Booked { transaction, key }))?;
        }
        while let Some(mut change) = changes.take_at(now).await? {
            change.event.key = used.of_change(change.event.account, change.version);
            each(&Event::StatusChanged(change.event))?;
        }
        for event in used.refusals()? {
            each(&event)?;
        }
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn openings() -> String {
    format!(
        "SELECT {ACCOUNT} FROM tongjang.accounts AS a WHERE a.opened_at IS NOT NULL
            ORDER BY a.opened_at, a.id"
    )
}

/// In the order of the transactions, whose ids begin with their time.
fn entries_of(part: i16) -> String {
    format!(
        "SELECT {ENTRY} FROM tongjang.entries AS e WHERE e.part = {part} AND e.booked_at IS NOT NULL
            ORDER BY e.part, e.transaction_id, e.direction"
    )
}

const CHANGES: &str = "SELECT s.account_id, s.version, s.status, s.changed_at
    FROM tongjang.status_changes AS s ORDER BY s.changed_at, s.account_id, s.version";

/// In the order of their times, which no index has.
fn keys() -> String {
    format!("SELECT {KEY} FROM tongjang.keys AS k ORDER BY k.happened_at, k.part, k.scope, k.key")
}

/// The accounts that were opened at one time, each with the settlement account that came along: of
/// its own part, or of another, if it comes from a ledger that is divided otherwise.
fn together(rows: Vec<AccountRow>) -> Vec<Opening> {
    let (settlements, accounts): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.account.opened().is_settlement());
    let open = |row: &AccountRow| Opening {
        account: row.account.opened().clone(),
        settlement: None,
        number_made: row.number_made,
        key: None,
    };
    let mut openings: Vec<Opening> = accounts.iter().map(open).collect();
    let mut alone: Vec<&AccountRow> = settlements.iter().collect();
    for only_own_part in [true, false] {
        for settlement in std::mem::take(&mut alone) {
            let came_with = |(row, opening): (&AccountRow, &Opening)| {
                opening.settlement.is_none()
                    && row.account.currency() == settlement.account.currency()
                    && (!only_own_part || row.part == settlement.part)
            };
            let found = accounts.iter().zip(&openings).position(came_with);
            let opened = settlement.account.opened().clone();
            match found.and_then(|at| openings.get_mut(at)) {
                Some(opening) => opening.settlement = Some(opened),
                None => alone.push(settlement),
            }
        }
    }
    // One that came with none of them stands before all others, on which it may be booked.
    alone.into_iter().map(open).chain(openings).collect()
}

/// A change of status with the version that it led to.
struct Change {
    event: StatusChanged,
    version: i64,
}

/// What a row becomes, and when that happened.
trait Happened: Sized {
    fn read(row: &Row) -> Result<Self, StoreError>;
    fn at(&self) -> Timestamp;
}

impl Happened for AccountRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        columns::account(row)
    }

    fn at(&self) -> Timestamp {
        self.account.opened().opened_at
    }
}

impl Happened for EntryRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let entry = columns::entry(row)?;
        if entry.row.transaction.booked_at() == entry.row.booked_at {
            return Ok(entry);
        }
        let (number, account) = (entry.row.entry.number, entry.row.entry.account);
        let place = format!("entry {number} of account {account}");
        let what = "its time is not the one in its transaction's id".to_owned();
        Err(StoreError::Damaged { place, what })
    }

    fn at(&self) -> Timestamp {
        self.row.booked_at
    }
}

impl Happened for Change {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let nameless = |bad: columns::Bad<'_>| bad.at("a row of tongjang.status_changes");
        let Uuid(account) = columns::value(row, 0).map_err(nameless)?;
        let version: i64 = columns::value(row, 1).map_err(nameless)?;
        let account = AccountId::from_bits(account);
        let fault = |what: &str| StoreError::Damaged {
            place: format!("change {version} of account {account}"),
            what: what.to_owned(),
        };
        let status = columns::value(row, 2).ok().and_then(columns::status);
        let status = status.ok_or_else(|| fault("its status is none"))?;
        let at = columns::time(row, 3).map_err(|_| fault("its time is none"))?;
        Ok(Self { event: StatusChanged { account, status, at, key: None }, version })
    }

    fn at(&self) -> Timestamp {
        self.event.at
    }
}

impl Happened for KeyRow {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Self::read(row)
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}

/// Rows of a statement, fetched in pieces.
struct Stream<'a, T> {
    session: &'a Session<'a>,
    portal: Portal,
    /// What was fetched and not taken yet, and how much is fetched at once.
    piece: VecDeque<T>,
    size: i32,
    over: bool,
}

impl<'a, T: Happened> Stream<'a, T> {
    async fn open(
        session: &'a Session<'a>,
        statement: &str,
        size: i32,
    ) -> Result<Self, StoreError> {
        let attempt = |error| StoreError::database(READ, error);
        let portal = session.bind(statement, &[]).await.map_err(attempt)?;
        Ok(Self { session, portal, piece: VecDeque::new(), size, over: false })
    }

    /// When the next one happened; nothing is left if `None`.
    async fn next_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        if self.piece.is_empty() && !self.over {
            let attempt = |error| StoreError::database(READ, error);
            let rows = self.session.query_portal(&self.portal, self.size).await.map_err(attempt)?;
            self.over = rows.is_empty();
            for row in &rows {
                self.piece.push_back(T::read(row)?);
            }
        }
        Ok(self.piece.front().map(T::at))
    }

    /// The next one, if it happened then.
    async fn take_at(&mut self, time: Timestamp) -> Result<Option<T>, StoreError> {
        match self.next_time().await? {
            Some(next) if next <= time => Ok(self.piece.pop_front()),
            _ => Ok(None),
        }
    }
}

/// The keys of what happened at one time.
#[derive(Default)]
struct Keys {
    transactions: HashMap<TransactionId, KeyRow>,
    openings: HashMap<AccountId, KeyRow>,
    changes: HashMap<(AccountId, i64), KeyRow>,
    refusals: Vec<KeyRow>,
}

impl Keys {
    async fn at(
        time: Timestamp,
        parts: Parts,
        keys: &mut Stream<'_, KeyRow>,
    ) -> Result<Self, StoreError> {
        let mut found = Self::default();
        while let Some(key) = keys.take_at(time).await? {
            // Elsewhere nobody looks for it.
            if key.part != parts.of_owner(key.used.scope) {
                return Err(key.fault("it is in another part than its user's"));
            }
            let twice = match &key.stands_for {
                StandsFor::Transaction(id) => found.transactions.insert(*id, key),
                StandsFor::Opening(id) => found.openings.insert(*id, key),
                StandsFor::Change { account, version } => {
                    found.changes.insert((*account, *version), key)
                }
                StandsFor::Refusal(_) => {
                    found.refusals.push(key);
                    None
                }
            };
            if let Some(key) = twice {
                return Err(key.fault("another key stands for the same"));
            }
        }
        Ok(found)
    }

    fn of_transaction(&mut self, id: TransactionId) -> Option<tongjang_core::KeyUse> {
        self.transactions.remove(&id).map(|key| key.used)
    }

    fn of_opening(&mut self, id: AccountId) -> Option<tongjang_core::KeyUse> {
        self.openings.remove(&id).map(|key| key.used)
    }

    fn of_change(&mut self, account: AccountId, version: i64) -> Option<tongjang_core::KeyUse> {
        self.changes.remove(&(account, version)).map(|key| key.used)
    }

    /// The refusals among them, once every other one was asked for.
    fn refusals(self) -> Result<Vec<Event>, StoreError> {
        let Self { transactions, openings, changes, refusals } = self;
        let left = transactions.into_values().chain(openings.into_values());
        if let Some(key) = left.chain(changes.into_values()).next() {
            return Err(key.fault("what it stands for did not happen then"));
        }
        let events = refusals.into_iter().map(|key| match &key.stands_for {
            StandsFor::Refusal(text) => outcomes::refused(text, &key)
                .ok_or_else(|| key.fault("the refusal that it stands for cannot be read")),
            _ => unreachable!("it was sorted out above"),
        });
        events.collect()
    }
}
