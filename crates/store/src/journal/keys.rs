//! The idempotency index: from a caller's key to the record that holds its outcome.
//!
//! Eight bytes a key, in 65,536 small tables that grow one by one, so growing never stalls the
//! teller. A slot holds 25 bits of the key's hash and the record's position; whether it is really
//! that key is seen in the record itself.

use tongjang_core::{IdempotencyKey, UserId};
use xxhash_rust::xxh3::Xxh3;

const SHARDS: usize = 1 << 16;
const SMALLEST: usize = 8;
/// Positions are multiples of eight below 2^42: four TiB of journal.
const POSITION_BITS: u32 = 39;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

/// The index. An empty slot is 0, which no record's position is.
pub(super) struct KeyIndex {
    seed: u64,
    shards: Vec<Shard>,
}

#[derive(Clone, Default)]
struct Shard {
    slots: Vec<u64>,
    used: usize,
}

/// A key's hash, from which shard, slot and fingerprint follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyHash(u64);

impl KeyIndex {
    /// An empty index. `seed` is secret to the ledger, so that nobody can choose keys that
    /// crowd one shard.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, shards: vec![Shard::default(); SHARDS] }
    }

    /// The hash of `key` of `scope`.
    pub(super) fn hash(&self, scope: UserId, key: &IdempotencyKey) -> KeyHash {
        let mut hasher = Xxh3::with_seed(self.seed);
        hasher.update(&scope.bits().to_le_bytes());
        hasher.update(key.as_str().as_bytes());
        KeyHash(hasher.digest())
    }

    /// The positions of the records that may hold the key with this hash: mostly none or one.
    pub(super) fn candidates(&self, hash: KeyHash) -> impl Iterator<Item = u64> {
        let shard = &self.shards[hash.shard()];
        let tag = hash.tag();
        shard
            .probe(tag)
            .take_while(|slot| *slot != 0)
            .filter(move |slot| slot >> POSITION_BITS == tag)
            .map(|slot| (slot & POSITION_MASK) << 3)
    }

    /// Notes that the key with this hash is in the record at `position`. Noting it twice is as
    /// noting it once.
    pub(super) fn insert(&mut self, hash: KeyHash, position: u64) {
        assert!(
            position.is_multiple_of(8) && position >> 3 <= POSITION_MASK,
            "a journal below 4 TiB"
        );
        self.shards[hash.shard()].insert((hash.tag() << POSITION_BITS) | (position >> 3));
    }

    /// How many shards there are, for those who copy the index piece by piece.
    pub(super) const SHARDS: usize = SHARDS;

    /// The used slots of shard `shard`, for a snapshot.
    pub(super) fn shard(&self, shard: usize) -> impl Iterator<Item = u64> {
        self.shards[shard].slots.iter().copied().filter(|slot| *slot != 0)
    }

    /// How many slots of shard `shard` are used.
    pub(super) fn used(&self, shard: usize) -> usize {
        self.shards[shard].used
    }

    /// Whether this index and `other` know the same keys at the same places.
    pub(super) fn same(&self, other: &Self) -> bool {
        let sorted = |shard: &Shard| {
            let mut slots: Vec<u64> = shard.slots.iter().copied().filter(|s| *s != 0).collect();
            slots.sort_unstable();
            slots
        };
        let mut pairs = self.shards.iter().zip(&other.shards);
        self.seed == other.seed && pairs.all(|(one, two)| sorted(one) == sorted(two))
    }

    /// Brings back a slot of shard `shard` from a snapshot.
    pub(super) fn restore(&mut self, shard: usize, slot: u64) {
        self.shards[shard].insert(slot);
    }
}

impl KeyHash {
    fn shard(self) -> usize {
        (self.0 >> 48) as usize
    }

    fn tag(self) -> u64 {
        self.0 & ((1 << (64 - POSITION_BITS)) - 1)
    }
}

impl Shard {
    /// The slots from the place of `tag` on, once around.
    fn probe(&self, tag: u64) -> impl Iterator<Item = u64> {
        let start = if self.slots.is_empty() { 0 } else { tag as usize % self.slots.len() };
        self.slots[start..].iter().chain(&self.slots[..start]).copied()
    }

    fn insert(&mut self, slot: u64) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let grown = (self.slots.len() * 2).max(SMALLEST);
            let old = std::mem::replace(&mut self.slots, vec![0; grown]);
            for slot in old.into_iter().filter(|slot| *slot != 0) {
                self.put(slot);
            }
        }
        if self.put(slot) {
            self.used += 1;
        }
    }

    /// Puts `slot` into its place; false if it is there already.
    fn put(&mut self, slot: u64) -> bool {
        let mut at = (slot >> POSITION_BITS) as usize % self.slots.len();
        while self.slots[at] != 0 {
            if self.slots[at] == slot {
                return false;
            }
            at = (at + 1) % self.slots.len();
        }
        self.slots[at] = slot;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_where_it_was_put_and_nowhere_else() {
        let mut index = KeyIndex::new(42);
        let user = UserId::from_bits(9);
        let key = |n: u64| IdempotencyKey::new(&format!("key-{n}")).unwrap();
        for n in 0..200_000u64 {
            let hash = index.hash(user, &key(n));
            index.insert(hash, 4096 + n * 8);
            index.insert(hash, 4096 + n * 8);
        }
        for n in 0..200_000u64 {
            let found: Vec<u64> = index.candidates(index.hash(user, &key(n))).collect();
            assert!(found.contains(&(4096 + n * 8)), "key {n} in {found:?}");
        }
        let strangers = (200_000..400_000u64)
            .filter(|n| index.candidates(index.hash(user, &key(*n))).next().is_some())
            .count();
        assert!(strangers < 10, "{strangers} strangers looked known");
        assert_eq!((0..SHARDS).map(|shard| index.used(shard)).sum::<usize>(), 200_000);
    }

    #[test]
    fn two_users_do_not_share_a_key() {
        let index = KeyIndex::new(1);
        let key = IdempotencyKey::new("k").unwrap();
        let [one, other] = [1, 2].map(|bits| index.hash(UserId::from_bits(bits), &key));
        assert_ne!(one, other);
    }

    #[test]
    fn an_index_comes_back_from_its_slots() {
        let mut index = KeyIndex::new(3);
        let hashes: Vec<KeyHash> = (0..1000u64)
            .map(|n| {
                let key = IdempotencyKey::new(&n.to_string()).unwrap();
                let hash = index.hash(UserId::from_bits(n.into()), &key);
                index.insert(hash, 4096 + n * 64);
                hash
            })
            .collect();
        let mut again = KeyIndex::new(3);
        for shard in 0..KeyIndex::SHARDS {
            index.shard(shard).for_each(|slot| again.restore(shard, slot));
        }
        for (n, hash) in hashes.into_iter().enumerate() {
            assert!(again.candidates(hash).any(|position| position == 4096 + n as u64 * 64));
        }
    }
}
