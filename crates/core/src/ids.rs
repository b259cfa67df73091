//! Identifiers: 128 bits each, written as a prefix and 26 letters.
//!
//! The high half is a time in microseconds and the low half is random, so ids
//! of one kind sort by age and none can be guessed from another. The letters
//! are Crockford's base 32 in lower case, the highest five bits first:
//! <https://www.crockford.com/base32.html>.

use std::fmt;
use std::str::FromStr;

use crate::{Currency, Timestamp};

const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// A text that is no id of the kind asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this kind")
    }
}

impl std::error::Error for NotAnId {}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What the id's text begins with.
            pub const PREFIX: &str = $prefix;

            /// The id made at `at` with 64 random bits.
            pub fn new(at: Timestamp, nonce: u64) -> Self {
                Self(joined(at, nonce))
            }

            /// The id with these 128 bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits, as stored.
            pub const fn bits(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let letters = spelled(self.0);
                f.write_str(Self::PREFIX)?;
                f.write_str(std::str::from_utf8(&letters).expect("base 32 is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix(Self::PREFIX).and_then(read).map(Self).ok_or(NotAnId)
            }
        }
    };
}

id!(
    /// A user, who may own accounts.
    UserId,
    "usr_"
);
id!(
    /// An account.
    AccountId,
    "acc_"
);
id!(
    /// A transaction. Its high half is the time at which it was booked.
    TransactionId,
    "txn_"
);

impl UserId {
    /// The ledger itself, the owner of its settlement accounts. No caller is ever this user.
    pub const LEDGER: Self = Self(0);
}

impl AccountId {
    /// The settlement account of `currency` in `part` of the ledger.
    ///
    /// Its time is zero, so no account that a caller opens can be taken for it.
    pub fn settlement(currency: Currency, part: u16) -> Self {
        let [a, b, c] = currency.bytes();
        let [high, low] = part.to_be_bytes();
        Self(u128::from(u64::from_be_bytes([0, 0, 0, high, low, a, b, c])))
    }
}

impl AccountId {
    /// Whether this is a settlement account's id, as [`settlement`](Self::settlement) makes it.
    pub fn is_settlement(self) -> bool {
        self.0 >> 64 == 0
    }
}

impl TransactionId {
    /// When the transaction was booked.
    pub fn booked_at(self) -> Timestamp {
        let [a, b, c, d, e, f, g, h, ..] = self.0.to_be_bytes();
        Timestamp::from_micros(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

fn joined(at: Timestamp, nonce: u64) -> u128 {
    let [a, b, c, d, e, f, g, h] = at.micros().to_be_bytes();
    let [i, j, k, l, m, n, o, p] = nonce.to_be_bytes();
    u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

fn spelled(mut bits: u128) -> [u8; LENGTH] {
    let mut letters = [b'0'; LENGTH];
    for letter in letters.iter_mut().rev() {
        let five = usize::try_from(bits & 31).expect("five bits fit");
        *letter = *LETTERS.get(five).expect("five bits name one of 32 letters");
        bits >>= 5;
    }
    letters
}

fn read(letters: &str) -> Option<u128> {
    if letters.len() != LENGTH || letters.bytes().next() > Some(b'7') {
        return None;
    }
    letters.bytes().try_fold(0u128, |bits, letter| {
        let five = LETTERS.iter().position(|&known| known == letter)?;
        Some((bits << 5) | u128::try_from(five).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        for bits in [0, 1, 31, 32, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let id = AccountId::from_bits(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), 30);
        }
        assert_eq!(AccountId::from_bits(33).to_string(), "acc_00000000000000000000000011");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let id = AccountId::from_bits(u128::MAX).to_string();
        for text in [
            "",
            "acc_",
            &id.replace("acc_", "txn_"),
            &id.to_uppercase(),
            &id.replace('7', "8"),
            &format!("{id}0"),
            "acc_0000000000000000000000000u",
        ] {
            assert_eq!(text.parse::<AccountId>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn a_transaction_tells_when_it_was_booked() {
        let at = Timestamp::from_micros(1_763_856_000_000_001);
        assert_eq!(TransactionId::new(at, u64::MAX).booked_at(), at);
        assert!(TransactionId::new(at, u64::MAX) < TransactionId::new(at.next(), 0));
    }
}
