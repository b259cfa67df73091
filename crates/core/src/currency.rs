//! Currencies by their ISO 4217 code, with the number of decimals of each.
//!
//! The table is the one of the `iso_currency` crate, which follows the list
//! that SIX publishes as the maintenance agency of ISO 4217.

use std::fmt;

/// A currency: three capital letters of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Korean won, which has no minor unit.
    pub const KRW: Self = Self(*b"KRW");

    /// The currency with this code, or `None` if ISO 4217 has none with a minor unit
    /// (gold, the testing code and the like cannot be held here).
    pub fn new(code: &str) -> Option<Self> {
        let known = iso_currency::Currency::from_code(code)?;
        known.exponent()?;
        Some(Self(code.as_bytes().try_into().ok()?))
    }

    /// The currency whose code these bytes spell, as read back from storage.
    pub fn from_bytes(code: [u8; 3]) -> Option<Self> {
        Self::new(std::str::from_utf8(&code).ok()?)
    }

    /// The three letters, e.g. `KRW`.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency's code is ASCII")
    }

    /// The three letters as bytes.
    pub const fn bytes(self) -> [u8; 3] {
        self.0
    }

    /// How many decimals the major unit has: KRW 0, USD 2, BHD 3.
    pub fn exponent(&self) -> u16 {
        iso_currency::Currency::from_code(self.code())
            .and_then(|known| known.exponent())
            .expect("a currency is only made from a code with an exponent")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_iso_4217() {
        for (code, exponent) in [("KRW", 0), ("JPY", 0), ("USD", 2), ("EUR", 2), ("BHD", 3)] {
            assert_eq!(Currency::new(code).map(|c| c.exponent()), Some(exponent), "{code}");
        }
    }

    #[test]
    fn what_is_no_currency_is_refused() {
        for code in ["", "krw", "KR", "KRWW", "ZZZ", "XAU", "원화", "\0\0\0"] {
            assert_eq!(Currency::new(code), None, "{code}");
        }
    }
}
