//! One account's history: points of it, and rows with what they must follow from.
//!
//! A rank is an entry's place among those of one direction, or its number if both are meant. An
//! entry says how many credits there are up to it, so its rank is known wherever it is met, and the
//! entry with a rank is found like a word in a dictionary.

use std::ops::Range;
use std::sync::LazyLock;

use deadpool_postgres::Client;
use tokio_postgres::Row as Columns;
use tongjang_core::{Account, Balance, Direction, Hash, Timestamp, chain};

use super::columns::{self, ENTRY, bigint};
use super::reader::{Values, query};
use super::values::{Instant, Numeric, Uuid};
use crate::StoreError;
use crate::query::{Order, Row};

/// The columns that [`History::read_point`] reads, of `tongjang.entries AS e`.
const POINT: &str = "e.number, e.credit_count, e.credit_total, e.balance, e.booked_at";
/// The entries of one account.
const OF_ONE: &str = "FROM tongjang.entries AS e WHERE e.part = $1 AND e.account_id = $2";

static BY_NUMBER: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {ENTRY} {OF_ONE} AND e.number BETWEEN $3 AND $4 ORDER BY e.number")
});
static HASH: LazyLock<String> =
    LazyLock::new(|| format!("SELECT e.hash {OF_ONE} AND e.number = $3"));
static POINT_AT: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {POINT} {OF_ONE} AND e.number = $3"));
/// The newest of each direction before a time.
static BEFORE: LazyLock<String> = LazyLock::new(|| {
    let newest = |sign: i16| {
        format!(
            "(SELECT {POINT} {OF_ONE} AND e.direction = {sign} AND e.booked_at < $3
                ORDER BY e.booked_at DESC LIMIT 1)"
        )
    };
    format!("{} UNION ALL {}", newest(1), newest(-1))
});
static NEXT: LazyLock<[String; 2]> = LazyLock::new(|| both_ways(|way| nearest(POINT, way)));
/// The next rows of a direction, and the entry before the oldest of them.
static OF_DIRECTION: LazyLock<[String; 2]> = LazyLock::new(|| {
    both_ways(|way| {
        format!(
            "WITH page AS MATERIALIZED ({} LIMIT $5)
            SELECT * FROM page UNION ALL
            SELECT {ENTRY} {OF_ONE} AND e.number = (SELECT min(number) - 1 FROM page)",
            nearest(ENTRY, way)
        )
    })
});
/// The first entry after number $3, up to $4, with a rank of at least $5 in the direction $6. It is
/// there, so a row that is not found on the way leaves a gap between `low` and `high`.
static WITH_RANK: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH RECURSIVE search (low, high) AS (
            SELECT $3::bigint, $4::bigint
            UNION ALL
            SELECT CASE WHEN s.reached THEN s.low ELSE s.middle END,
                CASE WHEN s.reached THEN s.middle ELSE s.high END
            FROM (
                SELECT s.low, s.high, e.number AS middle, $5::bigint <=
                    CASE WHEN $6::smallint = 1 THEN e.credit_count
                        ELSE e.number - e.credit_count END AS reached
                FROM search AS s JOIN tongjang.entries AS e ON e.part = $1 AND e.account_id = $2
                    AND e.number = s.low + (s.high - s.low) / 2
                WHERE s.high - s.low > 1
            ) AS s
        )
        SELECT {POINT} {OF_ONE}
            AND e.number = (SELECT s.high FROM search AS s WHERE s.high - s.low = 1)"
    )
});

/// Rows of a direction from a time on, in an order.
fn nearest(columns: &str, (sign, order): (&str, &str)) -> String {
    format!(
        "SELECT {columns} {OF_ONE} AND e.direction = $3 AND e.booked_at {sign} $4
            ORDER BY e.booked_at {order}"
    )
}

/// A statement in both orders.
fn both_ways(text: impl Fn((&str, &str)) -> String) -> [String; 2] {
    [text((">", "ASC")), text(("<", "DESC"))]
}

fn in_order(statements: &[String; 2], order: Order) -> &str {
    match order {
        Order::Asc => &statements[0],
        Order::Desc => &statements[1],
    }
}

/// A row, and the hash of the entry before it if that was read as well.
pub(super) struct Linked {
    pub(super) row: Row,
    before: Option<Hash>,
}

/// Where an account stood after one of its entries, or before the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Point {
    pub(super) number: u64,
    pub(super) credits: u64,
    pub(super) credit_total: Balance,
    pub(super) balance: Balance,
    pub(super) booked_at: Timestamp,
}

impl Point {
    /// How many of the entries up to it are of `direction`.
    pub(super) fn rank(&self, direction: Option<Direction>) -> u64 {
        match direction {
            None => self.number,
            Some(Direction::Credit) => self.credits,
            Some(Direction::Debit) => self.number - self.credits,
        }
    }
}

