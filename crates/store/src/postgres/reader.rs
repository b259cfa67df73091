//! Queries on a ledger in a database: the [`Reader`] that the server clones for each who asks.
//!
//! An account is read first and its entries after it. Those up to its newest one never change, so
//! whatever tellers book meanwhile, what is answered is one moment of it, without a transaction.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use deadpool_postgres::{Client, Object};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::Row as Columns;
use tokio_postgres::types::ToSql;
use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, Direction, EntryNumber, Opened, Timestamp,
    Transaction, TransactionId, UserId,
};

use super::columns::{self, ACCOUNT, AccountRow, ENTRY};
use super::history::History;
use super::outcomes;
use super::places::{Parts, Place, Places};
use super::probe::Probe;
use super::range::{CHUNK, Range};
use super::values::Uuid;
use super::{Engine, Pool, census, pages};
use crate::query::{EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Row, Summary};
use crate::{Reader, StoreError};

static ACCOUNT_IN: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {ACCOUNT} FROM tongjang.accounts AS a WHERE a.part = $1 AND a.id = $2")
});
static ACCOUNT_ANYWHERE: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {ACCOUNT} FROM tongjang.accounts AS a WHERE a.id = $1"));
const NUMBER: &str = "SELECT n.account_id FROM tongjang.account_numbers AS n
    WHERE n.part = $1 AND n.bank = $2 AND n.bare = $3";
/// Of each part, because which ones it is in is not known.
static TRANSACTION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {ENTRY} FROM unnest($1::smallint[]) AS p (part)
            JOIN tongjang.entries AS e ON e.part = p.part AND e.transaction_id = $2
                AND e.booked_at IS NOT NULL"
    )
});

/// What every statement of a query attempts.
pub(super) const READ: &str = "read the ledger";

/// The longest that an answer is waited for. A database that works ends each statement before
/// (`Profile::READER`); one that hangs may still be there.
const DEADLINE: Duration = Duration::from_secs(40);

/// A value for a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);
/// All values of a statement.
pub(super) type Values<'a> = &'a [Value<'a>];

/// Reads what is committed. Cloning it is cheap.
#[derive(Clone)]
pub struct PostgresReader {
    pub(super) pool: Pool,
    pub(super) probe: Probe,
    pub(super) runtime: Handle,
    pub(super) parts: Parts,
    pub(super) engine: Engine,
    pub(super) places: Places,
}

/// How long it is waited, time and again, for the other side of a transaction of two parts: the
/// nodes show what they committed each in its moment.
const BETWEEN_SIDES: [u64; 4] = [5, 20, 100, 500];

impl PostgresReader {
    /// Waits for what `ask` finds, on a connection of the pool.
    fn ask<T>(&self, ask: impl AsyncFn(&Client) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.runtime.block_on(async {
            let mut first = true;
            loop {
                let client = self.pool.get().await?;
                let answer = ask(&client).await;
                // What broke while it lay idle says nothing about the database.
                if answer.is_err() && client.is_closed() && std::mem::take(&mut first) {
                    self.pool.drop_broken();
                    continue;
                }
                // What the server has not answered it may not answer for whoever comes next.
                if let Err(StoreError::Database { code: None, .. }) = &answer {
                    drop(Object::take(client));
                }
                return answer;
            }
        })
    }

    /// The account `id` and the part that it is in.
    async fn find(&self, client: &Client, id: AccountId) -> Result<Option<AccountRow>, StoreError> {
        let id_column = Uuid(id.bits());
        let rows = match self.places.get(id) {
            Some(place) => query(client, &ACCOUNT_IN, &[&place.part, &id_column]).await?,
            None => query(client, &ACCOUNT_ANYWHERE, &[&id_column]).await?,
        };
        let Some(row) = rows.first() else { return Ok(None) };
        let row = columns::account(row)?;
        if let Some(other) = rows.get(1) {
            return Err(columns::twice(id, [row.part, columns::account(other)?.part]));
        }
        let place = Place { part: row.part, opened: row.account.opened().clone() };
        if self.places.get(id).is_none() {
            self.places.put([(id, place)]);
        }
        Ok(Some(row))
    }

    /// Checks that each entry of `transaction` stands in its account's history and follows there
    /// from the one before it.
    async fn check(&self, client: &Client, transaction: &Transaction) -> Result<(), StoreError> {
        for entry in &transaction.entries {
            let number = entry.number.get();
            let history = self.history(client, entry.account).await?;
            let Some(history) = history.filter(|history| number <= history.count()) else {
                return Err(StoreError::Damaged {
                    place: format!("transaction {}", transaction.id),
                    what: format!("account {} has no entry {number}", entry.account),
                });
            };
            let rows = history.rows(number, number).await?;
            history.check(&rows).await?;
            if rows.iter().any(|linked| linked.row.entry != *entry) {
                return Err(history.damaged(number, "what its transaction has there"));
            }
        }
        Ok(())
    }

    /// The history of the account `id` as of now.
    async fn history<'a>(
        &self,
        client: &'a Client,
        id: AccountId,
    ) -> Result<Option<History<'a>>, StoreError> {
        let found = self.find(client, id).await?;
        Ok(found.map(|AccountRow { account, part, .. }| History { client, account, part }))
    }
}

