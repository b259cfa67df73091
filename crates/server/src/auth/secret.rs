//! Tokens and keys: 256 random bits that the server hands out once and keeps only a hash of.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use tongjang_core::{Timestamp, UserId};

use crate::app::Random;

/// A new token or key as its owner gets it. It is never logged: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new session token.
    pub fn token(random: &Random) -> Self {
        Self::new("tjt_", random)
    }

    /// A new API key.
    pub fn key(random: &Random) -> Self {
        Self::new("tjk_", random)
    }

    fn new(prefix: &str, random: &Random) -> Self {
        let bytes = random.bytes::<32>();
        Self(bytes.iter().fold(prefix.to_owned(), |text, byte| text + &format!("{byte:02x}")))
    }

    /// The text itself, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    /// Its last four characters, by which its owner knows it again.
    pub fn last_four(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a token or key. 256 random bits cannot be guessed, so no slow hash is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of what a caller sent.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// An API key's id, written like the ledger's own ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(UserId);

impl KeyId {
    const PREFIX: &str = "key_";

    /// The id made at `at` with 64 random bits.
    pub fn new(at: Timestamp, nonce: u64) -> Self {
        Self(UserId::new(at, nonce))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = self.0.to_string();
        f.write_str(Self::PREFIX)?;
        f.write_str(letters.trim_start_matches(UserId::PREFIX))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = tongjang_core::ids::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.strip_prefix(Self::PREFIX).ok_or(tongjang_core::ids::NotAnId)?;
        format!("{}{letters}", UserId::PREFIX).parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let secret = Secret::token(&Random::new(|bytes| bytes.fill(0xab)));
        assert_eq!(secret.reveal(), format!("tjt_{}", "ab".repeat(32)));
        assert!(!format!("{secret:?} {:?}", secret.hash()).contains("ab"));
        assert_eq!(secret.last_four(), "abab");
    }

    #[test]
    fn a_key_id_is_read_back_from_its_text() {
        let id = KeyId::new(Timestamp::from_micros(1_763_856_000_000_001), 5);
        assert!(id.to_string().starts_with("key_"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("usr_00000000000000000000000011".parse::<KeyId>().is_err());
    }
}
