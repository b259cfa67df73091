//! A transaction: entries on two or more accounts that together sum to zero.

use crate::{
    Amount, Balance, Currency, Direction, Entry, Memo, Metadata, Timestamp, TransactionId,
};

/// What a transaction is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Money came into the ledger.
    Deposit,
    /// Money left the ledger.
    Withdrawal,
    /// Money went from one customer's account to another.
    Transfer,
    /// A hold was turned into a booking.
    Capture,
    /// An earlier transaction was taken back.
    Reversal,
    /// An operator put something right.
    Adjustment,
}

impl Kind {
    /// Every kind, in the order of its byte.
    pub const ALL: [Self; 6] = [
        Self::Deposit,
        Self::Withdrawal,
        Self::Transfer,
        Self::Capture,
        Self::Reversal,
        Self::Adjustment,
    ];

    /// The name in the API: `deposit`, `withdrawal`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::Transfer => "transfer",
            Self::Capture => "capture",
            Self::Reversal => "reversal",
            Self::Adjustment => "adjustment",
        }
    }

    /// The byte in the canonical form and on disk, from 1.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Deposit => 1,
            Self::Withdrawal => 2,
            Self::Transfer => 3,
            Self::Capture => 4,
            Self::Reversal => 5,
            Self::Adjustment => 6,
        }
    }

    /// The kind that `byte` stands for.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A booked transaction. It never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Its id, which carries `booked_at`.
    pub id: TransactionId,
    /// What it is.
    pub kind: Kind,
    /// How much moved.
    pub amount: Amount,
    /// In which currency, the same on every entry.
    pub currency: Currency,
    /// What its maker says about it.
    pub memo: Memo,
    /// What its maker keeps with it.
    pub metadata: Metadata,
    /// When it was booked; later than every earlier entry of its accounts.
    pub booked_at: Timestamp,
    /// The entries, the debit first. Their amounts, signed, sum to zero.
    pub entries: Vec<Entry>,
}

impl Transaction {
    /// Whether the entries sum to zero, as they must.
    pub fn is_balanced(&self) -> bool {
        let sum = self.entries.iter().try_fold(Balance::ZERO, |sum, entry| match entry.direction {
            Direction::Credit => sum.plus(entry.amount),
            Direction::Debit => sum.minus(entry.amount),
        });
        sum == Some(Balance::ZERO)
    }
}
