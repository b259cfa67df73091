//! Which accounts there are: from an id, a number or an owner to the place in the table (slot).
//!
//! The teller enters an account when it is decided; readers share the register and pass over
//! slots that are not published yet.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::RwLock;
use tongjang_core::{AccountId, AccountNumber, Bank, Currency, Opened, UserId};
use xxhash_rust::xxh3::Xxh3;

const SHARDS: usize = 64;

/// A map whose keys are random or hashed already, so that their bits need no further mixing.
type SpreadMap<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only 128-bit keys are spread");
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = (bits as u64 ^ (bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The three ways to an account's slot, and the way back to its id.
pub(super) struct Register {
    seed: u64,
    /// By slot. A page names a counterparty a row; here that is one wait for memory.
    ids: RwLock<Vec<AccountId>>,
    by_id: Vec<RwLock<SpreadMap<AccountId, u32>>>,
    by_number: RwLock<SpreadMap<u128, u32>>,
    by_owner: RwLock<SpreadMap<UserId, Vec<u32>>>,
    /// A currency's first settlement account: the one that is booked on. There are more only in a
    /// ledger that was copied from one in several parts.
    settlements: RwLock<Vec<(Currency, AccountId)>>,
}

impl Register {
    /// An empty register. `seed` is secret to the ledger, so that nobody can choose account
    /// numbers that share a hash.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            ids: RwLock::default(),
            by_id: (0..SHARDS).map(|_| RwLock::default()).collect(),
            by_number: RwLock::default(),
            by_owner: RwLock::default(),
            settlements: RwLock::default(),
        }
    }

    /// Makes room for so many accounts, so that a start need not grow its tables again and again.
    pub(super) fn reserve(&self, accounts: usize) {
        self.ids.write().reserve(accounts);
        self.by_id.iter().for_each(|shard| shard.write().reserve(accounts / SHARDS));
        self.by_number.write().reserve(accounts);
    }

    /// Enters the account at `slot`. Slots are entered in ascending order, none is left out.
    pub(super) fn enter(&self, slot: u32, opened: &Opened) {
        let mut ids = self.ids.write();
        assert!(ids.len() == slot as usize, "slots are entered one after the other");
        ids.push(opened.id);
        drop(ids);
        self.shard(opened.id).write().insert(opened.id, slot);
        if let Some((bank, number)) = &opened.place {
            self.by_number.write().insert(self.number_hash(bank, number), slot);
        }
        if !opened.is_settlement() {
            self.by_owner.write().entry(opened.owner).or_default().push(slot);
        } else if self.first_settlement(opened.currency).is_none() {
            self.settlements.write().push((opened.currency, opened.id));
        }
    }

    /// The settlement account that bookings in `currency` use, whether it was opened yet or not.
    pub(super) fn settlement(&self, currency: Currency) -> AccountId {
        self.first_settlement(currency).unwrap_or_else(|| AccountId::settlement(currency, 0))
    }

    fn first_settlement(&self, currency: Currency) -> Option<AccountId> {
        let settlements = self.settlements.read();
        settlements.iter().find(|(of, _)| *of == currency).map(|(_, id)| *id)
    }

    /// The slot of the account `id`.
    pub(super) fn slot(&self, id: AccountId) -> Option<u32> {
        self.shard(id).read().get(&id).copied()
    }

    /// The id of the account at `slot`.
    pub(super) fn id(&self, slot: u32) -> Option<AccountId> {
        self.ids.read().get(slot as usize).copied()
    }

    /// The slots of those of `ids` that there are, with one look at the locks for all of them.
    pub(super) fn slots(&self, ids: impl Iterator<Item = AccountId>) -> Vec<u32> {
        let shards: Vec<_> = self.by_id.iter().map(RwLock::read).collect();
        ids.filter_map(|id| shards[id.bits() as usize % SHARDS].get(&id).copied()).collect()
    }

    /// The slot of the account with this number in this bank.
    pub(super) fn slot_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<u32> {
        self.by_number.read().get(&self.number_hash(bank, number)).copied()
    }

    /// The slots of the accounts of `owner`, ascending, from those that `pick` chooses.
    pub(super) fn of_owner<T>(&self, owner: UserId, pick: impl FnOnce(&[u32]) -> T) -> T {
        let owners = self.by_owner.read();
        pick(owners.get(&owner).map(Vec::as_slice).unwrap_or_default())
    }

    fn shard(&self, id: AccountId) -> &RwLock<SpreadMap<AccountId, u32>> {
        &self.by_id[id.bits() as usize % SHARDS]
    }

    fn number_hash(&self, bank: &Bank, number: &AccountNumber) -> u128 {
        let mut hasher = Xxh3::with_seed(self.seed);
        hasher.update(bank.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(number.bare().as_bytes());
        hasher.digest128()
    }
}