/// One account's history as of one moment.
pub(super) struct History<'a> {
    pub(super) client: &'a Client,
    pub(super) account: Account,
    pub(super) part: i16,
}

impl History<'_> {
    /// How many entries there are.
    pub(super) fn count(&self) -> u64 {
        self.account.entry_count()
    }

    /// Before the first entry.
    pub(super) fn beginning(&self) -> Point {
        // Nothing is booked on an account before it is open.
        let opened_at = self.account.opened().opened_at.micros();
        Point {
            number: 0,
            credits: 0,
            credit_total: Balance::ZERO,
            balance: Balance::ZERO,
            booked_at: Timestamp::from_micros(opened_at.saturating_sub(1)),
        }
    }

    /// After the newest entry.
    pub(super) fn end(&self) -> Point {
        let standing = self.account.standing();
        match self.count() {
            0 => self.beginning(),
            number => Point {
                number,
                credits: standing.credit_count,
                credit_total: standing.credit_total,
                balance: self.account.balance(),
                booked_at: standing.last_booked_at,
            },
        }
    }

    /// After entry `number`, or after the newest if there are not so many.
    pub(super) async fn point(&self, number: u64) -> Result<Point, StoreError> {
        if number == 0 {
            return Ok(self.beginning());
        }
        if number >= self.count() {
            return Ok(self.end());
        }
        let rows = self.query(&POINT_AT, &[&bigint(number)]).await?;
        let row = rows.first().ok_or_else(|| self.missing(number))?;
        self.read_point(row)
    }

    /// After the newest entry that was booked before `time`.
    pub(super) async fn before(&self, time: Timestamp) -> Result<Point, StoreError> {
        if time <= self.account.opened().opened_at {
            return Ok(self.beginning());
        }
        if time > self.account.standing().last_booked_at {
            return Ok(self.end());
        }
        let rows = self.query(&BEFORE, &[&Instant(time)]).await?;
        // Times increase along an account, so the later of the two has all before it.
        let newest = rows.iter().max_by_key(|row| row.get::<_, i64>(0));
        newest.map_or_else(|| Ok(self.beginning()), |row| self.read_point(row))
    }

    /// The nearest entry of `direction` that was booked after `near`, or before it.
    pub(super) async fn next(
        &self,
        direction: Direction,
        order: Order,
        near: Timestamp,
    ) -> Result<Option<Point>, StoreError> {
        let statement = format!("{} LIMIT 1", in_order(&NEXT, order));
        let values: Values<'_> = &[&columns::sign(direction), &Instant(near)];
        let rows = self.query(&statement, values).await?;
        rows.first().map(|row| self.read_point(row)).transpose()
    }

    /// The entry with this rank among those of `direction`, which is after `low` and not after
    /// `high`.
    pub(super) async fn with_rank(
        &self,
        direction: Direction,
        rank: u64,
        (low, high): (&Point, &Point),
    ) -> Result<Point, StoreError> {
        let of = Some(direction);
        // So many entries of the direction lie between it and either end, and others perhaps.
        let least = low.number + (rank - low.rank(of)) - 1;
        let most = high.number - (high.rank(of) - rank);
        let sign = columns::sign(direction);
        let values: Values<'_> = &[&bigint(least), &bigint(most), &bigint(rank), &sign];
        let rows = self.query(&WITH_RANK, values).await?;
        let found = rows.first().map(|row| self.read_point(row)).transpose()?;
        found
            .filter(|point| point.rank(of) == rank)
            .ok_or_else(|| self.damaged(most, "a count of credits up to it, or before,"))
    }

    /// The rows `first` to `last`, the oldest first.
    pub(super) async fn rows(&self, first: u64, last: u64) -> Result<Vec<Linked>, StoreError> {
        let values: Values<'_> = &[&bigint(first - 1), &bigint(last)];
        let rows = read(&self.query(&BY_NUMBER, values).await?)?;
        let mut there = rows.iter().map(|row| row.entry.number.get());
        let mut expected = (first - 1).max(1)..=last;
        match expected.find(|number| there.next() != Some(*number)) {
            None => Ok(self.linked(rows, last - first + 1)),
            Some(number) => Err(self.missing(number)),
        }
    }

    /// The rows of `direction` with these ranks, the oldest first. In `order` they are the first
    /// beyond the time `near`.
    pub(super) async fn rows_of(
        &self,
        direction: Direction,
        mut ranks: Range<u64>,
        order: Order,
        near: Timestamp,
    ) -> Result<Vec<Linked>, StoreError> {
        let sign = columns::sign(direction);
        let count = ranks.end - ranks.start;
        let values: Values<'_> = &[&sign, &Instant(near), &bigint(count)];
        let mut rows = read(&self.query(in_order(&OF_DIRECTION, order), values).await?)?;
        rows.sort_by_key(|row| row.entry.number);
        let rows = self.linked(rows, count);
        for Linked { row: Row { entry, .. }, .. } in &rows {
            let number = entry.number.get();
            let rank = match direction {
                Direction::Credit => Some(entry.credit_count),
                Direction::Debit => number.checked_sub(entry.credit_count),
            };
            // The entry before the oldest is read with them, and no one of them may be it.
            if entry.direction != direction || rank.is_none() || rank != ranks.next() {
                return Err(self.damaged(number, "its direction or its count of credits"));
            }
        }
        match ranks.next() {
            None => Ok(rows),
            Some(_) => {
                let what = format!("a {} before it is not there", direction.as_str());
                Err(self.fault(self.count(), what))
            }
        }
    }

    /// Checks that each of `rows` that neighbours one read with it follows from the one before it,
    /// the oldest in any case, and the account from its newest.
    pub(super) async fn check(&self, rows: &[Linked]) -> Result<(), StoreError> {
        let oldest = rows.iter().map(|linked| linked.row.entry.number).min();
        for Linked { row, before } in rows {
            let number = row.entry.number;
            let before = match *before {
                None if Some(number) == oldest => Some(self.hash(number.get() - 1).await?),
                before => before,
            };
            let follows = before.is_none_or(|before| {
                let (transaction, kind) = (row.transaction, row.kind);
                chain::link(before, transaction, kind, row.booked_at, &row.entry) == row.entry.hash
            });
            if !follows {
                return Err(self.damaged(number.get(), "its hash"));
            }
            let head = number.get() != self.count() || row.entry.hash == self.account.head_hash();
            if !head {
                return Err(self.damaged(number.get(), "its hash, or the account's,"));
            }
        }
        Ok(())
    }

    /// That `what` of entry `number` cannot be right.
    pub(super) fn damaged(&self, number: u64, what: &str) -> StoreError {
        self.fault(number, format!("{what} does not follow from what was before"))
    }

    fn missing(&self, number: u64) -> StoreError {
        self.fault(number, "it is not there".to_owned())
    }

    fn fault(&self, number: u64, what: String) -> StoreError {
        let what = format!("{what}; run `tongjang verify`");
        StoreError::Damaged { place: self.place(number), what }
    }

    fn place(&self, number: u64) -> String {
        format!("entry {number} of account {} in part {}", self.account.id(), self.part)
    }

    async fn query(&self, statement: &str, values: Values<'_>) -> Result<Vec<Columns>, StoreError> {
        let id = Uuid(self.account.id().bits());
        let mut all: Vec<_> = vec![&self.part as _, &id as _];
        all.extend_from_slice(values);
        query(self.client, statement, &all).await
    }

    async fn hash(&self, number: u64) -> Result<Hash, StoreError> {
        if number == 0 {
            return Ok(chain::genesis(self.account.opened()));
        }
        let rows = self.query(&HASH, &[&bigint(number)]).await?;
        let row = rows.first().ok_or_else(|| self.missing(number))?;
        let hash = row.get::<_, &[u8]>(0).try_into().map(Hash::from_bytes);
        hash.map_err(|_| self.fault(number, "its hash has not 32 bytes".to_owned()))
    }

    /// The newest `count` of `rows`; one that is there beyond them is the entry before them.
    fn linked(&self, rows: Vec<Row>, count: u64) -> Vec<Linked> {
        let beyond = rows.len() as u64 > count;
        let mut before = (0, chain::genesis(self.account.opened()));
        let mut linked = Vec::with_capacity(rows.len());
        for (index, row) in rows.into_iter().enumerate() {
            let (number, hash) = (row.entry.number.get(), row.entry.hash);
            if index > 0 || !beyond {
                let neighbours = before.0 + 1 == number;
                linked.push(Linked { row, before: neighbours.then_some(before.1) });
            }
            before = (number, hash);
        }
        linked
    }

    fn read_point(&self, row: &Columns) -> Result<Point, StoreError> {
        let (number, credits): (i64, i64) = (row.get(0), row.get(1));
        let at = number.unsigned_abs();
        let counts = columns::whole(number).zip(columns::whole(credits));
        let fits = |(number, credits): &(u64, u64)| credits <= number && *number <= self.count();
        let (number, credits) = counts
            .filter(fits)
            .ok_or_else(|| self.damaged(at, "its number or its count of credits"))?;
        let read = || {
            let (Numeric(credit_total), Numeric(balance)) =
                (columns::value(row, 2)?, columns::value(row, 3)?);
            Ok(Point {
                number,
                credits,
                credit_total: Balance::new(credit_total),
                balance: Balance::new(balance),
                booked_at: columns::time(row, 4)?,
            })
        };
        read().map_err(|bad: columns::Bad<'_>| bad.at(self.place(at)))
    }
}

fn read(rows: &[Columns]) -> Result<Vec<Row>, StoreError> {
    rows.iter().map(|row| columns::entry(row).map(|entry| entry.row)).collect()
}
