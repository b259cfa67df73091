//! Why a command was refused: an expected outcome, never an error of the server.

use crate::{AccountId, Amount, Balance, Currency};

/// A refusal. Of several reasons the one that stands first here is given, so that who may not
/// know of an account learns nothing about it, and a caller mends his request once.
///
/// Of the two accounts of a transfer, whether there is one and whose it is, and later whether it
/// is closed or frozen, is asked of the paying one first and then of the receiving one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rejection {
    /// The caller's key already stands for another request, which differs in these fields.
    IdempotencyKeyReused {
        /// The fields, as the API calls them.
        fields: Vec<&'static str>,
    },
    /// There is no such account.
    AccountNotFound {
        /// The id that was asked for.
        account: AccountId,
    },
    /// The caller does not own the account.
    NotAccountOwner,
    /// The bank already has an account of that number.
    AccountNumberTaken,
    /// The account is not at the version that the caller expects.
    VersionMismatch {
        /// What the caller expects.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// A transfer from an account to itself.
    SameAccount,
    /// A transfer between two currencies.
    CurrencyMismatch {
        /// What the paying account holds.
        from: Currency,
        /// What the receiving account holds.
        to: Currency,
    },
    /// The account is closed for ever.
    AccountClosed {
        /// Which one.
        account: AccountId,
    },
    /// The account may not be booked on for now.
    AccountFrozen {
        /// Which one.
        account: AccountId,
    },
    /// An account that is to be closed still holds money, or a hold is pending on it.
    AccountNotEmpty {
        /// What it holds.
        balance: Balance,
    },
    /// More is asked for than is available.
    InsufficientFunds {
        /// What is available; below zero, nothing is.
        available: Balance,
        /// What was asked for.
        requested: Amount,
    },
    /// A balance or a total would leave 128 bits.
    BalanceOverflow,
}

impl Rejection {
    /// The code that stands for it in the API.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IdempotencyKeyReused { .. } => "idempotency-key-reused",
            Self::AccountNotFound { .. } => "not-found",
            Self::NotAccountOwner => "not-account-owner",
            Self::AccountNumberTaken => "account-number-taken",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::SameAccount => "same-account",
            Self::CurrencyMismatch { .. } => "currency-mismatch",
            Self::AccountClosed { .. } => "account-closed",
            Self::AccountFrozen { .. } => "account-frozen",
            Self::AccountNotEmpty { .. } => "account-not-empty",
            Self::InsufficientFunds { .. } => "insufficient-funds",
            Self::BalanceOverflow => "balance-overflow",
        }
    }

    /// Whether it is the outcome of the business and so is kept under the request's key. A
    /// refusal of the request itself (who asks, what it names, which version) is not: the caller
    /// may mend that and send it again under the same key.
    pub const fn is_business(&self) -> bool {
        match self {
            Self::SameAccount
            | Self::CurrencyMismatch { .. }
            | Self::AccountClosed { .. }
            | Self::AccountFrozen { .. }
            | Self::AccountNotEmpty { .. }
            | Self::InsufficientFunds { .. }
            | Self::BalanceOverflow => true,
            Self::IdempotencyKeyReused { .. }
            | Self::AccountNotFound { .. }
            | Self::NotAccountOwner
            | Self::AccountNumberTaken
            | Self::VersionMismatch { .. } => false,
        }
    }
}
