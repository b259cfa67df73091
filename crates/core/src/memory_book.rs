//! A book that is only memory: for tests, for the simulator and as the measure of the rules alone.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::{
    Account, AccountId, AccountNumber, Bank, Book, Currency, Event, IdempotencyKey, Opened,
    Timestamp, UserId,
};

/// A ledger in memory, with every key's outcome kept whole.
#[derive(Clone, Default, Debug)]
pub struct MemoryBook {
    accounts: HashMap<AccountId, Account>,
    numbers: HashMap<(Bank, String), AccountId>,
    answers: HashMap<(UserId, IdempotencyKey), Event>,
    earliest: Timestamp,
}

impl MemoryBook {
    /// A ledger without accounts.
    pub fn new() -> Self {
        Self::default()
    }

    /// All accounts, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }
}

impl Book for MemoryBook {
    type Error = Infallible;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(&id)
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        if let Some((bank, number)) = &opened.place {
            self.numbers.insert((bank.clone(), number.bare()), opened.id);
        }
        let before = self.accounts.insert(opened.id, Account::open(opened));
        assert!(before.is_none(), "an account is opened once");
    }

    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId> {
        self.numbers.get(&(bank.clone(), number.bare())).copied()
    }

    fn settlement(&self, currency: Currency, _: UserId) -> AccountId {
        AccountId::settlement(currency, 0)
    }

    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, Infallible> {
        Ok(self.answers.get(&(scope, key.clone())).cloned())
    }

    fn earliest(&self) -> Timestamp {
        self.earliest
    }

    fn note(&mut self, event: &Event) {
        self.earliest = self.earliest.max(event.at().next());
        if let Some(used) = event.key() {
            self.answers.insert((used.scope, used.key.clone()), event.clone());
        }
    }
}
