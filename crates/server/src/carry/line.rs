//! What a line says, once its fields are read: what is to be done, with accounts as it names them.

use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Currency, IdempotencyKey, Memo, Metadata, Status,
    UserId,
};

use crate::problem::{Problem, Text};

/// A line that says what is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    /// What is to be done.
    pub(crate) order: Order,
    /// The line's own idempotency key.
    pub(crate) key: Option<IdempotencyKey>,
    /// What the line is in the ledger that it comes from: visible ASCII without a slash, the same
    /// in every export of that ledger, and of no other line.
    pub(crate) identity: Option<String>,
}

/// What a line asks for, with accounts as it names them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Open an account; other lines may call it `account`.
    Open {
        /// What the file calls it.
        account: Option<Called>,
        /// Who will own it, if the line says so.
        owner: Option<UserId>,
        /// The currency it will hold.
        currency: Currency,
        /// The bank that keeps it, if the line says so.
        bank: Option<Bank>,
        /// Its number, or one is made.
        number: Option<AccountNumber>,
    },
    /// Take money in.
    Deposit { account: Named, amount: Amount, memo: Memo, metadata: Metadata },
    /// Pay money out.
    Withdraw { account: Named, amount: Amount, memo: Memo, metadata: Metadata },
    /// Move money.
    Transfer {
        from: Named,
        to: Named,
        amount: Amount,
        memo: Memo,
        to_memo: Option<Memo>,
        metadata: Metadata,
    },
    /// Freeze, open again or close.
    ChangeStatus { account: Named, status: Status },
}

/// An account that a line names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    /// As a line that opens it calls it; or by its id in this ledger.
    Called(Called),
    /// By its bank and number.
    Place(Bank, AccountNumber),
}

/// What the lines of a file call an account.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Called {
    /// An id: of this ledger, or of the one that the file was exported from.
    Id(AccountId),
    /// A name that means something in this file alone.
    Name(Box<str>),
}

impl Called {
    /// The most bytes of a name.
    const LONGEST: usize = 100;

    /// What `text` calls an account. What begins as an id does must be one, so that one which is
    /// mistyped or cut short is no name.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        let sound = (1..=Self::LONGEST).contains(&text.len())
            && !text.starts_with("acc_")
            && !text.contains(char::is_control);
        sound.then(|| Self::Name(text.into()))
    }

    /// The same, of a text that stands at `pointer`.
    ///
    /// # Errors
    /// 400 `invalid-request`, if it can be neither.
    pub(super) fn at(text: &str, pointer: &str) -> Result<Self, Problem> {
        Self::read(text).ok_or_else(|| {
            let most = Self::LONGEST;
            let text = Text::new(
                format!(
                    "must be the id of an account (acc_ and 26 letters or digits), or a name of 1 \
                     to {most} bytes that does not begin with acc_"
                ),
                format!("계좌 id이거나, acc_로 시작하지 않는 1~{most}바이트의 이름이어야 합니다"),
            );
            Problem::invalid(pointer, text)
        })
    }
}
