//! Which entries a filter means as far as an index knows: those between two points, of a direction.

use tongjang_core::{Balance, Direction, EntryNumber, Timestamp};

use super::history::{History, Linked, Point};
use crate::StoreError;
use crate::query::{EntryFilter, EntryQuery, Order, Summary};

/// So many rows are fetched at once at most.
pub(super) const CHUNK: usize = 512;

/// The entries of a filter's time range and direction.
pub(super) struct Range {
    direction: Option<Direction>,
    /// Where the account stood before the first.
    first: Point,
    /// Where it stood after the last.
    last: Point,
}

impl Range {
    pub(super) async fn of(
        history: &History<'_>,
        filter: &EntryFilter,
    ) -> Result<Self, StoreError> {
        let (first, last) = tokio::try_join!(
            biased;
            async {
                match filter.from {
                    Some(from) => history.before(from).await,
                    None => Ok(history.beginning()),
                }
            },
            async {
                match filter.to {
                    Some(to) => history.before(to).await,
                    None => Ok(history.end()),
                }
            },
        )?;
        let last = if last.number < first.number { first } else { last };
        let ranks = [Some(Direction::Credit), Some(Direction::Debit)];
        if ranks.iter().any(|of| last.rank(*of) < first.rank(*of)) {
            return Err(history.damaged(last.number, "its count of credits"));
        }
        Ok(Self { direction: filter.direction, first, last })
    }

    /// Count and sums without looking at what lies between, and the balances at both ends.
    pub(super) fn summary(&self, history: &History<'_>) -> Result<Summary, StoreError> {
        let Self { direction, first, last } = self;
        let between = |high: Balance, low: Balance| {
            high.checked_sub(low).ok_or_else(|| history.damaged(last.number, "its balance"))
        };
        let credit_total = between(last.credit_total, first.credit_total)?;
        // What came in less the change of the balance is what went out.
        let debit_total = between(credit_total, between(last.balance, first.balance)?)?;
        let only = |one, total| match *direction {
            Some(direction) if direction != one => Balance::ZERO,
            _ => total,
        };
        let (low, high) = (first.rank(*direction), last.rank(*direction));
        let count = high.checked_sub(low);
        Ok(Summary {
            count: count.ok_or_else(|| history.damaged(last.number, "its count of credits"))?,
            credit_total: only(Direction::Credit, credit_total),
            debit_total: only(Direction::Debit, debit_total),
            opening_balance: first.balance,
            closing_balance: last.balance,
        })
    }

    /// A walk over all of it, the newest first.
    pub(super) fn whole(&self) -> Walk {
        self.between(Order::Desc, &self.first, &self.last)
    }

    /// The walk that `query` asks for, and the first entry that it skips.
    pub(super) async fn walk(
        history: &History<'_>,
        query: &EntryQuery,
    ) -> Result<(Walk, Option<EntryNumber>), StoreError> {
        let after = async {
            match (query.order, query.after) {
                (_, None) => Ok(None),
                (Order::Desc, Some(after)) => history.point(after.get() - 1).await.map(Some),
                (Order::Asc, Some(after)) => history.point(after.get()).await.map(Some),
            }
        };
        let (range, after) = tokio::try_join!(biased; Self::of(history, &query.filter), after)?;
        let Self { direction, mut first, mut last } = range;
        match (query.order, after) {
            (_, None) => {}
            (Order::Desc, Some(after)) => last = earlier(last, after),
            (Order::Asc, Some(after)) => first = later(first, after),
        }
        let mut walk = range.between(query.order, &first, &last);
        let skipped = query.offset.min(walk.left());
        if skipped == 0 {
            return Ok((walk, None));
        }
        // The first that is skipped, and the last: the walk goes on right after that.
        let (one, at) = match query.order {
            Order::Asc => (walk.low, walk.low + skipped - 1),
            Order::Desc => (walk.high - 1, walk.high - skipped),
        };
        let number = match direction {
            None => one,
            Some(of) => {
                let (next, at) = tokio::try_join!(
                    biased;
                    history.next(of, query.order, walk.near),
                    history.with_rank(of, at, (&first, &last)),
                )?;
                walk.near = at.booked_at;
                match next.filter(|next| next.rank(direction) == one) {
                    Some(next) => next.number,
                    None => return Err(history.damaged(at.number, "its count of credits")),
                }
            }
        };
        match query.order {
            Order::Asc => walk.low += skipped,
            Order::Desc => walk.high -= skipped,
        }
        Ok((walk, EntryNumber::new(number)))
    }

    fn between(&self, order: Order, first: &Point, last: &Point) -> Walk {
        let Self { direction, .. } = *self;
        let near = match order {
            Order::Asc => first.booked_at,
            Order::Desc => last.booked_at.next(),
        };
        let (low, high) = (first.rank(direction) + 1, last.rank(direction) + 1);
        Walk { direction, order, low, high, near }
    }
}

fn earlier(one: Point, other: Point) -> Point {
    if other.number < one.number { other } else { one }
}

fn later(one: Point, other: Point) -> Point {
    if other.number > one.number { other } else { one }
}

/// Ranks that are still to be looked at: from `low` up to but without `high`.
pub(super) struct Walk {
    direction: Option<Direction>,
    order: Order,
    low: u64,
    high: u64,
    /// Those of one direction are found by their times, which are beyond this one.
    near: Timestamp,
}

impl Walk {
    pub(super) fn left(&self) -> u64 {
        self.high.saturating_sub(self.low)
    }

    /// The rows of at most `count` further ranks, in the order asked for.
    pub(super) async fn next(
        &mut self,
        history: &History<'_>,
        count: usize,
    ) -> Result<Vec<Linked>, StoreError> {
        let count = self.left().min(count as u64);
        if count == 0 {
            return Ok(Vec::new());
        }
        let ranks = match self.order {
            Order::Asc => self.low..self.low + count,
            Order::Desc => self.high - count..self.high,
        };
        let mut rows = match self.direction {
            None => history.rows(ranks.start, ranks.end - 1).await?,
            Some(direction) => {
                history.rows_of(direction, ranks.clone(), self.order, self.near).await?
            }
        };
        let farthest = match self.order {
            Order::Asc => rows.last(),
            Order::Desc => rows.first(),
        };
        self.near = farthest.map_or(self.near, |linked| linked.row.booked_at);
        match self.order {
            Order::Asc => self.low = ranks.end,
            Order::Desc => {
                self.high = ranks.start;
                rows.reverse();
            }
        }
        Ok(rows)
    }
}
