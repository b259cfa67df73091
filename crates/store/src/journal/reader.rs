//! Queries on a journal: the [`Reader`] that the server clones for each who asks.

use std::sync::Arc;

use tongjang_core::{
    Account, AccountId, AccountNumber, Balance, Bank, Direction, EntryNumber, Event, Timestamp,
    Transaction, TransactionId, UserId,
};

use super::history::History;
use super::log_reader::LogReader;
use super::poison::Poison;
use super::scan::Scan;
use super::view::View;
use crate::query::{EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Row, Summary};
use crate::{Reader, StoreError};

/// Reads what is durable in a journal. Cloning it is cheap.
#[derive(Clone)]
pub struct JournalReader {
    pub(super) view: Arc<View>,
    pub(super) log: LogReader,
    pub(super) poison: Poison,
}

impl JournalReader {
    fn history(&self, id: AccountId) -> Option<History<'_>> {
        let slot = self.view.register.slot(id)?;
        History::of(&self.view, &self.log, slot)
    }
}

impl Reader for JournalReader {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        Ok(self.view.register.slot(id).and_then(|slot| self.view.account(slot)))
    }

    fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<AccountId>, StoreError> {
        let slot = self.view.register.slot_by_number(bank, number);
        let account = slot.and_then(|slot| self.view.account(slot));
        let is_it = |account: &Account| match &account.opened().place {
            Some((its_bank, its_number)) => its_bank == bank && its_number.bare() == number.bare(),
            None => false,
        };
        Ok(account.filter(is_it).map(|account| account.id()))
    }

    fn accounts(
        &self,
        owner: Option<UserId>,
        order: Order,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        let published = self.view.published();
        let after = match after {
            None => None,
            Some(id) => match self.view.register.slot(id) {
                None => return Ok(Vec::new()),
                slot => slot,
            },
        };
        // What is asked for lies between these two slots.
        let (low, high) = match (order, after) {
            (_, None) => (0, published),
            (Order::Asc, Some(after)) => (after.saturating_add(1), published),
            (Order::Desc, Some(after)) => (0, after.min(published)),
        };
        let slots = match owner {
            None => page_of(low..high, order, limit),
            Some(owner) => self.view.register.of_owner(owner, |slots| {
                let below = |bound: u32| slots.partition_point(|slot| *slot < bound);
                let (low, high) = (below(low), below(high));
                page_of(slots[low..high.max(low)].iter().copied(), order, limit)
            }),
        };
        Ok(slots.into_iter().filter_map(|slot| self.view.account(slot)).collect())
    }

    fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, StoreError> {
        let booked_at = id.booked_at();
        let Some(mark) = self.view.mark_before(booked_at) else { return Ok(None) };
        let mut scan = Scan::new(&self.log, mark.position, self.view.end());
        while let Some(event) = scan.next_from(booked_at, &*self.view)? {
            match event {
                Event::Booked(booked) if booked.transaction.id == id => {
                    return Ok(Some(booked.transaction));
                }
                event if event.at() > booked_at => break,
                _ => {}
            }
        }
        Ok(None)
    }

    fn entry(&self, account: AccountId, number: EntryNumber) -> Result<Option<Row>, StoreError> {
        match self.history(account) {
            Some(history) if number.get() <= history.count() => {
                let number = number.get();
                let mut rows = history.rows(None, number..number + 1)?;
                history.check(&rows.iter().collect::<Vec<_>>())?;
                Ok(rows.pop())
            }
            _ => Ok(None),
        }
    }

    fn entries_before(&self, account: AccountId, time: Timestamp) -> Result<u64, StoreError> {
        self.history(account).map_or(Ok(0), |history| history.before(time))
    }

    fn entries(&self, query: &EntryQuery) -> Result<EntryPage, StoreError> {
        let filter = &query.filter;
        let Some(history) = self.history(filter.account) else {
            return Ok(EntryPage::default());
        };
        let direction = filter.direction;
        let (mut walk, skipped) = Ranks::of(&history, query)?;
        let mut page = EntryPage { skipped, ..EntryPage::default() };
        let most = query.scan_limit.max(1).try_into().unwrap_or(u64::MAX);
        let limit = query.limit.max(1);
        let (mut looked_at, mut left) = (0, walk.left());
        // Where rows are passed over, the few still wanted may lie behind many: more and more.
        let mut more = limit.clamp(64, CHUNK);
        'page: while looked_at < most && walk.left() > 0 {
            let wanted = if filter.needs_scan() { more } else { limit - page.rows.len() };
            more = CHUNK.min(2 * more);
            for row in walk.next(&history, direction, wanted.min(CHUNK))? {
                looked_at += 1;
                left -= 1;
                page.resume = (left > 0).then_some(row.entry.number);
                if filter.matches(&row) {
                    page.rows.push(row);
                }
                if page.rows.len() == limit || looked_at == most {
                    break 'page;
                }
            }
        }
        let mut oldest_first: Vec<&Row> = page.rows.iter().collect();
        if query.order == Order::Desc {
            oldest_first.reverse();
        }
        history.check(&oldest_first)?;
        Ok(page)
    }

    fn summary(
        &self,
        filter: &EntryFilter,
        scan_limit: usize,
    ) -> Result<Option<Summary>, StoreError> {
        let Some(history) = self.history(filter.account) else {
            return Ok(Some(Summary::default()));
        };
        let (first, last) = range(&history, filter)?;
        let up_to = |number: u64| match number {
            0 => Ok((Balance::ZERO, Balance::ZERO)),
            _ => history.row(number).map(|row| (row.entry.balance, row.entry.credit_total)),
        };
        let (opening_balance, credits_before) = up_to(first)?;
        let (closing_balance, credits) = up_to(last)?;
        let between = |high: Balance, low: Balance| {
            high.checked_sub(low).expect("a range moves no more than the totals, which fit")
        };
        let mut summary = Summary { opening_balance, closing_balance, ..Summary::default() };
        let (low, high) =
            (history.rank(filter.direction, first)?, history.rank(filter.direction, last)?);
        if !filter.needs_scan() {
            summary.count = high - low;
            let credit_total = between(credits, credits_before);
            // What came in less the change of the balance is what went out.
            let debit_total = between(credit_total, between(closing_balance, opening_balance));
            if filter.direction != Some(Direction::Debit) {
                summary.credit_total = credit_total;
            }
            if filter.direction != Some(Direction::Credit) {
                summary.debit_total = debit_total;
            }
            return Ok(Some(summary));
        }
        if high - low > scan_limit as u64 {
            return Ok(None);
        }
        let mut walk = Ranks { low: low + 1, high: high + 1, order: Order::Desc };
        while walk.left() > 0 {
            let rows = walk.next(&history, filter.direction, CHUNK)?;
            for row in rows.iter().filter(|row| filter.matches(row)) {
                summary.count += 1;
                let total = match row.entry.direction {
                    Direction::Credit => &mut summary.credit_total,
                    Direction::Debit => &mut summary.debit_total,
                };
                *total = total.plus(row.entry.amount).expect("a part of a total that fits");
            }
        }
        Ok(Some(summary))
    }

    fn totals(&self) -> Result<Vec<LedgerTotals>, StoreError> {
        Ok(self.view.totals())
    }

    fn ready(&self) -> Result<(), StoreError> {
        self.poison.check()
    }
}

