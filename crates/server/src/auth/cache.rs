//! Tokens and keys that were looked up before, so that a busy caller costs no query.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::timeout;
use tongjang_core::Timestamp;

use super::{Credential, SecretHash};

const SHARDS: usize = 16;
/// How many credentials a shard remembers, about 100 bytes each.
const ROOM: usize = 4096;

/// How long what was found counts where other servers may delete it, in microseconds: so long may
/// one that another server deleted be good for something here.
const COUNTS: i64 = 1_000_000;
/// From what age on one caller looks it up again, while it still counts for the others: else all of
/// them would, once it no longer counts.
const STALE: i64 = COUNTS / 2;

/// How long somebody waits for another's look-up.
const PATIENCE: Duration = Duration::from_millis(500);

/// What was found under a hash. Bounded; sharded so that requests do not wait for each other.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: [Mutex<HashMap<SecretHash, Found>>; SHARDS],
    /// Whether other servers may delete what was found.
    shared: bool,
    /// Counts deletions. What was looked up before one is not put in after it, since it may be
    /// what was deleted.
    generation: AtomicU64,
    /// Who looks something up has the turn of its shard, so that many callers with one token are
    /// one look-up: where the directory is far away, theirs would be answered too late to count.
    turns: [AsyncMutex<()>; SHARDS],
}

#[derive(Debug)]
struct Found {
    credential: Credential,
    /// When it was asked for, or earlier.
    at: Timestamp,
    /// Whether somebody is looking it up again.
    asked_again: bool,
}

impl Cache {
    /// With nothing in it. If it is `shared`, other servers may delete what is looked up, and it is
    /// looked up again within a second.
    pub(crate) fn new(shared: bool) -> Self {
        let (shards, turns) = Default::default();
        Self { shards, shared, generation: AtomicU64::new(0), turns }
    }

    /// The turn to look `hash` up, which is waited for; `None` if that takes too long, and then
    /// everybody looks it up for himself.
    pub(crate) async fn turn(&self, hash: &SecretHash) -> Option<MutexGuard<'_, ()>> {
        timeout(PATIENCE, self.turns[Self::place(hash)].lock()).await.ok()
    }

    /// The credential, or the generation to hand to [`put`](Self::put) once it is looked up.
    pub(crate) fn get(&self, hash: &SecretHash, now: Timestamp) -> Result<Credential, u64> {
        // Read first: a deletion between here and the lookup must be noticed.
        let generation = self.generation.load(SeqCst);
        let mut shard = self.shard(hash).lock();
        let found = shard.get_mut(hash).ok_or(generation)?;
        if !self.shared {
            return Ok(found.credential);
        }
        // A clock that was set back does not make it younger: below zero nothing counts.
        match now.micros() - found.at.micros() {
            0..STALE => Ok(found.credential),
            STALE..COUNTS if found.asked_again => Ok(found.credential),
            STALE..COUNTS => {
                found.asked_again = true;
                Err(generation)
            }
            _ => Err(generation),
        }
    }

    /// What was found so shortly before `now`, or after it, that nobody need look it up again.
    pub(crate) fn fresh(&self, hash: &SecretHash, now: Timestamp) -> Option<Credential> {
        let shard = self.shard(hash).lock();
        let found = shard.get(hash)?;
        let apart = now.micros().abs_diff(found.at.micros());
        (!self.shared || apart < STALE.unsigned_abs()).then_some(found.credential)
    }

    /// Remembers what was looked up since `now`, unless something was deleted since `generation`.
    pub(crate) fn put(&self, hash: SecretHash, found: Credential, generation: u64, now: Timestamp) {
        let mut shard = self.shard(&hash).lock();
        if shard.len() >= ROOM {
            shard.retain(|_, found| found.credential.holds(now));
        }
        if shard.len() >= ROOM {
            // Any one will do: it is found again by a query.
            let some = shard.keys().next().copied();
            some.map(|some| shard.remove(&some));
        }
        if self.generation.load(SeqCst) == generation {
            shard.insert(hash, Found { credential: found, at: now, asked_again: false });
        }
    }

    /// Lets go of what is no longer there. Unlike [`forget`](Self::forget) it holds up no other
    /// lookup: anybody can send what was never there, again and again.
    pub(crate) fn drop_gone(&self, hash: &SecretHash) {
        self.shard(hash).lock().remove(hash);
    }

    /// Forgets a credential that was deleted; call it after the deletion.
    pub(crate) fn forget(&self, hash: &SecretHash) {
        let mut shard = self.shard(hash).lock();
        self.generation.fetch_add(1, SeqCst);
        shard.remove(hash);
    }

    fn shard(&self, hash: &SecretHash) -> &Mutex<HashMap<SecretHash, Found>> {
        &self.shards[Self::place(hash)]
    }

    fn place(hash: &SecretHash) -> usize {
        usize::from(hash.bytes()[0]) % SHARDS
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
        let cache = Cache::new(false);
        let (hash, now) = (SecretHash::of("a"), Timestamp::EPOCH);
        let generation = cache.get(&hash, now).unwrap_err();
        cache.forget(&hash);
        cache.put(hash, credential(None), generation, now);
        assert!(cache.get(&hash, now).is_err());
        let generation = cache.get(&hash, now).unwrap_err();
        cache.put(hash, credential(None), generation, now);
        assert!(cache.get(&hash, now).is_ok());
        cache.forget(&hash);
        assert!(cache.get(&hash, now).is_err());
    }

    #[test]
    fn what_another_server_may_delete_counts_for_a_second() {
        let hash = SecretHash::of("a");
        let at = |micros: i64| Timestamp::from_micros(5_000_000 + micros);
        for (shared, micros) in [(true, -1), (true, 1_000_000), (false, 3_600_000_000)] {
            let cache = Cache::new(shared);
            cache.put(hash, credential(None), 0, at(0));
            assert!(cache.get(&hash, at(0)).is_ok());
            assert!(cache.get(&hash, at(499_999)).is_ok());
            assert_eq!(cache.get(&hash, at(micros)).is_ok(), !shared, "{micros}");
            // A failed lookup leaves it to the next to ask.
            assert_eq!(cache.get(&hash, at(micros)).is_ok(), !shared, "{micros}");
        }
    }

    #[test]
    fn one_caller_looks_it_up_again_while_it_counts_for_the_others() {
        let cache = Cache::new(true);
        let hash = SecretHash::of("a");
        let at = Timestamp::from_micros;
        cache.put(hash, credential(None), 0, at(0));
        let generation = cache.get(&hash, at(500_000)).unwrap_err();
        assert!(cache.get(&hash, at(999_999)).is_ok());
        cache.put(hash, credential(None), generation, at(500_000));
        assert!(cache.get(&hash, at(999_999)).is_ok());
        assert!(cache.get(&hash, at(1_000_000)).is_err());
        cache.drop_gone(&hash);
        assert!(cache.get(&hash, at(500_000)).is_err());
        // Others that are looking something up keep what they find.
        cache.put(hash, credential(None), generation, at(500_000));
        assert!(cache.get(&hash, at(500_000)).is_ok());
    }

    #[test]
    fn it_never_grows_beyond_its_room() {
        let cache = Cache::new(false);
        for number in 0..SHARDS * ROOM + 1000 {
            cache.put(SecretHash::of(&number.to_string()), credential(None), 0, Timestamp::EPOCH);
        }
        assert!(cache.shards.iter().all(|shard| shard.lock().len() <= ROOM));
    }
}
