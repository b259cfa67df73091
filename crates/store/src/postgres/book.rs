//! What the rules look at during a batch: what was locked for it, and what it has done so far.

use std::collections::HashMap;
use std::sync::Arc;

use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, Book, Currency, Event, IdempotencyKey, Opened,
    Timestamp, UserId,
};

use super::places::{Parts, Place};
use crate::StoreError;

/// The accounts, numbers and keys of one batch.
#[derive(Debug)]
pub struct PostgresBook {
    parts: Parts,
    pub(super) held: HashMap<AccountId, Held>,
    pub(super) numbers: HashMap<(Bank, String), AccountId>,
    pub(super) answers: HashMap<(UserId, IdempotencyKey), Event>,
    /// For parts without a settlement account of their own, another part's: in a ledger that was
    /// copied from a folder, until an account is opened in that part.
    pub(super) stand_ins: HashMap<(Currency, i16), AccountId>,
    pub(super) earliest: Timestamp,
    /// What the batch has done so far.
    pub(super) events: Vec<Event>,
}

/// An account during a batch.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) account: Account,
    pub(super) part: i16,
    /// The version that it was locked at; `None` if the batch opened it.
    pub(super) locked_at: Option<u64>,
    /// When anything last happened to it.
    pub(super) changed_at: Timestamp,
}

impl PostgresBook {
    /// An empty book whose next event is not earlier than `earliest`.
    pub(super) fn new(parts: Parts, earliest: Timestamp) -> Self {
        Self {
            parts,
            held: HashMap::new(),
            numbers: HashMap::new(),
            answers: HashMap::new(),
            stand_ins: HashMap::new(),
            earliest,
            events: Vec::new(),
        }
    }

    /// The part that a customer's or a settlement account is in.
    pub(super) fn part_of(&self, opened: &Opened) -> i16 {
        if opened.is_settlement() {
            Parts::of_settlement(opened.id)
        } else {
            self.parts.of_owner(opened.owner)
        }
    }

    /// The accounts that the batch opened, and where they are.
    pub(super) fn opened(&self) -> Vec<(AccountId, Place)> {
        let opened = self.held.values().filter(|held| held.locked_at.is_none());
        let places = opened.map(|held| {
            let (part, opened) = (held.part, held.account.opened().clone());
            (held.account.id(), Place { part, opened })
        });
        places.collect()
    }
}

impl Book for PostgresBook {
    type Error = StoreError;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.held.get(&id).map(|held| &held.account)
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.held.get_mut(&id).map(|held| &mut held.account)
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        if let Some((bank, number)) = &opened.place {
            self.numbers.insert((bank.clone(), number.bare()), opened.id);
        }
        let (id, part, changed_at) = (opened.id, self.part_of(&opened), opened.opened_at);
        let held = Held { account: Account::open(opened), part, locked_at: None, changed_at };
        assert!(self.held.insert(id, held).is_none(), "an account is opened once");
    }

    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId> {
        self.numbers.get(&(bank.clone(), number.bare())).copied()
    }

    fn settlement(&self, currency: Currency, owner: UserId) -> AccountId {
        let (part, own) = self.parts.settlement_of(currency, owner);
        let stand_in = || self.stand_ins.get(&(currency, part)).copied();
        if self.held.contains_key(&own) { own } else { stand_in().unwrap_or(own) }
    }

    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, StoreError> {
        Ok(self.answers.get(&(scope, key.clone())).cloned())
    }

    fn earliest(&self) -> Timestamp {
        self.earliest
    }

    fn note(&mut self, event: &Event) {
        let at = event.at();
        self.earliest = self.earliest.max(at.next());
        if let Some(used) = event.key() {
            self.answers.insert((used.scope, used.key.clone()), event.clone());
        }
        let mut touch = |id: AccountId| {
            if let Some(held) = self.held.get_mut(&id) {
                held.changed_at = held.changed_at.max(at);
            }
        };
        match event {
            Event::Booked(booked) => {
                booked.transaction.entries.iter().for_each(|entry| touch(entry.account));
            }
            Event::StatusChanged(change) => touch(change.account),
            Event::Opened(_) | Event::Refused(_) => {}
        }
        self.events.push(event.clone());
    }
}
