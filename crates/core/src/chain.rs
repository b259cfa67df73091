//! The hash chain of an account: each entry's hash covers the entry and the hash before it.
//!
//! The bytes that go into SHA-256 (FIPS 180-4) are given here one by one, and in
//! `docs/passbook-hash.md`, so that anyone can check a passbook. Integers are big-endian, a signed
//! one in two's complement.
//!
//! | what | opening | entry |
//! | --- | --- | --- |
//! | 1 | the 19 letters `tongjang account v1` | the hash before it, 32 bytes |
//! | 2 | account id, 16 bytes | number, 8 bytes |
//! | 3 | owner id, 16 bytes | transaction id, 16 bytes |
//! | 4 | currency, 3 letters | kind, 1 byte |
//! | 5 | opened at in microseconds, 8 bytes | direction, 1 byte |
//! | 6 | length of the bank in bytes, 1 byte, 0 if none | amount, 16 bytes |
//! | 7 | the bank in UTF-8 | balance after it, 16 bytes |
//! | 8 | length of the number, 1 byte, 0 if none | booked at in microseconds, 8 bytes |
//! | 9 | the number in UTF-8 | counterparty's account id, 16 bytes, 0 if none |
//! | 10 | | the memo in UTF-8 |

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{AccountId, Entry, Kind, Opened, Timestamp, TransactionId};

/// A SHA-256 hash, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that an account's first entry is chained to: it covers the account's opening.
pub fn genesis(opened: &Opened) -> Hash {
    let mut sha = Sha256::new();
    sha.update(b"tongjang account v1");
    sha.update(opened.id.bits().to_be_bytes());
    sha.update(opened.owner.bits().to_be_bytes());
    sha.update(opened.currency.bytes());
    sha.update(opened.opened_at.micros().to_be_bytes());
    let (bank, number) = match &opened.place {
        Some((bank, number)) => (bank.as_str(), number.as_str()),
        None => ("", ""),
    };
    for text in [bank, number] {
        let length = u8::try_from(text.len()).expect("40 characters have at most 160 bytes");
        sha.update([length]);
        sha.update(text);
    }
    Hash(sha.finalize().into())
}

/// The hash of `entry` of the transaction `id`, after an entry whose hash is `before`.
/// `entry.hash` does not go into it.
pub fn link(
    before: Hash,
    id: TransactionId,
    kind: Kind,
    booked_at: Timestamp,
    entry: &Entry,
) -> Hash {
    let mut fixed = [0u8; 114];
    let mut rest = fixed.as_mut_slice();
    let mut put = |bytes: &[u8]| {
        let (here, after) = std::mem::take(&mut rest)
            .split_at_mut_checked(bytes.len())
            .expect("the fields have 114 bytes together");
        here.copy_from_slice(bytes);
        rest = after;
    };
    put(before.bytes());
    put(&entry.number.get().to_be_bytes());
    put(&id.bits().to_be_bytes());
    put(&[kind.byte(), entry.direction.byte()]);
    put(&entry.amount.minor().to_be_bytes());
    put(&entry.balance.minor().to_be_bytes());
    put(&booked_at.micros().to_be_bytes());
    put(&entry.counterparty.map_or(0, AccountId::bits).to_be_bytes());
    let mut sha = Sha256::new();
    sha.update(fixed);
    sha.update(entry.memo.as_str());
    Hash(sha.finalize().into())
}
