//! What must come of requests: the bare core, and beside it an account as what it is on paper, a
//! list of rows. Every question is answered by looking at all of them.

use std::collections::BTreeMap;

use tongjang_core::apply::apply;
use tongjang_core::{
    Account, AccountId, Audit, AuditSummary, Balance, Book, Currency, Decision, Direction, Event,
    MemoryBook, Request, Timestamp, Transaction, TransactionId, UserId, decide,
};
use tongjang_store::{
    Answer, EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Row, Summary, Together,
};

/// A ledger in memory that keeps everything.
#[derive(Clone, Default, Debug)]
pub struct Model {
    /// What happened, in order.
    pub events: Vec<Event>,
    book: MemoryBook,
    rows: BTreeMap<AccountId, Vec<Row>>,
    opened: Vec<AccountId>,
}

impl Model {
    /// The ledger after `events`.
    pub fn after(events: &[Event]) -> Self {
        let mut model = Self::default();
        events.iter().for_each(|event| model.take(event));
        model
    }

    /// What comes of `request`.
    pub fn ask(&mut self, request: &Request) -> Answer {
        let Ok(decision) = decide(&self.book, request);
        let (event, replayed) = match decision {
            Decision::New(event) => {
                self.take(&event);
                (event, false)
            }
            Decision::Replayed(event) => (event, true),
            Decision::Refused(rejection) => {
                return Answer { outcome: Err(rejection), replayed: false };
            }
        };
        let outcome = match event {
            Event::Refused(refused) => Err(refused.rejection),
            event => Ok(event),
        };
        Answer { outcome, replayed }
    }

    /// What comes of `requests` that are booked together or not at all: they are asked one after
    /// another of a copy, which takes the ledger's place only if all of them succeed.
    pub fn ask_together(&mut self, requests: &[Request]) -> Together {
        let mut copy = self.clone();
        let mut answers = Vec::new();
        for (at, request) in requests.iter().enumerate() {
            let answer = copy.ask(request);
            if let Err(rejection) = answer.outcome {
                return Together::None { at, rejection, replayed: answer.replayed };
            }
            answers.push(answer);
        }
        *self = copy;
        Together::All(answers)
    }

    fn take(&mut self, event: &Event) {
        apply(&mut self.book, event);
        match event {
            Event::Opened(opening) => {
                let opened = opening.settlement.iter().chain([&opening.account]);
                self.opened.extend(opened.map(|opened| opened.id));
            }
            Event::Booked(booked) => {
                let Transaction { id, kind, booked_at, .. } = booked.transaction;
                for entry in booked.transaction.entries.clone() {
                    let rows = self.rows.entry(entry.account).or_default();
                    rows.push(Row { transaction: id, kind, booked_at, entry });
                }
            }
            Event::Refused(_) | Event::StatusChanged(_) => {}
        }
        self.events.push(event.clone());
    }

    /// Every row of `account`, the oldest first.
    pub fn rows(&self, account: AccountId) -> &[Row] {
        self.rows.get(&account).map(Vec::as_slice).unwrap_or_default()
    }

    /// All accounts, settlement accounts too, in the order of their opening.
    pub fn accounts(&self) -> Vec<Account> {
        let account = |id: &AccountId| self.book.account(*id).expect("it was opened").clone();
        self.opened.iter().map(account).collect()
    }

