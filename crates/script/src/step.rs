//! What a row of a script asks for, in the script's own words: users and accounts are names, and
//! texts and numbers are as written, so that a target can be sent what it must refuse.

use tongjang_core::{Currency, Status, Timestamp};

/// On what a script can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// `decide` and `apply` over a book in memory.
    Core,
    /// The teller over the journal store.
    Journal,
    /// The server, through its HTTP calls.
    Http,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 3] = [Self::Core, Self::Journal, Self::Http];

    /// Its name in a script's `targets:` row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Journal => "journal",
            Self::Http => "http",
        }
    }
}

/// One row's action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// From now on requests come in at this time. A target with its own clock passes over it.
    At(Timestamp),
    /// A request.
    Ask(Ask),
    /// Where does this account stand?
    Account(String),
    /// What are this account's entries, oldest first?
    History(String),
    /// What does the whole ledger hold in this currency?
    Ledger(Currency),
}

/// A request by somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Who asks. The name `operator` stands for one who may act for every account.
    pub caller: String,
    /// What for.
    pub action: Action,
    /// Under which idempotency key.
    pub key: Option<String>,
    /// The version that the account (of a transfer, the paying one) must have.
    pub version: Option<u64>,
}

/// What a request is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Open an account, called `name` in the rest of the script.
    Open {
        /// Its name in the script. If the request is replayed, the name is another one for the
        /// account that was opened then.
        name: String,
        /// Who shall own it; the caller if nobody is named.
        owner: Option<String>,
        /// The code of its currency.
        currency: String,
        /// Its bank.
        bank: String,
        /// Its number in that bank; the target makes one up if there is none.
        number: Option<String>,
    },
    /// Put money in.
    Deposit {
        /// On which account.
        account: String,
        /// How much, and what to say about it.
        money: Money,
    },
    /// Take money out.
    Withdraw {
        /// Of which account.
        account: String,
        /// How much, and what to say about it.
        money: Money,
    },
    /// Move money.
    Transfer {
        /// The paying account.
        from: String,
        /// The receiving account.
        to: String,
        /// How much, and what to say about it.
        money: Money,
        /// What to say to the receiver, if not the same.
        to_memo: Option<String>,
    },
    /// Freeze an account, open it again or close it.
    ChangeStatus {
        /// Which account.
        account: String,
        /// What it shall be.
        status: Status,
    },
}

impl Action {
    /// The account whose balance a booking's outcome tells; of a transfer, the paying one.
    pub fn subject(&self) -> &str {
        match self {
            Self::Open { name, .. } => name,
            Self::Transfer { from, .. } => from,
            Self::Deposit { account, .. }
            | Self::Withdraw { account, .. }
            | Self::ChangeStatus { account, .. } => account,
        }
    }
}

/// An amount with what is said about it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Money {
    /// In the currency's minor unit; as written, so it may be out of range.
    pub amount: i128,
    /// The memo; empty if there is none.
    pub memo: String,
    /// The metadata.
    pub metadata: Vec<(String, String)>,
}