impl Reader for PostgresReader {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.ask(async |client| Ok(self.find(client, id).await?.map(|row| row.account)))
    }

    fn accounts_by_id(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        let wanted: Vec<Uuid> = ids.iter().map(|id| Uuid(id.bits())).collect();
        self.ask(async |client| {
            let mut found = HashMap::new();
            for row in query(client, &columns::ACCOUNTS_BY_ID, &[&wanted]).await? {
                let AccountRow { account, part, .. } = columns::account(&row)?;
                let place = Place { part, opened: account.opened().clone() };
                if let Some(other) =
                    self.places.get(account.id()).filter(|other| other.part != part)
                {
                    return Err(columns::twice(account.id(), [other.part, part]));
                }
                self.places.put([(account.id(), place)]);
                found.insert(account.id(), account);
            }
            Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
        })
    }

    fn openings_at_hand(&self, ids: &[AccountId]) -> Option<Vec<Option<Arc<Opened>>>> {
        self.places.all(ids)
    }

    fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<AccountId>, StoreError> {
        let part = self.parts.of_number(bank, number);
        let (bank, bare) = (bank.as_str(), number.bare());
        self.ask(async |client| {
            let rows = query(client, NUMBER, &[&part, &bank, &bare]).await?;
            Ok(rows.first().map(|row| {
                let Uuid(id) = row.get(0);
                AccountId::from_bits(id)
            }))
        })
    }

    fn accounts(
        &self,
        owner: Option<UserId>,
        order: Order,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        let owner = owner.map(|owner| (self.parts.of_owner(owner), owner));
        self.ask(async |client| {
            let after = match after {
                None => None,
                Some(after) => match self.find(client, after).await? {
                    None => return Ok(Vec::new()),
                    Some(row) => Some((row.account.opened().opened_at, after)),
                },
            };
            census::list(client, owner, order, after, limit).await
        })
    }

    fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, StoreError> {
        let every = outcomes::every(self.parts);
        let mut pauses = BETWEEN_SIDES.iter().filter(|_| self.engine.is_distributed());
        loop {
            let found = self.ask(async |client| {
                let rows = query(client, &TRANSACTION, &[&every, &Uuid(id.bits())]).await?;
                let transaction = outcomes::assembled(&rows)?.remove(&id);
                if let Some(transaction) = &transaction {
                    self.check(client, transaction).await?;
                }
                Ok(transaction)
            });
            match (found, pauses.next()) {
                (Err(StoreError::Damaged { .. }), Some(pause)) => {
                    std::thread::sleep(Duration::from_millis(*pause));
                }
                (found, _) => return found,
            }
        }
    }

    fn entry(&self, account: AccountId, number: EntryNumber) -> Result<Option<Row>, StoreError> {
        let number = number.get();
        self.ask(async |client| match self.history(client, account).await? {
            Some(history) if number <= history.count() => {
                let mut rows = history.rows(number, number).await?;
                history.check(&rows).await?;
                Ok(rows.pop().map(|linked| linked.row))
            }
            _ => Ok(None),
        })
    }

    fn entries_before(&self, account: AccountId, time: Timestamp) -> Result<u64, StoreError> {
        self.ask(async |client| match self.history(client, account).await? {
            Some(history) => history.before(time).await.map(|point| point.number),
            None => Ok(0),
        })
    }

    fn entries(&self, query: &EntryQuery) -> Result<EntryPage, StoreError> {
        let filter = &query.filter;
        self.ask(async |client| {
            let Some(history) = self.history(client, filter.account).await? else {
                return Ok(EntryPage::default());
            };
            let (mut walk, skipped) = Range::walk(&history, query).await?;
            let mut page = EntryPage { skipped, ..EntryPage::default() };
            let most = query.scan_limit.max(1);
            let limit = query.limit.max(1);
            let (mut looked_at, mut left) = (0, walk.left());
            // Where rows are passed over, the few still wanted may lie behind many: more and more.
            let mut more = limit.clamp(64, CHUNK);
            let mut rows = Vec::new();
            'page: while looked_at < most && left > 0 {
                let wanted = if filter.needs_scan() { more } else { limit - rows.len() };
                more = CHUNK.min(2 * more);
                for linked in walk.next(&history, wanted.min(CHUNK)).await? {
                    looked_at += 1;
                    left -= 1;
                    page.resume = (left > 0).then_some(linked.row.entry.number);
                    if filter.matches(&linked.row) {
                        rows.push(linked);
                    }
                    if rows.len() == limit || looked_at == most {
                        break 'page;
                    }
                }
            }
            history.check(&rows).await?;
            page.rows = rows.into_iter().map(|linked| linked.row).collect();
            Ok(page)
        })
    }

    fn summary(
        &self,
        filter: &EntryFilter,
        scan_limit: usize,
    ) -> Result<Option<Summary>, StoreError> {
        self.ask(async |client| {
            let Some(history) = self.history(client, filter.account).await? else {
                return Ok(Some(Summary::default()));
            };
            let range = Range::of(&history, filter).await?;
            let whole = range.summary(&history)?;
            if !filter.needs_scan() {
                return Ok(Some(whole));
            }
            if whole.count > scan_limit as u64 {
                return Ok(None);
            }
            let Summary { opening_balance, closing_balance, .. } = whole;
            let mut summary = Summary { opening_balance, closing_balance, ..Summary::default() };
            let mut walk = range.whole();
            while walk.left() > 0 {
                let rows = walk.next(&history, CHUNK).await?;
                for row in rows.iter().map(|linked| &linked.row).filter(|row| filter.matches(row)) {
                    summary.count += 1;
                    let total = match row.entry.direction {
                        Direction::Credit => &mut summary.credit_total,
                        Direction::Debit => &mut summary.debit_total,
                    };
                    let sum = total.plus(row.entry.amount);
                    let number = row.entry.number.get();
                    *total = sum.ok_or_else(|| history.damaged(number, "its amount"))?;
                }
            }
            Ok(Some(summary))
        })
    }

    fn totals(&self) -> Result<Vec<LedgerTotals>, StoreError> {
        self.ask(async |client| census::totals(client).await)
    }

    fn ready(&self) -> Result<(), StoreError> {
        self.runtime.block_on(self.probe.ask())
    }
}

/// The rows of a statement, which is prepared once a connection.
pub(super) async fn query(
    client: &Client,
    statement: &str,
    values: Values<'_>,
) -> Result<Vec<Columns>, StoreError> {
    pages::count(client, statement, values).await?;
    let attempt = |error| StoreError::database(READ, error);
    in_time(async {
        let statement = client.prepare_cached(statement).await.map_err(attempt)?;
        client.query(&statement, values).await.map_err(attempt)
    })
    .await
}

/// What comes of `asked`, if that is not too late.
pub(super) async fn in_time<T>(
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(DEADLINE, asked).await.unwrap_or_else(|_| Err(StoreError::too_late(READ)))
}
