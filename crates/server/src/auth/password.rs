//! Passwords: Argon2id, off the async threads and never more at once than there are cores.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::Deserialize;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use crate::app::Random;
use crate::problem::{Code, Problem, Text};

/// What OWASP's Password Storage Cheat Sheet asks of Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many may wait for a core before the next is told to come back; a few seconds' work.
const WAITING: usize = 128;

/// A password, in NFKC: keyboards spell the same Korean letters in different ways. It is never
/// logged: `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Password(String);

impl Password {
    /// The fewest characters of a new password.
    pub const MIN_CHARS: usize = 8;
    /// The most characters of a new password.
    pub const MAX_CHARS: usize = 200;

    /// The password that `text` is. Of one that is too long no more is kept than shows it.
    pub fn new(text: String) -> Self {
        Self(text.nfkc().take(Self::MAX_CHARS + 1).collect())
    }

    /// Whether it may be given to a new user.
    ///
    /// # Errors
    /// 400 `invalid-request` at `pointer`.
    pub fn check(&self, pointer: &str) -> Result<(), Problem> {
        if (Self::MIN_CHARS..=Self::MAX_CHARS).contains(&self.0.chars().count()) {
            return Ok(());
        }
        Err(Problem::invalid(
            pointer,
            Text::fixed("must have 8 to 200 characters", "8자 이상 200자 이하여야 합니다"),
        ))
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The hash of a password, as a PHC string with its parameters and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Arc<str>);

impl PasswordHash {
    /// Hashes `password`; takes some 30 ms of a core.
    pub fn of(password: &Password, random: &Random) -> Self {
        let hash: argon2::password_hash::phc::PasswordHash = argon2()
            .hash_password_with_salt(password.0.as_bytes(), &random.bytes::<16>())
            .expect("the parameters and the salt's length are sound");
        Self(hash.to_string().into())
    }

    /// Whether this is the hash of `password`; takes some 30 ms of a core.
    fn matches(&self, password: &Password) -> bool {
        argon2().verify_password(password.0.as_bytes(), self.as_str()).is_ok()
    }

    /// The hash that the directory kept.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The PHC string, to be kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.expect("OWASP's values are allowed"))
}

/// Hashes and checks passwords, as many at once as there are cores.
#[derive(Debug)]
pub struct Passwords {
    cores: Arc<Semaphore>,
    places: Arc<Semaphore>,
    /// Checked for a user who does not exist, so that this takes as long as for one who does.
    nobodys: PasswordHash,
}

impl Passwords {
    /// `random` makes the password that nobody has.
    pub fn new(random: &Random) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nobodys = Password::new(random.bytes::<16>().map(|byte| byte.to_string()).concat());
        Self {
            cores: Arc::new(Semaphore::new(cores)),
            places: Arc::new(Semaphore::new(WAITING)),
            nobodys: PasswordHash::of(&nobodys, random),
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// 503 `overloaded`, if too many wait already.
    pub async fn hash(&self, password: Password, random: Random) -> Result<PasswordHash, Problem> {
        self.on_a_core(move || PasswordHash::of(&password, &random)).await
    }

    /// Whether `password` is the one whose hash is `kept`. Where no hash is kept, because there is
    /// no such user, it is not, and that takes the same time.
    ///
    /// # Errors
    /// 503 `overloaded`, if too many wait already.
    pub async fn check(
        &self,
        password: Password,
        kept: Option<PasswordHash>,
    ) -> Result<bool, Problem> {
        let exists = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobodys.clone());
        let matches = self.on_a_core(move || kept.matches(&password)).await?;
        Ok(exists && matches)
    }

    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Problem::new(Code::Overloaded).retry_after(5))?;
        let core = self.cores.clone().acquire_owned().await;
        let core = core.expect("nobody closes the semaphore");
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, core);
            work()
        });
        done.await.map_err(|_| Problem::new(Code::ShuttingDown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches_and_nobody_matches_none() {
        let random = Random::system();
        let passwords = Passwords::new(&random);
        let composed = Password::from("비밀번호입니다만".to_owned());
        let decomposed: String = "비밀번호입니다만".nfd().collect();
        assert!(Password::from(decomposed) == composed);
        let right = Password::new("correct horse".into());
        let hash = passwords.hash(right.clone(), random.clone()).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert_eq!(passwords.check(right.clone(), Some(hash.clone())).await, Ok(true));
        let wrong = Password::new("correct horsf".into());
        assert_eq!(passwords.check(wrong, Some(hash.clone())).await, Ok(false));
        assert_eq!(passwords.check(right.clone(), None).await, Ok(false));
        let shown = format!("{right:?} {hash:?}");
        assert_eq!(shown, "Password(…) PasswordHash(…)");
    }

    #[test]
    fn a_password_counts_characters() {
        for (length, sound) in [(7, false), (8, true), (200, true), (201, false)] {
            let password = Password::new("암".repeat(length));
            assert_eq!(password.check("/password").is_ok(), sound, "{length}");
        }
    }
}
