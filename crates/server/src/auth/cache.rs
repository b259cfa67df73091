//! Tokens and keys that were looked up before, so that a busy caller costs no query.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use parking_lot::Mutex;
use tongjang_core::Timestamp;

use super::{Credential, SecretHash};

const SHARDS: usize = 16;
/// How many credentials a shard remembers, about 100 bytes each.
const ROOM: usize = 4096;

/// What was found under a hash. Bounded; sharded so that requests do not wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    shards: [Mutex<HashMap<SecretHash, Credential>>; SHARDS],
    /// Counts deletions. What was looked up before one is not put in after it, since it may be
    /// what was deleted.
    generation: AtomicU64,
}

impl Cache {
    /// The credential, or the generation to hand to [`put`](Self::put) once it is looked up.
    pub(crate) fn get(&self, hash: &SecretHash) -> Result<Credential, u64> {
        // Read first: a deletion between here and the lookup must be noticed.
        let generation = self.generation.load(SeqCst);
        self.shard(hash).lock().get(hash).copied().ok_or(generation)
    }

    /// Remembers what was looked up, unless something was deleted since `generation`.
    pub(crate) fn put(&self, hash: SecretHash, found: Credential, generation: u64, now: Timestamp) {
        let mut shard = self.shard(&hash).lock();
        if shard.len() >= ROOM {
            shard.retain(|_, credential| credential.holds(now));
        }
        if shard.len() >= ROOM {
            // Any one will do: it is found again by a query.
            let some = shard.keys().next().copied();
            some.map(|some| shard.remove(&some));
        }
        if self.generation.load(SeqCst) == generation {
            shard.insert(hash, found);
        }
    }

    /// Forgets a credential that was deleted; call it after the deletion.
    pub(crate) fn forget(&self, hash: &SecretHash) {
        let mut shard = self.shard(hash).lock();
        self.generation.fetch_add(1, SeqCst);
        shard.remove(hash);
    }

    fn shard(&self, hash: &SecretHash) -> &Mutex<HashMap<SecretHash, Credential>> {
        &self.shards[usize::from(hash.bytes()[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Caller, Role, Scopes, Via};
    use tongjang_core::UserId;

    fn credential(expires_at: Option<i64>) -> Credential {
        let caller = Caller {
            user: UserId::from_bits(7),
            role: Role::Customer,
            scopes: Scopes::ALL,
            via: Via::Session,
        };
        Credential { caller, expires_at: expires_at.map(Timestamp::from_micros) }
    }

    #[test]
    fn what_was_deleted_while_it_was_looked_up_is_not_remembered() {
        let cache = Cache::default();
        let hash = SecretHash::of("a");
        let generation = cache.get(&hash).unwrap_err();
        cache.forget(&hash);
        cache.put(hash, credential(None), generation, Timestamp::EPOCH);
        assert!(cache.get(&hash).is_err());
        let generation = cache.get(&hash).unwrap_err();
        cache.put(hash, credential(None), generation, Timestamp::EPOCH);
        assert!(cache.get(&hash).is_ok());
        cache.forget(&hash);
        assert!(cache.get(&hash).is_err());
    }

    #[test]
    fn it_never_grows_beyond_its_room() {
        let cache = Cache::default();
        for number in 0..SHARDS * ROOM + 1000 {
            cache.put(SecretHash::of(&number.to_string()), credential(None), 0, Timestamp::EPOCH);
        }
        assert!(cache.shards.iter().all(|shard| shard.lock().len() <= ROOM));
    }
}