/// So many rows are fetched at once at most: a disk is busy with them, and the memory is little.
const CHUNK: usize = 512;

/// Ranks that are still to be looked at: from `low` up to but without `high`.
struct Ranks {
    low: u64,
    high: u64,
    order: Order,
}

impl Ranks {
    /// What `query` asks for, and the first entry that it skips.
    fn of(
        history: &History<'_>,
        query: &EntryQuery,
    ) -> Result<(Self, Option<EntryNumber>), StoreError> {
        let (filter, direction) = (&query.filter, query.filter.direction);
        let (first, last) = range(history, filter)?;
        let (mut low, mut high) =
            (history.rank(direction, first)? + 1, history.rank(direction, last)?);
        let at_most = |number: u64| number.min(history.count());
        match (query.order, query.after) {
            (_, None) => {}
            (Order::Desc, Some(after)) => {
                high = high.min(history.rank(direction, at_most(after.get() - 1))?);
            }
            (Order::Asc, Some(after)) => {
                low = low.max(history.rank(direction, at_most(after.get()))? + 1);
            }
        }
        let mut ranks = Self { low, high: high + 1, order: query.order };
        let skipped = query.offset.min(ranks.left());
        let first = match query.order {
            Order::Asc => low,
            Order::Desc => high,
        };
        let first = if skipped > 0 { Some(history.number(direction, first)?) } else { None };
        match query.order {
            Order::Asc => ranks.low += skipped,
            Order::Desc => ranks.high -= skipped,
        }
        Ok((ranks, first))
    }

    fn left(&self) -> u64 {
        self.high.saturating_sub(self.low)
    }

    /// The rows of at most `count` further ranks, in the order asked for.
    fn next(
        &mut self,
        history: &History<'_>,
        direction: Option<Direction>,
        count: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let count = self.left().min(count as u64);
        let ranks = match self.order {
            Order::Asc => self.low..self.low + count,
            Order::Desc => self.high - count..self.high,
        };
        match self.order {
            Order::Asc => self.low = ranks.end,
            Order::Desc => self.high = ranks.start,
        }
        let mut rows = history.rows(direction, ranks)?;
        if self.order == Order::Desc {
            rows.reverse();
        }
        Ok(rows)
    }
}

/// The entries of the filter's time range: those after number `.0` up to number `.1`.
fn range(history: &History<'_>, filter: &EntryFilter) -> Result<(u64, u64), StoreError> {
    let first = filter.from.map_or(Ok(0), |from| history.before(from))?;
    let last = filter.to.map_or(Ok(history.count()), |to| history.before(to))?;
    Ok((first, last.max(first)))
}

/// The first `limit` of `slots`, which ascend, in the order asked for.
fn page_of(slots: impl DoubleEndedIterator<Item = u32>, order: Order, limit: usize) -> Vec<u32> {
    match order {
        Order::Asc => slots.take(limit).collect(),
        Order::Desc => slots.rev().take(limit).collect(),
    }
}
