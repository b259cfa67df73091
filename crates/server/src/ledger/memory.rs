//! A store that forgets: the whole ledger in memory, for as long as the process runs.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};
use tongjang_core::apply::apply;
use tongjang_core::{
    Account, AccountId, AccountNumber, Balance, Bank, Book, Currency, Direction, EntryNumber,
    Event, IdempotencyKey, MemoryBook, Opened, Request, Timestamp, Transaction, TransactionId,
    UserId,
};
use tongjang_store::{
    EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Reader, Release, Row, Store,
    StoreError, Summary,
};

/// The teller's side of it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    book: MemoryLedger,
    shared: Arc<RwLock<Durable>>,
}

/// The side of the queries.
#[derive(Clone, Debug)]
pub struct MemoryReader(Arc<RwLock<Durable>>);

#[derive(Debug, Default)]
struct Durable {
    book: MemoryBook,
    transactions: Vec<Transaction>,
}

/// The book that the teller decides on, with the events of the batch.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    book: MemoryBook,
    batch: Vec<Event>,
}

impl MemoryStore {
    /// What queries read.
    pub fn reader(&self) -> MemoryReader {
        MemoryReader(self.shared.clone())
    }
}

impl Book for MemoryLedger {
    type Error = StoreError;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.book.account(id)
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.book.account_mut(id)
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        self.book.insert(opened);
    }

    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId> {
        self.book.account_by_number(bank, number)
    }

    fn settlement(&self, currency: Currency) -> AccountId {
        self.book.settlement(currency)
    }

    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, StoreError> {
        self.book.answered(scope, key).map_err(|never| match never {})
    }

    fn earliest(&self) -> Timestamp {
        self.book.earliest()
    }

    fn note(&mut self, event: &Event) {
        self.book.note(event);
        self.batch.push(event.clone());
    }
}

impl Store for MemoryStore {
    type Book = MemoryLedger;

    fn load(&mut self, _: &[&Request]) -> Result<(), StoreError> {
        Ok(())
    }

    fn book(&mut self) -> &mut MemoryLedger {
        &mut self.book
    }

    fn is_full(&self) -> bool {
        false
    }

    fn commit(&mut self, release: Release) -> Result<(), StoreError> {
        let mut durable = self.shared.write();
        for event in self.book.batch.drain(..) {
            apply(&mut durable.book, &event);
            if let Event::Booked(booked) = event {
                durable.transactions.push(booked.transaction);
            }
        }
        drop(durable);
        release(Ok(()));
        Ok(())
    }

    fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Durable {
    fn rows(&self, account: AccountId) -> impl DoubleEndedIterator<Item = Row> {
        self.transactions.iter().flat_map(move |booked| {
            booked.entries.iter().filter(move |entry| entry.account == account).map(|entry| Row {
                transaction: booked.id,
                kind: booked.kind,
                booked_at: booked.booked_at,
                entry: entry.clone(),
            })
        })
    }

    fn balance_before(&self, filter: &EntryFilter, time: Option<Timestamp>) -> Balance {
        let rows = self.rows(filter.account);
        let mut rows = rows.filter(|row| time.is_none_or(|time| row.booked_at < time));
        rows.next_back().map(|row| row.entry.balance).unwrap_or_default()
    }
}

impl MemoryReader {
    fn durable(&self) -> RwLockReadGuard<'_, Durable> {
        self.0.read()
    }
}

impl Reader for MemoryReader {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        Ok(self.durable().book.account(id).cloned())
    }

    fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<AccountId>, StoreError> {
        Ok(self.durable().book.account_by_number(bank, number))
    }

    fn accounts(
        &self,
        owner: Option<UserId>,
        order: Order,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        let durable = self.durable();
        let mut accounts: Vec<Account> = durable
            .book
            .accounts()
            .filter(|account| owner.is_none_or(|owner| account.owner() == owner))
            .filter(|account| match order {
                Order::Asc => after.is_none_or(|after| account.id() > after),
                Order::Desc => after.is_none_or(|after| account.id() < after),
            })
            .cloned()
            .collect();
        accounts.sort_by_key(Account::id);
        if order == Order::Desc {
            accounts.reverse();
        }
        accounts.truncate(limit);
        Ok(accounts)
    }

    fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, StoreError> {
        Ok(self.durable().transactions.iter().find(|booked| booked.id == id).cloned())
    }

    fn entry(&self, account: AccountId, number: EntryNumber) -> Result<Option<Row>, StoreError> {
        Ok(self.durable().rows(account).find(|row| row.entry.number == number))
    }

    fn entries_before(&self, account: AccountId, time: Timestamp) -> Result<u64, StoreError> {
        let durable = self.durable();
        let rows = durable.rows(account).filter(|row| row.booked_at < time);
        Ok(u64::try_from(rows.count()).expect("a count fits"))
    }

    fn entries(&self, query: &EntryQuery) -> Result<EntryPage, StoreError> {
        let durable = self.durable();
        let mut rows: Vec<Row> = durable.rows(query.filter.account).collect();
        if query.order == Order::Desc {
            rows.reverse();
        }
        rows.retain(|row| {
            query.filter.matches(row)
                && query.after.is_none_or(|after| match query.order {
                    Order::Asc => row.entry.number > after,
                    Order::Desc => row.entry.number < after,
                })
        });
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let resume = rows.last().filter(|_| more).map(|row| row.entry.number);
        Ok(EntryPage { rows, resume })
    }

    fn summary(&self, filter: &EntryFilter, _: usize) -> Result<Option<Summary>, StoreError> {
        let durable = self.durable();
        let mut summary = Summary {
            opening_balance: match filter.from {
                Some(from) => durable.balance_before(filter, Some(from)),
                None => Balance::ZERO,
            },
            closing_balance: durable.balance_before(filter, filter.to),
            ..Summary::default()
        };
        for row in durable.rows(filter.account).filter(|row| filter.matches(row)) {
            let total = match row.entry.direction {
                Direction::Credit => &mut summary.credit_total,
                Direction::Debit => &mut summary.debit_total,
            };
            *total = total.plus(row.entry.amount).expect("the core checked the totals");
            summary.count += 1;
        }
        Ok(Some(summary))
    }

    fn totals(&self) -> Result<Vec<LedgerTotals>, StoreError> {
        let durable = self.durable();
        let mut totals: Vec<LedgerTotals> = Vec::new();
        for account in durable.book.accounts() {
            let currency = account.currency();
            let at = totals.iter().position(|row| row.currency == currency);
            let at = at.unwrap_or_else(|| {
                let booked = durable.transactions.iter().filter(|t| t.currency == currency);
                totals.push(LedgerTotals {
                    currency,
                    accounts: 0,
                    transactions: u64::try_from(booked.count()).expect("a count fits"),
                    customer_balance: Balance::ZERO,
                    settlement_balance: Balance::ZERO,
                });
                totals.len() - 1
            });
            let row = &mut totals[at];
            let sum = if account.opened().is_settlement() {
                &mut row.settlement_balance
            } else {
                row.accounts += 1;
                &mut row.customer_balance
            };
            *sum = sum.checked_add(account.balance()).expect("the core checked the totals");
        }
        totals.sort_by_key(|row| row.currency);
        Ok(totals)
    }

    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
