//! What must come of a row, what did come of it, and the one function that compares the two.

use std::fmt;

use tongjang_core::{Balance, Event, Rejection, Status, Timestamp};

use crate::written;

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// An account was opened, or its status changed.
    Ok {
        /// Whether the key already stood for it.
        replayed: bool,
    },
    /// A transaction was booked.
    Booked {
        /// The balance that it left on the account of [`Action::subject`](crate::Action::subject).
        balance: i128,
        /// Whether the key already stood for it.
        replayed: bool,
    },
    /// It was refused.
    Refused {
        /// The API's code of the refusal.
        code: String,
        /// What was available, if it says so.
        available: Option<i128>,
        /// The fields in which a key's second request differs.
        fields: Vec<String>,
        /// Whether the key already stood for the refusal.
        replayed: bool,
    },
}

impl Outcome {
    /// The refusal `code`, of which there is no more to say.
    pub fn refused(code: &str) -> Self {
        Self::Refused { code: code.into(), available: None, fields: Vec::new(), replayed: false }
    }

    /// The refusal `rejection`.
    pub fn rejected(rejection: &Rejection, replayed: bool) -> Self {
        let (available, fields) = match rejection {
            Rejection::InsufficientFunds { available, .. } => (Some(available.minor()), Vec::new()),
            Rejection::IdempotencyKeyReused { fields } => {
                (None, fields.iter().map(|field| field.to_string()).collect())
            }
            _ => (None, Vec::new()),
        };
        Self::Refused { code: rejection.code().into(), available, fields, replayed }
    }

    /// What `event` says to one who looks at `account`.
    pub fn of(event: &Event, account: tongjang_core::AccountId, replayed: bool) -> Self {
        match event {
            Event::Opened(_) | Event::StatusChanged(_) => Self::Ok { replayed },
            Event::Refused(refused) => Self::rejected(&refused.rejection, replayed),
            Event::Booked(booked) => {
                let entries = &booked.transaction.entries;
                let entry = entries.iter().find(|entry| entry.account == account);
                let balance = entry.map_or(Balance::ZERO, |entry| entry.balance).minor();
                Self::Booked { balance, replayed }
            }
        }
    }
}

/// An entry of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryRow {
    /// Its number.
    pub number: u64,
    /// The amount, below zero if it went out.
    pub amount: i128,
    /// The balance after it.
    pub balance: i128,
    /// Its memo.
    pub memo: String,
    /// The account on the other side as the script calls it, if that is a customer's.
    pub counterparty: Option<String>,
    /// When it was booked.
    pub booked_at: Timestamp,
}

/// What a target saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Observed {
    /// Nothing, as there was nothing to see.
    Done,
    /// The outcome of a request.
    Outcome(Outcome),
    /// Where an account stands.
    Account {
        /// Its balance.
        balance: i128,
        /// How many entries it has.
        entries: u64,
        /// Whether it may be booked on.
        status: Status,
        /// Its version.
        version: u64,
    },
    /// An account's entries, oldest first.
    History(Vec<HistoryRow>),
    /// The whole ledger in a currency.
    Ledger {
        /// How many customers' accounts.
        accounts: u64,
        /// How many transactions.
        transactions: u64,
        /// The sum of the customers' balances.
        customers: i128,
        /// The balance of the settlement account.
        settlement: i128,
    },
    /// The target broke, in words.
    Broken(String),
}

/// What a row says must be seen. What it leaves out may be anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Nothing.
    Done,
    /// This outcome.
    Outcome(Outcome),
    /// An account with these figures.
    Account {
        /// Its balance and how many entries it has.
        balance: Option<(i128, u64)>,
        /// Whether it may be booked on.
        status: Option<Status>,
        /// Its version.
        version: Option<u64>,
    },
    /// These entries; their numbers and times only have to rise as they must.
    History(Vec<HistoryRow>),
    /// Entries booked at these times.
    Times(Vec<Timestamp>),
    /// A ledger that sums to zero, and these figures.
    Ledger {
        /// What customers have, in how many accounts, after how many transactions.
        holds: Option<(i128, u64, u64)>,
    },
}

