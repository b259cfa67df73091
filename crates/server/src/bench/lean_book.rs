//! The rules alone: a book in memory that keeps no history and no event.
//!
//! It looks accounts up as the journal's book does and remembers that a key was seen, so what is
//! measured with it is the core and nothing else.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, Book, Currency, Event, IdempotencyKey, Opened,
    Timestamp, UserId,
};

#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = (bits as u64 ^ (bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u64(&mut self, bits: u64) {
        self.0 = bits;
    }
}

#[derive(Default)]
pub(crate) struct LeanBook {
    accounts: Vec<Account>,
    slots: HashMap<AccountId, u32, BuildHasherDefault<Spread>>,
    keys: HashSet<u64, BuildHasherDefault<Spread>>,
    earliest: Timestamp,
}

fn hash(scope: UserId, key: &IdempotencyKey) -> u64 {
    let mut hasher = Spread(scope.bits() as u64);
    hasher.write(key.as_str().as_bytes());
    hasher.finish()
}

impl Book for LeanBook {
    type Error = Infallible;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.slots.get(&id).map(|slot| &self.accounts[*slot as usize])
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.slots.get(&id).map(|slot| &mut self.accounts[*slot as usize])
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        self.slots.insert(opened.id, self.accounts.len() as u32);
        self.accounts.push(Account::open(opened));
    }

    fn account_by_number(&self, _: &Bank, _: &AccountNumber) -> Option<AccountId> {
        None
    }

    fn settlement(&self, currency: Currency, _: UserId) -> AccountId {
        AccountId::settlement(currency, 0)
    }

    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, Infallible> {
        assert!(!self.keys.contains(&hash(scope, key)), "every key of a measurement is new");
        Ok(None)
    }

    fn earliest(&self) -> Timestamp {
        self.earliest
    }

    fn note(&mut self, event: &Event) {
        self.earliest = event.at().next();
        if let Some(used) = event.key() {
            self.keys.insert(hash(used.scope, &used.key));
        }
    }
}
