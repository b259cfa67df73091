//! The queries of `bench history`: what people ask of an account's passbook.

use anyhow::Context;
use serde::Serialize;
use tongjang_core::{AccountId, Direction, EntryNumber, Timestamp, TransactionId};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader};

use super::workload::Random;

/// How many rows a page has.
const PAGE: usize = 50;
/// As over HTTP; no query here has to look at rows that it does not show.
const SCAN: usize = 10_000;

/// A kind of query.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    NewestPage,
    OldestPage,
    /// Behind any number of the account's entries, which are passed over.
    PageByOffset,
    /// Begins at any time of the account's history.
    PageByTime,
    /// The same with debits alone.
    OneDirection,
    /// The sums between any two times.
    Summary,
    /// By its id.
    Transaction,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::NewestPage,
        Self::OldestPage,
        Self::PageByOffset,
        Self::PageByTime,
        Self::OneDirection,
        Self::Summary,
        Self::Transaction,
    ];

    /// Whether it shows rows of an account.
    pub(crate) const fn is_page(self) -> bool {
        match self {
            Self::NewestPage | Self::OldestPage | Self::PageByOffset => true,
            Self::PageByTime | Self::OneDirection => true,
            Self::Summary | Self::Transaction => false,
        }
    }

    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::NewestPage => "newest page",
            Self::OldestPage => "oldest page",
            Self::PageByOffset => "page by offset",
            Self::PageByTime => "page by time",
            Self::OneDirection => "one direction",
            Self::Summary => "summary of a range",
            Self::Transaction => "transaction by id",
        }
    }
}

/// Whose passbook is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Whose {
    Any,
    Busiest,
}

impl Whose {
    pub(crate) const ALL: [Self; 2] = [Self::Any, Self::Busiest];

    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::Any => "any account",
            Self::Busiest => "the busiest account",
        }
    }
}

/// A query that is ready to be asked.
#[derive(Clone, Debug)]
pub(crate) enum Query {
    Page(EntryQuery),
    Summary(EntryFilter),
    Transaction(TransactionId),
}

impl Query {
    /// A query of this kind on `account`; what it needs to know is looked up now.
    pub(crate) fn prepare(
        reader: &impl Reader,
        kind: Kind,
        account: AccountId,
        random: &mut Random,
    ) -> anyhow::Result<Self> {
        let all = EntryFilter::all(account);
        let page = |filter, order, offset| {
            let (after, limit, scan_limit) = (None, PAGE, SCAN);
            Self::Page(EntryQuery { filter, order, after, offset, limit, scan_limit })
        };
        let count = reader.account(account)?.context("the account is there")?.entry_count();
        anyhow::ensure!(count > 0, "{account} has no entries");
        let mut some = || EntryNumber::after(random.below(count));
        let time = |number: EntryNumber| -> anyhow::Result<Timestamp> {
            let row = reader.entry(account, number)?.context("the entry is there")?;
            Ok(row.booked_at)
        };
        Ok(match kind {
            Kind::NewestPage => page(all, Order::Desc, 0),
            Kind::OldestPage => page(all, Order::Asc, 0),
            Kind::PageByOffset => page(all, Order::Desc, random.below(count)),
            Kind::PageByTime => {
                page(EntryFilter { to: Some(time(some())?), ..all }, Order::Desc, 0)
            }
            Kind::OneDirection => {
                let (to, direction) = (Some(time(some())?), Some(Direction::Debit));
                page(EntryFilter { to, direction, ..all }, Order::Desc, 0)
            }
            Kind::Summary => {
                let (one, other) = (time(some())?, time(some())?);
                let (from, to) = (Some(one.min(other)), Some(one.max(other)));
                Self::Summary(EntryFilter { from, to, ..all })
            }
            Kind::Transaction => {
                let row = reader.entry(account, some())?.context("the entry is there")?;
                Self::Transaction(row.transaction)
            }
        })
    }

