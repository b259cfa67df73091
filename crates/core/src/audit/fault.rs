//! What an audit can find: where it is, and what is wrong, in a sentence.

use std::fmt;

use crate::{AccountId, Currency, Entry, EntryNumber, Kind, Status};

/// A place where a ledger contradicts itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// In which event, counted from 1; `None` if it showed when the balances were compared.
    pub event: Option<u64>,
    /// On which account, if it is about one.
    pub account: Option<AccountId>,
    /// In which of the account's entries, as it is numbered there.
    pub entry: Option<EntryNumber>,
    /// What is wrong.
    pub what: What,
}

impl Fault {
    pub(super) fn on(account: AccountId, what: What) -> Self {
        Self { account: Some(account), ..what.into() }
    }

    pub(super) fn at(entry: &Entry, what: What) -> Self {
        Self { entry: Some(entry.number), ..Self::on(entry.account, what) }
    }
}

impl From<What> for Fault {
    fn from(what: What) -> Self {
        Self { event: None, account: None, entry: None, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(event) = self.event {
            write!(f, "event {event}")?;
            separator = ", ";
        }
        if let Some(account) = self.account {
            write!(f, "{separator}account {account}")?;
            separator = ", ";
        }
        if let Some(entry) = self.entry {
            write!(f, "{separator}entry {entry}")?;
        }
        if *self != Self::from(self.what) {
            f.write_str(": ")?;
        }
        self.what.fmt(f)
    }
}

impl std::error::Error for Fault {}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// An event is not later than the one before it.
    EventTime,
    /// A key stands for two events.
    KeyTwice,
    /// A key's fingerprint is not that of what happened under it.
    Fingerprint,
    /// A refusal was kept that is none of the business, with this code.
    KeptRefusal(&'static str),
    /// An account's opening is not as the rules make one.
    Opening,
    /// The first account of a currency came without the settlement account.
    NoSettlement,
    /// An account was opened twice.
    OpenedTwice,
    /// The bank has an account of that number already.
    NumberTaken,
    /// No such account was opened.
    UnknownAccount,
    /// The account was opened, but is not among those kept.
    MissingAccount,
    /// The account may not change to this status, or not any more.
    StatusNotAllowed(Status),
    /// The rules make no transaction of this kind.
    UnknownKind(Kind),
    /// The entries are not one debit and one credit that sum to zero, in this order.
    Unbalanced,
    /// The entries do not move the transaction's amount.
    Amount,
    /// The transaction's id does not carry the time at which it was booked.
    IdTime,
    /// An account stands on a side where a transaction of this kind has another.
    WrongSide,
    /// The counterparty is not the account on the other side.
    Counterparty,
    /// The memo is not that of the transaction.
    Memo,
    /// The account does not hold the transaction's currency.
    Currency,
    /// The account was not open for bookings.
    NotOpen(Status),
    /// It was not later than the account's newest entry, or its opening.
    EntryTime,
    /// The entry's number does not follow the one before it.
    Number,
    /// The balance is not the one before it plus or minus the amount.
    Balance,
    /// The count of credits does not follow the one before it.
    CreditCount,
    /// The sum of the credits is not the one before it plus the amount.
    CreditTotal,
    /// More was taken out than there was.
    Overdrawn,
    /// The hash does not cover the entry and the hash before it.
    Hash,
    /// A sum leaves 128 bits.
    SumTooLarge,
    /// What was kept of the account differs from its history, in this.
    Differs(&'static str),
    /// The balances of this currency do not sum to zero.
    NotZero(Currency),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = match self {
            Self::EventTime => "it is not later than the event before it",
            Self::KeyTwice => "its idempotency key already stands for an earlier event",
            Self::Fingerprint => "the fingerprint of its key is not that of what happened",
            Self::KeptRefusal(code) => {
                return write!(f, "a refusal with the code {code} is never kept under a key");
            }
            Self::Opening => "its opening is not as the rules make one",
            Self::NoSettlement => "its currency has no settlement account",
            Self::OpenedTwice => "it was opened twice",
            Self::NumberTaken => "its bank already has an account of that number",
            Self::UnknownAccount => "no such account was opened",
            Self::MissingAccount => "it was opened, but no balance is kept for it",
            Self::StatusNotAllowed(status) => {
                return write!(f, "it may not become {}", status.as_str());
            }
            Self::UnknownKind(kind) => {
                return write!(f, "no rule makes a transaction of the kind {}", kind.as_str());
            }
            Self::Unbalanced => "the entries are not one debit and then one credit of one amount",
            Self::Amount => "the entries do not move the amount of the transaction",
            Self::IdTime => "the transaction's id does not carry the time of the booking",
            Self::WrongSide => "the account may not stand on this side of the transaction",
            Self::Counterparty => "the counterparty is not the account on the other side",
            Self::Memo => "the memo is not that of the transaction",
            Self::Currency => "the account does not hold the currency of the transaction",
            Self::NotOpen(status) => {
                return write!(f, "the account was {} at that time", status.as_str());
            }
            Self::EntryTime => "it is not later than what was booked on the account before",
            Self::Number => "its number does not follow the entry before it",
            Self::Balance => "its balance is not the one before it plus or minus its amount",
            Self::CreditCount => "its count of credits does not follow the entry before it",
            Self::CreditTotal => "its sum of credits does not follow the entry before it",
            Self::Overdrawn => "more was taken out than the account had",
            Self::Hash => "its hash does not cover the entry and the hash before it",
            Self::SumTooLarge => "a sum does not fit into 128 bits",
            Self::Differs(field) => {
                return write!(f, "the {field} kept for it is not that of its history");
            }
            Self::NotZero(currency) => {
                return write!(f, "the balances in {currency} do not sum to zero");
            }
        };
        f.write_str(sentence)
    }
}
