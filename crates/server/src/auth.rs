//! Who is calling, and what he may do. Passwords are checked here, tokens and keys looked up.

mod cache;
mod caller;
mod password;
mod secret;
mod throttle;

use tongjang_core::Timestamp;

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
    /// Nothing known yet; `random` salts the password that nobody has.
    pub fn new(random: &crate::app::Random) -> Self {
        Self {
            passwords: Passwords::new(random),
            throttle: Throttle::default(),
            cache: Cache::default(),
        }
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
