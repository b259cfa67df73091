//! The bare core as a target: `decide` and `apply` over a book in memory.

use std::convert::Infallible;

use tongjang_core::apply::apply;
use tongjang_core::{
    Account, AccountId, Book, Currency, Decision, Entry, Event, MemoryBook, Rejection, Request,
    Timestamp, decide,
};

use crate::{Books, Desk, Ledger, Observed, Step};

/// A ledger that is only memory, with everything that happened.
#[derive(Clone, Default, Debug)]
pub struct MemoryLedger {
    desk: Desk,
    /// What stands behind it.
    pub books: MemoryBooks,
}

/// The core's own book, and all that led to it.
#[derive(Clone, Default, Debug)]
pub struct MemoryBooks {
    /// Its accounts.
    pub book: MemoryBook,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Ledger for MemoryLedger {
    fn perform(&mut self, step: &Step) -> Observed {
        self.desk.perform(step, &mut self.books)
    }
}

impl Books for MemoryBooks {
    fn ask(&mut self, request: Request) -> (Result<Event, Rejection>, bool) {
        match decide(&self.book, &request) {
            Ok(Decision::New(event)) => {
                apply(&mut self.book, &event);
                self.events.push(event.clone());
                (Ok(event), false)
            }
            Ok(Decision::Replayed(event)) => (Ok(event), true),
            Ok(Decision::Refused(rejection)) => (Err(rejection), false),
            Err::<_, Infallible>(never) => match never {},
        }
    }

    fn account(&self, id: AccountId) -> Option<Account> {
        self.book.account(id).cloned()
    }

    fn entries(&self, id: AccountId) -> Vec<(Timestamp, Entry)> {
        let transactions = self.events.iter().filter_map(|event| match event {
            Event::Booked(booked) => Some(&booked.transaction),
            _ => None,
        });
        let entries = transactions
            .flat_map(|booked| booked.entries.iter().map(|entry| (booked.booked_at, entry)));
        let entries = entries.filter(|(_, entry)| entry.account == id);
        entries.map(|(booked_at, entry)| (booked_at, entry.clone())).collect()
    }

    fn ledger(&self, currency: Currency) -> Observed {
        let booked = self.events.iter().filter(
            |event| matches!(event, Event::Booked(one) if one.transaction.currency == currency),
        );
        let (mut accounts, mut customers, mut settlement) = (0, 0, 0);
        for account in self.book.accounts().filter(|account| account.currency() == currency) {
            let balance = account.balance().minor();
            if account.opened().is_settlement() {
                settlement += balance;
            } else {
                accounts += 1;
                customers += balance;
            }
        }
        let transactions = booked.map(|_| 1).sum();
        Observed::Ledger { accounts, transactions, customers, settlement }
    }
}
