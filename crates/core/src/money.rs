//! Money: whole numbers of a currency's minor unit, never a float.
//!
//! `Amount` is what a command moves and is always positive; `Balance` is what
//! an account stands at and may be negative. Every sum is checked.

use std::fmt;

/// A positive amount in the currency's minor unit (KRW: 1 = 1원, USD: 1 = 1 cent).
///
/// At least 1, at most 2^96 = 79,228,162,514,264,337,593,543,950,336.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Amount(i128);

impl Amount {
    /// The smallest amount: 1 minor unit.
    pub const MIN: Self = Self(1);
    /// The largest amount: 2^96 minor units.
    pub const MAX: Self = Self(1 << 96);

    /// The amount of `minor` minor units, or `None` outside of `MIN..=MAX`.
    pub const fn new(minor: i128) -> Option<Self> {
        if minor >= Self::MIN.0 && minor <= Self::MAX.0 { Some(Self(minor)) } else { None }
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i128 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A signed sum in the currency's minor unit: a balance, or the total of many amounts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Balance(i128);

impl Balance {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);
    /// The largest that 128 bits hold.
    pub const MAX: Self = Self(i128::MAX);

    /// The balance of `minor` minor units.
    pub const fn new(minor: i128) -> Self {
        Self(minor)
    }

    /// The balance in minor units.
    pub const fn minor(self) -> i128 {
        self.0
    }

    /// `self + amount`, or `None` beyond 128 bits.
    pub fn plus(self, amount: Amount) -> Option<Self> {
        self.0.checked_add(amount.0).map(Self)
    }

    /// `self − amount`, or `None` beyond 128 bits.
    pub fn minus(self, amount: Amount) -> Option<Self> {
        self.0.checked_sub(amount.0).map(Self)
    }

    /// `self + other`, or `None` beyond 128 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `self − other`, or `None` beyond 128 bits.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_positive_and_at_most_two_to_the_96() {
        for minor in [i128::MIN, -1, 0, (1 << 96) + 1, i128::MAX] {
            assert_eq!(Amount::new(minor), None, "{minor}");
        }
        for minor in [1, 2, 1 << 96] {
            assert_eq!(Amount::new(minor).map(Amount::minor), Some(minor));
        }
    }

    #[test]
    fn a_sum_beyond_128_bits_is_none() {
        let top = Balance::new(i128::MAX);
        assert_eq!(top.plus(Amount::MIN), None);
        assert_eq!(top.minus(Amount::MIN), Some(Balance::new(i128::MAX - 1)));
        assert_eq!(Balance::new(i128::MIN).minus(Amount::MIN), None);
        assert_eq!(top.checked_add(Balance::new(1)), None);
    }
}