/// Compares what a row expects with what a target saw.
///
/// # Errors
/// Both, or what is wrong with the latter by itself, in the words of a script.
pub fn compare(expected: &Expected, observed: &Observed) -> Result<(), String> {
    let same = match (expected, observed) {
        (Expected::Done, Observed::Done) => true,
        (Expected::Outcome(expected), Observed::Outcome(observed)) => expected == observed,
        (
            Expected::Account { balance: b, status: s, version: v },
            Observed::Account { balance, entries, status, version },
        ) => {
            b.is_none_or(|b| b == (*balance, *entries))
                && s.is_none_or(|s| s == *status)
                && v.is_none_or(|v| v == *version)
        }
        (Expected::History(expected), Observed::History(observed)) => {
            in_order(observed)?;
            let what = |row: &HistoryRow| {
                (row.amount, row.balance, row.memo.clone(), row.counterparty.clone())
            };
            expected.iter().map(what).eq(observed.iter().map(what))
        }
        (Expected::Times(expected), Observed::History(observed)) => {
            in_order(observed)?;
            expected.iter().eq(observed.iter().map(|row| &row.booked_at))
        }
        (
            Expected::Ledger { holds },
            Observed::Ledger { accounts, transactions, customers, settlement },
        ) => {
            customers.checked_add(*settlement) == Some(0)
                && holds.is_none_or(|holds| holds == (*customers, *accounts, *transactions))
        }
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("expected {expected}\n  observed {observed}")) }
}

/// Numbers are 1, 2, 3 … and times rise, in whatever is seen of a history.
fn in_order(rows: &[HistoryRow]) -> Result<(), String> {
    if !rows.iter().map(|row| row.number).eq((1..).take(rows.len())) {
        return Err(format!("the entries are not numbered without a gap: {}", history(rows)));
    }
    if !rows.is_sorted_by(|one, next| one.booked_at < next.booked_at) {
        return Err(format!("the times do not rise: {}", times(rows.iter().map(|r| r.booked_at))));
    }
    Ok(())
}

fn history(rows: &[HistoryRow]) -> String {
    let rows = rows.iter().map(|row| {
        let side = if row.amount < 0 { "to" } else { "from" };
        let other = row.counterparty.as_ref().map(|other| format!(" {side} {other}"));
        let other = other.unwrap_or_default();
        format!("{:+} {} {:?}{other}", row.amount, row.balance, row.memo)
    });
    rows.collect::<Vec<_>>().join(" | ")
}

fn times(times: impl Iterator<Item = Timestamp>) -> String {
    times.map(written).collect::<Vec<_>>().join(" | ")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Ok { replayed }
        | Self::Booked { replayed, .. }
        | Self::Refused { replayed, .. }) = self;
        if *replayed {
            f.write_str("replayed, ")?;
        }
        match self {
            Self::Ok { .. } => f.write_str("ok"),
            Self::Booked { balance, replayed: true } => write!(f, "balance {balance}"),
            Self::Booked { balance, replayed: false } => write!(f, "booked, balance {balance}"),
            Self::Refused { code, available, fields, .. } => {
                f.write_str(code)?;
                fields.iter().try_for_each(|field| write!(f, " {field}"))?;
                available.map_or(Ok(()), |available| write!(f, " available {available}"))
            }
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("nothing"),
            Self::Outcome(outcome) => outcome.fmt(f),
            Self::Account { balance, entries, status, version } => {
                let status = status.as_str();
                write!(f, "balance {balance} in {entries} entries, {status}, version {version}")
            }
            Self::History(rows) => {
                write!(f, "{}; {}", history(rows), times(rows.iter().map(|row| row.booked_at)))
            }
            Self::Ledger { accounts, transactions, customers, settlement } => write!(
                f,
                "holds {customers} in {accounts} accounts after {transactions} transactions, \
                 settlement {settlement}"
            ),
            Self::Broken(how) => f.write_str(how),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("nothing"),
            Self::Outcome(outcome) => outcome.fmt(f),
            Self::Account { balance, status, version } => {
                if let Some((balance, entries)) = balance {
                    write!(f, "balance {balance} in {entries} entries")?;
                }
                status.map_or(Ok(()), |status| f.write_str(status.as_str()))?;
                version.map_or(Ok(()), |version| write!(f, "version {version}"))
            }
            Self::History(rows) => f.write_str(&history(rows)),
            Self::Times(expected) => f.write_str(&times(expected.iter().copied())),
            Self::Ledger { holds: None } => f.write_str("sums to zero"),
            Self::Ledger { holds: Some((sum, accounts, transactions)) } => {
                write!(f, "holds {sum} in {accounts} accounts after {transactions} transactions")
            }
        }
    }
}
