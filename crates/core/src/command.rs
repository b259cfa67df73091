//! What a caller asks for. Everything that is not deterministic is settled before it comes here.

use crate::{
    AccountId, AccountNumber, Amount, Bank, Currency, IdempotencyKey, Memo, Metadata, Status,
    Timestamp, UserId,
};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The user on whose behalf the request comes; idempotency keys are this user's.
    pub user: UserId,
    /// Whether the server lets this request book on accounts of others. The server alone decides
    /// that; see its `--deposits`.
    pub any_account: bool,
}

impl Caller {
    /// A caller who may only touch accounts of `user`.
    pub const fn owner(user: UserId) -> Self {
        Self { user, any_account: false }
    }

    /// A caller who may touch every account.
    pub const fn operator(user: UserId) -> Self {
        Self { user, any_account: true }
    }
}

/// A request: a command with all that is needed to decide it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Who asks.
    pub caller: Caller,
    /// When the request was taken in. What it books is never booked earlier than this.
    pub at: Timestamp,
    /// 64 random bits for the id of what it makes.
    pub nonce: u64,
    /// The caller's key for it and the fingerprint of `command`, if there is a key.
    pub key: Option<(IdempotencyKey, crate::Fingerprint)>,
    /// The version that the account (of a transfer, the paying one) must have.
    pub expected_version: Option<u64>,
    /// What is asked for.
    pub command: Command,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Open an account for `owner`.
    Open {
        /// Who will own it.
        owner: UserId,
        /// The currency it will hold.
        currency: Currency,
        /// The bank that keeps it.
        bank: Bank,
        /// Its number within the bank.
        number: AccountNumber,
        /// Whether the server made the number up, because the caller named none.
        number_made: bool,
    },
    /// Take money in from outside.
    Deposit {
        /// The account to credit.
        account: AccountId,
        /// How much.
        amount: Amount,
        /// What the passbook will say.
        memo: Memo,
        /// What the caller keeps with it.
        metadata: Metadata,
    },
    /// Pay money out.
    Withdraw {
        /// The account to debit.
        account: AccountId,
        /// How much.
        amount: Amount,
        /// What the passbook will say.
        memo: Memo,
        /// What the caller keeps with it.
        metadata: Metadata,
    },
    /// Move money from one account to another of the same currency.
    Transfer {
        /// The account to debit, the caller's own.
        from: AccountId,
        /// The account to credit.
        to: AccountId,
        /// How much.
        amount: Amount,
        /// What the paying account's passbook will say.
        memo: Memo,
        /// What the receiving account's passbook will say, if not the same.
        to_memo: Option<Memo>,
        /// What the caller keeps with it.
        metadata: Metadata,
    },
    /// Freeze an account, open a frozen one again, or close an empty one for ever.
    ChangeStatus {
        /// The account.
        account: AccountId,
        /// What it shall be.
        status: Status,
    },
}

impl Command {
    /// The customers' accounts that it names.
    pub fn accounts(&self) -> [Option<AccountId>; 2] {
        match self {
            Self::Open { .. } => [None, None],
            Self::Deposit { account, .. }
            | Self::Withdraw { account, .. }
            | Self::ChangeStatus { account, .. } => [Some(*account), None],
            Self::Transfer { from, to, .. } => [Some(*from), Some(*to)],
        }
    }

    /// The bytes that tell this command from every other: a tag, then each field, each text after
    /// its length. They go into the [`Fingerprint`](crate::Fingerprint).
    pub(crate) fn canonical(&self, put: &mut impl FnMut(&[u8])) {
        let text = |put: &mut dyn FnMut(&[u8]), text: &str| {
            let length = u64::try_from(text.len()).expect("a length fits 64 bits");
            put(&length.to_be_bytes());
            put(text.as_bytes());
        };
        match self {
            Self::Open { owner, currency, bank, number, number_made } => {
                put(&[1]);
                put(&owner.bits().to_be_bytes());
                put(&currency.bytes());
                text(put, bank.as_str());
                text(put, if *number_made { "" } else { number.as_str() });
            }
            Self::Deposit { account, amount, memo, metadata }
            | Self::Withdraw { account, amount, memo, metadata } => {
                put(&[if matches!(self, Self::Deposit { .. }) { 2 } else { 3 }]);
                put(&account.bits().to_be_bytes());
                put(&amount.minor().to_be_bytes());
                text(put, memo.as_str());
                for (key, value) in metadata.pairs() {
                    text(put, key);
                    text(put, value);
                }
            }
            Self::Transfer { from, to, amount, memo, to_memo, metadata } => {
                put(&[4]);
                put(&from.bits().to_be_bytes());
                put(&to.bits().to_be_bytes());
                put(&amount.minor().to_be_bytes());
                text(put, memo.as_str());
                text(put, to_memo.as_ref().unwrap_or(memo).as_str());
                for (key, value) in metadata.pairs() {
                    text(put, key);
                    text(put, value);
                }
            }
            Self::ChangeStatus { account, status } => {
                put(&[5]);
                put(&account.bits().to_be_bytes());
                put(&[status.byte()]);
            }
        }
    }

    /// The names of the fields in which two commands differ, as the API calls them; `operation`
    /// alone if they are not of one kind.
    pub fn differing_fields(&self, other: &Self) -> Vec<&'static str> {
        let differing = |pairs: &[(&'static str, bool)]| {
            pairs.iter().filter(|(_, same)| !same).map(|(name, _)| *name).collect()
        };
        match (self, other) {
            (
                Self::Open { owner, currency, bank, number, number_made },
                Self::Open { owner: o, currency: c, bank: b, number: n, number_made: m },
            ) => differing(&[
                ("owner_id", owner == o),
                ("currency", currency == c),
                ("bank", bank == b),
                ("number", number_made == m && (*m || number == n)),
            ]),
            (
                Self::Deposit { account, amount, memo, metadata },
                Self::Deposit { account: a, amount: n, memo: m, metadata: d },
            )
            | (
                Self::Withdraw { account, amount, memo, metadata },
                Self::Withdraw { account: a, amount: n, memo: m, metadata: d },
            ) => differing(&[
                ("account", account == a),
                ("amount", amount == n),
                ("memo", memo == m),
                ("metadata", metadata == d),
            ]),
            (
                Self::Transfer { from, to, amount, memo, to_memo, metadata },
                Self::Transfer { from: f, to: t, amount: n, memo: m, to_memo: tm, metadata: d },
            ) => differing(&[
                ("from_account", from == f),
                ("to_account", to == t),
                ("amount", amount == n),
                ("memo", memo == m),
                ("to_memo", same_to_memo(memo, to_memo.as_ref(), m, tm.as_ref())),
                ("metadata", metadata == d),
            ]),
            (
                Self::ChangeStatus { account, status },
                Self::ChangeStatus { account: a, status: s },
            ) => differing(&[("account", account == a), ("status", status == s)]),
            _ => vec!["operation"],
        }
    }
}

/// Whether two transfers say the same to the receiver. Where both only repeat their memo to him,
/// it is the memo that differs and not this.
fn same_to_memo(memo: &Memo, to: Option<&Memo>, other: &Memo, other_to: Option<&Memo>) -> bool {
    let (to, other_to) = (to.unwrap_or(memo), other_to.unwrap_or(other));
    to == other_to || (to == memo && other_to == other)
}
