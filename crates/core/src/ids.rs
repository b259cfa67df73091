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
/// How many letters an id has after its prefix.
pub const LENGTH: usize = 26;

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

            /// The letters that follow the prefix in its text.
            pub fn letters(self) -> [u8; LENGTH] {
                spelled(self.0)
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

/// The value of each byte as a letter; [`NO_LETTER`] for one that is none.
#[expect(clippy::as_conversions, reason = "a constant cannot call `usize::from`")]
const VALUES: [u8; 256] = {
    let mut values = [NO_LETTER; 256];
    let mut value = 0u8;
    let mut letters = LETTERS.as_slice();
    while let [letter, rest @ ..] = letters {
        let mut place = values.as_mut_slice().split_at_mut(*letter as usize).1;
        if let [first, ..] = &mut place {
            *first = value;
        }
        value = value.saturating_add(1);
        letters = rest;
    }
    values
};
const NO_LETTER: u8 = 0x80;

/// Letters 0 and 1 hold the highest 8 bits, then 12 letters 60 bits, then 12 letters 60 bits: no
/// part needs arithmetic of 128 bits.
fn spelled(bits: u128) -> [u8; LENGTH] {
    let mut letters = [b'0'; LENGTH];
    let low = |bits: u128| u64::try_from(bits & 0xffff_ffff_ffff_ffff).expect("64 bits are left");
    let mut rest = &mut letters[..];
    for (part, count) in [(low(bits >> 120), 2), (low(bits >> 60), 12), (low(bits), 12)] {
        let (these, others) = rest.split_at_mut(count);
        let mut part = part;
        for letter in these.iter_mut().rev() {
            let five = usize::try_from(part & 31).expect("five bits fit");
            *letter = *LETTERS.get(five).expect("five bits name one of 32 letters");
            part >>= 5;
        }
        rest = others;
    }
    letters
}

fn read(letters: &str) -> Option<u128> {
    let letters: &[u8; LENGTH] = letters.as_bytes().try_into().ok()?;
    let (high, rest) = letters.split_at_checked(2)?;
    let (middle, low) = rest.split_at_checked(12)?;
    // A byte that is no letter leaves its high bit here.
    let mut all = 0u8;
    let mut part = |letters: &[u8]| {
        letters.iter().fold(0u64, |bits, letter| {
            let value = VALUES.get(usize::from(*letter)).copied().unwrap_or(NO_LETTER);
            all |= value;
            (bits << 5) | u64::from(value)
        })
    };
    let (high, middle, low) = (part(high), part(middle), part(low));
    let sound = all < NO_LETTER && high < 256;
    sound.then(|| (u128::from(high) << 120) | (u128::from(middle) << 60) | u128::from(low))
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
            "acc_0u000000000000000000000000",
            "acc_00000000000\u{e9}000000000000",
        ] {
            assert_eq!(text.parse::<AccountId>(), Err(NotAnId), "{text}");
        }
    }

    #[test]
    fn every_letter_counts_at_every_place() {
        for place in 0..LENGTH {
            for (value, letter) in LETTERS.iter().enumerate() {
                let mut text = [b'0'; LENGTH];
                text[place] = *letter;
                let shift = 5 * (25 - u32::try_from(place).unwrap());
                let bits = u128::try_from(value).unwrap().checked_shl(shift).unwrap_or(0);
                let fits = place > 0 || value < 8;
                let text = format!("acc_{}", std::str::from_utf8(&text).unwrap());
                let expected = if fits { Ok(AccountId::from_bits(bits)) } else { Err(NotAnId) };
                assert_eq!(text.parse(), expected, "{text}");
            }
        }
    }

    #[test]
    fn a_transaction_tells_when_it_was_booked() {
        let at = Timestamp::from_micros(1_763_856_000_000_001);
        assert_eq!(TransactionId::new(at, u64::MAX).booked_at(), at);
        assert!(TransactionId::new(at, u64::MAX) < TransactionId::new(at.next(), 0));
    }
}
