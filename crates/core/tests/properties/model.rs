//! The model: accounts are lists of signed amounts, and a key is a line in a table. It knows
//! nothing of entries, totals, hashes or times.

use std::collections::HashMap;

use tongjang_core::{AccountId, Command, Currency, Decision, Event, Status};

use crate::ask::{Ask, OPERATOR, What};

#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) accounts: Vec<Holding>,
    keys: HashMap<(u8, u8), (What, Seen)>,
}

#[derive(Clone)]
pub(crate) struct Holding {
    owner: u8,
    number: u8,
    pub(crate) currency: Currency,
    pub(crate) status: Status,
    pub(crate) version: u64,
    pub(crate) rows: Vec<i128>,
}

/// What a caller sees of an outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Ok,
    Balance(i128),
    Refused(&'static str),
    Replayed(Box<Seen>),
}

impl Seen {
    pub(crate) fn of(decision: &Decision, ask: &Ask, opened: &[AccountId]) -> Self {
        let seen = |event: &Event| match event {
            Event::Opened(_) | Event::StatusChanged(_) => Self::Ok,
            Event::Refused(refused) => Self::Refused(refused.rejection.code()),
            Event::Booked(booked) => {
                let index = match ask.what {
                    What::Deposit { account, .. } | What::Withdraw { account, .. } => account,
                    What::Transfer { from, .. } => from,
                    _ => panic!("{ask:?} books nothing"),
                };
                let entries = &booked.transaction.entries;
                let entry = entries.iter().find(|entry| entry.account == opened[index]);
                Self::Balance(entry.expect("an entry of the account").balance.minor())
            }
        };
        match decision {
            Decision::New(event) => seen(event),
            Decision::Replayed(event) => Self::Replayed(Box::new(seen(event))),
            Decision::Refused(rejection) => Self::Refused(rejection.code()),
        }
    }
}

impl Model {
    pub(crate) fn ask(&mut self, ask: &Ask) -> Seen {
        let what = essence(&ask.what);
        let line = ask.key.map(|key| (ask.user, key));
        if let Some((before, seen)) = line.and_then(|line| self.keys.get(&line)) {
            return match *before == what {
                true => Seen::Replayed(Box::new(seen.clone())),
                false => Seen::Refused("idempotency-key-reused"),
            };
        }
        let seen = self.does(ask).unwrap_or_else(Seen::Refused);
        let forgotten =
            ["not-found", "not-account-owner", "account-number-taken", "version-mismatch"];
        let kept = !matches!(seen, Seen::Refused(code) if forgotten.contains(&code));
        if let Some(line) = line.filter(|_| kept) {
            self.keys.insert(line, (what, seen.clone()));
        }
        seen
    }

    fn does(&mut self, ask: &Ask) -> Result<Seen, &'static str> {
        match ask.what {
            What::Open { owner, currency, number, .. } => {
                ensure(owner == ask.user || ask.user == OPERATOR, "not-account-owner")?;
                let taken = self.accounts.iter().any(|account| account.number == number);
                ensure(!taken, "account-number-taken")?;
                let (status, version, rows) = (Status::Open, 1, Vec::new());
                self.accounts.push(Holding { owner, number, currency, status, version, rows });
                Ok(Seen::Ok)
            }
            What::Deposit { account, amount, .. } => {
                self.own(ask, account)?;
                self.version(ask, account)?;
                self.open(account)?;
                Ok(Seen::Balance(self.book(account, amount)))
            }
            What::Withdraw { account, amount, .. } => {
                self.own(ask, account)?;
                self.version(ask, account)?;
                self.open(account)?;
                ensure(self.balance(account) >= amount, "insufficient-funds")?;
                Ok(Seen::Balance(self.book(account, -amount)))
            }
            What::Transfer { from, to, amount, .. } => {
                self.own(ask, from)?;
                ensure(to < self.accounts.len(), "not-found")?;
                self.version(ask, from)?;
                ensure(from != to, "same-account")?;
                let same = self.accounts[from].currency == self.accounts[to].currency;
                ensure(same, "currency-mismatch")?;
                self.open(from)?;
                self.open(to)?;
                ensure(self.balance(from) >= amount, "insufficient-funds")?;
                self.book(to, amount);
                Ok(Seen::Balance(self.book(from, -amount)))
            }
            What::Status { account, status } => {
                self.own(ask, account)?;
                self.version(ask, account)?;
                ensure(self.accounts[account].status != Status::Closed, "account-closed")?;
                let empty = self.balance(account) == 0;
                ensure(status != Status::Closed || empty, "account-not-empty")?;
                self.accounts[account].status = status;
                self.accounts[account].version += 1;
                Ok(Seen::Ok)
            }
        }
    }

    fn own(&self, ask: &Ask, account: usize) -> Result<(), &'static str> {
        let owner = self.accounts.get(account).ok_or("not-found")?.owner;
        ensure(owner == ask.user || ask.user == OPERATOR, "not-account-owner")
    }

    fn version(&self, ask: &Ask, account: usize) -> Result<(), &'static str> {
        let at = self.accounts[account].version;
        ensure(ask.version.is_none_or(|version| version == at), "version-mismatch")
    }

    fn open(&self, account: usize) -> Result<(), &'static str> {
        match self.accounts[account].status {
            Status::Open => Ok(()),
            Status::Frozen => Err("account-frozen"),
            Status::Closed => Err("account-closed"),
        }
    }

    fn balance(&self, account: usize) -> i128 {
        self.accounts[account].rows.iter().sum()
    }

    fn book(&mut self, account: usize, amount: i128) -> i128 {
        self.accounts[account].rows.push(amount);
        self.accounts[account].version += 1;
        self.balance(account)
    }
}

fn ensure(sound: bool, code: &'static str) -> Result<(), &'static str> {
    if sound { Ok(()) } else { Err(code) }
}

/// What is asked for, without two ways to say it: a receiver without a memo of his own reads the
/// payer's, and a number that was made up was not asked for.
fn essence(what: &What) -> What {
    match what.clone() {
        What::Transfer { from, to, amount, memo, to_memo } => {
            What::Transfer { from, to, amount, memo, to_memo: to_memo.or(Some(memo)) }
        }
        What::Open { owner, currency, made: true, .. } => {
            What::Open { owner, currency, number: 0, made: true }
        }
        other => other,
    }
}

/// The same of a command, as a text.
pub(crate) fn said(command: &Command) -> String {
    match command.clone() {
        Command::Transfer { from, to, amount, memo, to_memo, metadata } => {
            let to_memo = to_memo.or(Some(memo.clone()));
            format!("{:?}", Command::Transfer { from, to, amount, memo, to_memo, metadata })
        }
        Command::Open { owner, currency, bank, number_made: true, .. } => {
            format!("open {owner} {currency} {bank:?}")
        }
        other => format!("{other:?}"),
    }
}
