//! Who is calling, and what he may do. Passwords are checked here, tokens and keys looked up.

mod cache;
mod caller;
mod password;
mod secret;
mod throttle;

use tongjang_core::Timestamp;

use crate::directory::Directory;
use crate::problem::Problem;

pub(crate) use cache::Cache;
pub use caller::{Caller, MaybeCaller, Role, Scopes, Via};
pub(crate) use caller::{given, still};
pub use password::{Password, PasswordHash, Passwords};
pub use secret::{KeyId, Secret, SecretHash};
pub use throttle::{ClientAddress, Throttle};

/// How long a session token lives: 12 hours.
pub const TOKEN_SECONDS: u32 = 43_200;

/// What is kept in memory to know callers fast and wrong ones slowly.
#[derive(Debug)]
pub struct Auth {
    /// Hashes and checks passwords, a few at a time.
    pub passwords: Passwords,
    /// Counts wrong passwords.
    pub throttle: Throttle,
    /// Tokens and keys that were looked up before.
    pub(crate) cache: Cache,
}

impl Auth {
    /// Nothing known yet; `random` salts the password that nobody has. If the directory is
    /// `shared`, what was looked up there is soon looked up again.
    pub fn new(random: &crate::app::Random, shared: bool) -> Self {
        Self {
            passwords: Passwords::new(random),
            throttle: Throttle::default(),
            cache: Cache::new(shared),
        }
    }

    /// Who has the token or key with this hash, if it holds at `now`. One that another server
    /// deleted is taken for a second more; a new one is known at once.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn known(
        &self,
        directory: &Directory,
        hash: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Caller>, Problem> {
        // Nothing was begun for somebody who is not known yet.
        let known = self.known_by(hash, now, || directory.credential(hash)).await;
        known.map_err(Problem::nothing_changed)
    }

    /// The same, by any look-up.
    async fn known_by<E>(
        &self,
        hash: SecretHash,
        now: Timestamp,
        look_up: impl AsyncFnOnce() -> Result<Option<Credential>, E>,
    ) -> Result<Option<Caller>, E> {
        let told = |found: Credential| Some(found.caller).filter(|_| found.holds(now));
        let generation = match self.cache.get(&hash, now) {
            Ok(found) => return Ok(told(found)),
            Err(generation) => generation,
        };
        let _turn = self.cache.turn(&hash).await;
        // Whoever had the turn before may have found it.
        if let Some(found) = self.cache.fresh(&hash, now) {
            return Ok(told(found));
        }
        let found = look_up().await?;
        let held = found.filter(|credential| credential.holds(now));
        match held {
            Some(credential) => self.cache.put(hash, credential, generation, now),
            None => self.cache.drop_gone(&hash),
        }
        Ok(held.map(|credential| credential.caller))
    }
}

/// What a valid token or key stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credential {
    /// Who has it and what it is good for.
    pub caller: Caller,
    /// From when on it is no good any more.
    pub expires_at: Option<Timestamp>,
}

impl Credential {
    /// Whether it still holds at `now`.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use tongjang_core::UserId;

    use super::*;

    #[tokio::test]
    async fn many_callers_with_one_token_are_one_look_up() {
        let auth = Arc::new(Auth::new(&crate::app::Random::system(), true));
        let (hash, asked) = (SecretHash::of("a"), Arc::new(AtomicU32::new(0)));
        let (user, via) = (UserId::from_bits(7), Via::Session);
        let caller = Caller { user, role: Role::Customer, scopes: Scopes::ALL, via };
        let mut callers = Vec::new();
        for _ in 0..50 {
            let (auth, asked) = (auth.clone(), asked.clone());
            callers.push(tokio::spawn(async move {
                let look_up = async || {
                    asked.fetch_add(1, SeqCst);
                    // The others come meanwhile.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, ()>(Some(Credential { caller, expires_at: None }))
                };
                auth.known_by(hash, Timestamp::EPOCH, look_up).await
            }));
        }
        for caller in callers {
            assert!(caller.await.unwrap().unwrap().is_some());
        }
        assert_eq!(asked.load(SeqCst), 1);
        // One of them looks it up again before it no longer counts.
        let later = Timestamp::from_micros(600_000);
        for _ in 0..3 {
            let look_up = async || {
                asked.fetch_add(1, SeqCst);
                Ok::<_, ()>(Some(Credential { caller, expires_at: None }))
            };
            assert!(auth.known_by(hash, later, look_up).await.unwrap().is_some());
        }
        assert_eq!(asked.load(SeqCst), 2);
    }
}
