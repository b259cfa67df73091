//! Idempotency: a caller's key names one request for as long as the ledger exists.
//!
//! After the IETF draft "The Idempotency-Key HTTP Header Field"
//! (draft-ietf-httpapi-idempotency-key-header).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{Command, UserId};

/// A key that a caller gives to a request: 1 to 255 visible ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IdempotencyKey(Arc<str>);

impl IdempotencyKey {
    /// The most characters.
    pub const MAX_CHARS: usize = 255;

    /// The key, or `None` if it is empty, too long or not visible ASCII (0x21 to 0x7e).
    pub fn new(key: &str) -> Option<Self> {
        let sound = (1..=Self::MAX_CHARS).contains(&key.len())
            && key.bytes().all(|letter| letter.is_ascii_graphic());
        sound.then(|| Self(key.into()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// 128 bits of SHA-256 over what a request asks for: its method, path and body, once parsed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of `command`. Two requests share it if and only if they ask for the same.
    pub fn of(command: &Command) -> Self {
        let mut sha = Sha256::new();
        command.canonical(&mut |bytes| sha.update(bytes));
        let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]: [u8; 32] =
            sha.finalize().into();
        Self(head)
    }

    /// The fingerprint with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A key in use: whose it is, and which request it stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyUse {
    /// The caller whose key it is. Two callers may use the same key.
    pub scope: UserId,
    /// The key.
    pub key: IdempotencyKey,
    /// What was asked for under it.
    pub fingerprint: Fingerprint,
}
