//! All that a directory holds, to be copied into another one that may be of the other kind. It is
//! in memory at once, in about 200 bytes a row.

use tongjang_core::{Timestamp, UserId};

/// Every row of every table.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Contents {
    pub(super) users: Vec<UserRow>,
    pub(super) tokens: Vec<TokenRow>,
    pub(super) keys: Vec<KeyRow>,
    pub(super) labels: Vec<LabelRow>,
    pub(super) secrets: Vec<SecretRow>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct UserRow {
    pub(super) id: UserId,
    pub(super) username: String,
    pub(super) username_key: String,
    pub(super) password_hash: String,
    pub(super) name: Option<String>,
    pub(super) role: String,
    pub(super) created_at: Timestamp,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct TokenRow {
    pub(super) hash: Vec<u8>,
    pub(super) user: UserId,
    pub(super) expires_at: Timestamp,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyRow {
    pub(super) id: String,
    pub(super) hash: Vec<u8>,
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) write: bool,
    pub(super) operate: bool,
    pub(super) last_four: String,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct LabelRow {
    pub(super) owner: UserId,
    pub(super) nonce: Vec<u8>,
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretRow {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
}

impl Contents {
    /// How many users there are.
    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }
}