    /// Adds everything up again from the signed amounts alone.
    ///
    /// # Panics
    /// If a number, a balance or the sum of a currency is not what it must be.
    pub fn add_up(&self) -> AuditSummary {
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for account in self.accounts() {
            let mut balance = 0;
            for (index, row) in self.rows(account.id()).iter().enumerate() {
                balance += signed(row);
                assert_eq!(row.entry.number.get(), index as u64 + 1);
                assert_eq!(row.entry.balance.minor(), balance);
            }
            assert_eq!(account.balance().minor(), balance);
            *sums.entry(account.currency()).or_default() += balance;
        }
        assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
        let mut audit = Audit::new();
        let checked = self.events.iter().try_for_each(|event| audit.check(event));
        let checked = checked.and_then(|()| audit.finish(self.accounts().iter()));
        checked.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// The page that `query` asks for.
    pub fn page(&self, query: &EntryQuery) -> EntryPage {
        let mut inside = self.inside(&query.filter);
        if query.order == Order::Desc {
            inside.reverse();
        }
        inside.retain(|row| match (query.after, query.order) {
            (None, _) => true,
            (Some(after), Order::Asc) => row.entry.number > after,
            (Some(after), Order::Desc) => row.entry.number < after,
        });
        let skipped = inside.len().min(query.offset as usize);
        let first = inside.drain(..skipped).next().map(|row| row.entry.number);
        let mut page = EntryPage { skipped: first, ..EntryPage::default() };
        for (index, row) in inside.iter().enumerate().take(query.scan_limit) {
            page.resume = (index + 1 < inside.len()).then_some(row.entry.number);
            if query.filter.matches(row) {
                page.rows.push((*row).clone());
            }
            if page.rows.len() == query.limit {
                break;
            }
        }
        page
    }

    /// Count and sums of the rows of `filter`.
    pub fn summary(&self, filter: &EntryFilter, scan_limit: usize) -> Option<Summary> {
        let inside = self.inside(filter);
        if filter.needs_scan() && inside.len() > scan_limit {
            return None;
        }
        let meant: Vec<&&Row> = inside.iter().filter(|row| filter.matches(row)).collect();
        let sum = |direction| {
            let rows = meant.iter().filter(|row| row.entry.direction == direction);
            Balance::new(rows.map(|row| row.entry.amount.minor()).sum())
        };
        let first = filter.from.map_or(0, |from| self.before(filter.account, from));
        let last = filter.to.map_or(u64::MAX, |to| self.before(filter.account, to)).max(first);
        let balance = |number: u64| {
            let rows = self.rows(filter.account).iter();
            Balance::new(rows.take(number as usize).map(signed).sum())
        };
        Some(Summary {
            count: meant.len() as u64,
            credit_total: sum(Direction::Credit),
            debit_total: sum(Direction::Debit),
            opening_balance: balance(first),
            closing_balance: balance(last),
        })
    }

    /// How many entries of `account` were booked before `time`.
    pub fn before(&self, account: AccountId, time: Timestamp) -> u64 {
        self.rows(account).iter().filter(|row| row.booked_at < time).count() as u64
    }

    /// At most `limit` accounts of `owner`, or of everybody, after the account `after`.
    pub fn list(
        &self,
        owner: Option<UserId>,
        order: Order,
        after: Option<AccountId>,
        limit: usize,
    ) -> Vec<Account> {
        let mut accounts = self.accounts();
        if order == Order::Desc {
            accounts.reverse();
        }
        let place = after.and_then(|after| accounts.iter().position(|one| one.id() == after));
        let begin = match (after, place) {
            (None, _) => 0,
            (Some(_), Some(place)) => place + 1,
            (Some(_), None) => return Vec::new(),
        };
        let rest = accounts.into_iter().skip(begin);
        rest.filter(|account| owner.is_none_or(|owner| account.owner() == owner))
            .take(limit)
            .collect()
    }

    /// The transaction `id`.
    pub fn transaction(&self, id: TransactionId) -> Option<&Transaction> {
        self.events.iter().find_map(|event| match event {
            Event::Booked(booked) if booked.transaction.id == id => Some(&booked.transaction),
            _ => None,
        })
    }

    /// The whole ledger, a row a currency.
    pub fn totals(&self) -> Vec<LedgerTotals> {
        let summed = self.add_up().currencies;
        summed
            .into_iter()
            .map(|of| LedgerTotals {
                currency: of.currency,
                accounts: of.accounts,
                transactions: of.transactions,
                customer_balance: of.customer_balance,
                settlement_balance: of.settlement_balance,
            })
            .collect()
    }

    /// The rows of the filter's time range and direction, the oldest first.
    fn inside(&self, filter: &EntryFilter) -> Vec<&Row> {
        let EntryFilter { account, from, to, direction, .. } = *filter;
        let range = EntryFilter { from, to, direction, ..EntryFilter::all(account) };
        self.rows(account).iter().filter(|row| range.matches(row)).collect()
    }
}

fn signed(row: &Row) -> i128 {
    match row.entry.direction {
        Direction::Credit => row.entry.amount.minor(),
        Direction::Debit => -row.entry.amount.minor(),
    }
}