    /// Asks the reader, in process; how many rows a page has.
    pub(crate) fn ask(&self, reader: &impl Reader) -> anyhow::Result<usize> {
        let rows = match self {
            Self::Page(query) => std::hint::black_box(reader.entries(query)?).rows.len(),
            Self::Summary(filter) => {
                let summary = reader.summary(filter, SCAN)?;
                std::hint::black_box(summary.context("no rows have to be looked at")?);
                0
            }
            Self::Transaction(id) => {
                let found = reader.transaction(*id)?;
                std::hint::black_box(found.context("the transaction is there")?);
                0
            }
        };
        Ok(rows)
    }

    /// The path that asks the same over HTTP.
    pub(crate) fn path(&self) -> String {
        let range = |filter: &EntryFilter| {
            let mut range = String::new();
            let ends = [("from", filter.from), ("to", filter.to)];
            for (name, end) in ends.into_iter().filter_map(|(name, end)| Some((name, end?))) {
                let time = jiff::Timestamp::from_microsecond(end.micros());
                let time = time.expect("the ledger's times lie within the years 0 to 9999");
                range += &format!("&{name}={time:.6}");
            }
            range
        };
        match self {
            Self::Page(EntryQuery { filter, order, offset, .. }) => {
                let order = if *order == Order::Asc { "asc" } else { "desc" };
                let debit = if filter.direction.is_some() { "&direction=debit" } else { "" };
                let (account, range) = (filter.account, range(filter));
                let more = match offset {
                    0 => debit.to_owned(),
                    offset => format!("{debit}&offset={offset}"),
                };
                let entries = format!("/v1/accounts/{account}/entries");
                format!("{entries}?limit={PAGE}&order={order}{more}{range}")
            }
            Self::Summary(filter) => {
                let range = range(filter);
                let range = range.trim_start_matches('&');
                format!("/v1/accounts/{}/entries/summary?{range}", filter.account)
            }
            Self::Transaction(id) => format!("/v1/transactions/{id}"),
        }
    }
}

/// Who there is in a ledger.
pub(crate) struct Population {
    /// The customers' accounts that have entries.
    pub(crate) accounts: Vec<AccountId>,
    /// The account with the most entries, which may be the settlement account.
    pub(crate) busiest: AccountId,
    pub(crate) busiest_entries: u64,
    pub(crate) transactions: u64,
    /// Whether all of them are the measurement's own user's.
    pub(crate) ours: bool,
}

impl Population {
    pub(crate) fn of(reader: &impl Reader) -> anyhow::Result<Self> {
        let (mut accounts, mut after, mut busiest, mut ours) = (Vec::new(), None, None, true);
        loop {
            let some = reader.accounts(None, Order::Asc, after, 500)?;
            let Some(last) = some.last() else { break };
            after = Some(last.id());
            for account in &some {
                if account.entry_count() == 0 {
                    continue;
                }
                busiest = busiest.max(Some((account.entry_count(), account.id())));
                if !account.id().is_settlement() {
                    ours &= account.owner() == super::workload::USER;
                    accounts.push(account.id());
                }
            }
        }
        let (busiest_entries, busiest) = busiest.context("no account of it has an entry")?;
        let transactions = reader.totals()?.iter().map(|of| of.transactions).sum();
        Ok(Self { accounts, busiest, busiest_entries, transactions, ours })
    }

    /// So many queries of this kind that are ready to be asked.
    pub(crate) fn queries(
        &self,
        reader: &impl Reader,
        whose: Whose,
        kind: Kind,
        count: usize,
        random: &mut Random,
    ) -> anyhow::Result<Vec<Query>> {
        let account = |random: &mut Random| match whose {
            Whose::Any => self.accounts[random.below(self.accounts.len() as u64) as usize],
            Whose::Busiest => self.busiest,
        };
        (0..count)
            .map(|_| {
                let account = account(random);
                Query::prepare(reader, kind, account, random)
            })
            .collect()
    }
}
