//! An entry: one debit or credit on one account, a row of its passbook.

use std::fmt;

use crate::{AccountId, Amount, Balance, Hash, Memo};

/// Which way the money went, seen from the account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// Money came in (입금): the balance rose.
    Credit,
    /// Money went out (출금): the balance fell.
    Debit,
}

impl Direction {
    /// `credit` or `debit`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Debit => "debit",
        }
    }

    /// The byte in the canonical form and on disk: credit 1, debit 2.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Credit => 1,
            Self::Debit => 2,
        }
    }

    /// The direction that `byte` stands for.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Credit),
            2 => Some(Self::Debit),
            _ => None,
        }
    }
}

/// The place of an entry among those of its account: 1, 2, 3 … without a gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryNumber(u64);

impl EntryNumber {
    /// The number of an account's first entry.
    pub const FIRST: Self = Self(1);

    /// Entry number `number`, or `None` for 0: entries are counted from 1.
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after an account's `count` entries.
    pub fn after(count: u64) -> Self {
        Self(count.checked_add(1).expect("no account is booked on 2^64 times"))
    }
}

impl fmt::Display for EntryNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One row of an account's history. Its time, kind and transaction are those of the
/// [`Transaction`](crate::Transaction) it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The account it is booked on.
    pub account: AccountId,
    /// Its place among the account's entries.
    pub number: EntryNumber,
    /// In or out.
    pub direction: Direction,
    /// How much, always positive.
    pub amount: Amount,
    /// The account's balance right after it.
    pub balance: Balance,
    /// What the passbook says about it (적요).
    pub memo: Memo,
    /// The customer's account on the other side, if there is one.
    pub counterparty: Option<AccountId>,
    /// How many of the account's entries up to and with this one are credits.
    pub credit_count: u64,
    /// The sum of the account's credits up to and with this one.
    pub credit_total: Balance,
    /// SHA-256 over the hash of the entry before and this entry; see [`chain`](crate::chain).
    pub hash: Hash,
}

impl Entry {
    /// The sum of the account's debits up to and with this entry.
    pub fn debit_total(&self) -> Option<Balance> {
        self.credit_total.checked_sub(self.balance)
    }
}
