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
        let generation = match self.cache.get(&hash, now) {
            Ok(found) => return Ok(Some(found.caller).filter(|_| found.holds(now))),
            Err(generation) => generation,
        };
        let found = directory.credential(hash).await?;
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
