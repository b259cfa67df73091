//! The bare core as a target: `decide` and `apply` over a book in memory.

use std::convert::Infallible;

use tongjang_core::apply::apply;
use tongjang_core::{Book, Decision, Direction, Event, MemoryBook, decide};

use crate::{Desk, HistoryRow, Ledger, Observed, Step};

/// A ledger that is only memory, with everything that happened.
#[derive(Clone, Default, Debug)]
pub struct MemoryLedger {
    /// The desk in front of it.
    pub desk: Desk,
    /// Its accounts.
    pub book: MemoryBook,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Ledger for MemoryLedger {
    fn perform(&mut self, step: &Step) -> Observed {
        match step {
            Step::At(time) => {
                self.desk.at = *time;
                Observed::Done
            }
            Step::Ask(ask) => Observed::Outcome(match self.desk.request(ask) {
                Err(outcome) => outcome,
                Ok(request) => {
                    let (outcome, replayed) = match decide(&self.book, &request) {
                        Ok(Decision::New(event)) => {
                            apply(&mut self.book, &event);
                            self.events.push(event.clone());
                            (Ok(event), false)
                        }
                        Ok(Decision::Replayed(event)) => (Ok(event), true),
                        Ok(Decision::Refused(rejection)) => (Err(rejection), false),
                        Err::<_, Infallible>(never) => match never {},
                    };
                    self.desk.outcome(ask, &outcome, replayed)
                }
            }),
            Step::Account(name) => match self.book.account(self.desk.account(name)) {
                None => Observed::Broken(format!("no account was opened as {name}")),
                Some(account) => Observed::Account {
                    balance: account.balance().minor(),
                    entries: account.entry_count(),
                    status: account.status(),
                    version: account.version(),
                },
            },
            Step::History(name) => Observed::History(self.history(name)),
            Step::Ledger(currency) => self.totals(*currency),
        }
    }
}

impl MemoryLedger {
    fn history(&self, name: &str) -> Vec<HistoryRow> {
        let account = self.desk.account(name);
        let transactions = self.events.iter().filter_map(|event| match event {
            Event::Booked(booked) => Some(&booked.transaction),
            _ => None,
        });
        let entries = transactions
            .flat_map(|booked| booked.entries.iter().map(|entry| (booked.booked_at, entry)))
            .filter(|(_, entry)| entry.account == account);
        let rows = entries.map(|(booked_at, entry)| HistoryRow {
            number: entry.number.get(),
            amount: match entry.direction {
                Direction::Credit => entry.amount.minor(),
                Direction::Debit => -entry.amount.minor(),
            },
            balance: entry.balance.minor(),
            memo: entry.memo.as_str().into(),
            counterparty: entry.counterparty.map(|other| self.desk.name(other)),
            booked_at,
        });
        rows.collect()
    }

    fn totals(&self, currency: tongjang_core::Currency) -> Observed {
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
