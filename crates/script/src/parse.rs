//! Reads a script. `testdata/README.md` describes the rows for those who write them.

use std::fmt;
use std::path::{Path, PathBuf};

use tongjang_core::{Currency, Status, Timestamp};

use crate::tokens::{Token, tokens};
use crate::{Action, Ask, Expected, HistoryRow, Money, Outcome, Step, Target, instant};

/// A script: where it stands, on what it runs, and its rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// The file.
    pub file: PathBuf,
    /// On what it runs.
    pub targets: Vec<Target>,
    /// What it does, in order.
    pub rows: Vec<Row>,
}

/// A row of a script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Where it stands, from 1.
    pub line: usize,
    /// As it is written.
    pub text: String,
    /// What is done.
    pub step: Step,
    /// What must come of it.
    pub expected: Expected,
}

/// A row that cannot be read, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAScript {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for NotAScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.why)
    }
}

impl std::error::Error for NotAScript {}

impl Script {
    /// Reads the script `text` of the file `file`.
    ///
    /// # Errors
    /// The first row that is none.
    pub fn parse(file: &Path, text: &str) -> Result<Self, NotAScript> {
        let mut script = Self { file: file.into(), targets: Target::ALL.into(), rows: Vec::new() };
        for (line, text) in (1..).zip(text.lines()) {
            let failed = |why| NotAScript { file: file.into(), line, why };
            let mut words = Words { rest: tokens(text).map_err(failed)?.into_iter() };
            if words.rest.len() == 0 {
                continue;
            }
            if words.take("targets:") {
                script.targets = words.targets().map_err(failed)?;
                continue;
            }
            let (step, expected) = words.row().map_err(failed)?;
            if let Some(token) = words.rest.next() {
                return Err(failed(format!("{token:?} is one too many")));
            }
            script.rows.push(Row { line, text: text.trim().into(), step, expected });
        }
        Ok(script)
    }
}

/// What is left of a row.
struct Words {
    rest: std::vec::IntoIter<Token>,
}

impl Words {
    fn peek(&self) -> Option<&str> {
        match self.rest.as_slice().first() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, word: &str) -> bool {
        let is = self.peek() == Some(word);
        if is {
            self.rest.next();
        }
        is
    }

    fn need(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(format!("{word:?} is missing")) }
    }

    fn word(&mut self, what: &str) -> Result<String, String> {
        match self.rest.next() {
            Some(Token::Word(word)) => Ok(word),
            _ => Err(format!("{what} is missing")),
        }
    }

    fn text(&mut self, what: &str) -> Result<String, String> {
        match self.rest.next() {
            Some(Token::Text(text)) => Ok(text),
            _ => Err(format!("{what} in quotation marks is missing")),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.word(what)?;
        word.parse().map_err(|_| format!("{word:?} is no {what}"))
    }

    fn time(&mut self) -> Result<Timestamp, String> {
        let word = self.word("a time")?;
        instant(&word).ok_or_else(|| format!("{word:?} is no time"))
    }

    fn targets(&mut self) -> Result<Vec<Target>, String> {
        let mut targets = Vec::new();
        while let Some(name) = self.peek() {
            let known = Target::ALL.into_iter().find(|target| target.as_str() == name);
            targets.push(known.ok_or_else(|| format!("{name:?} is no target"))?);
            self.rest.next();
        }
        if targets.is_empty() { Err("no target is named".into()) } else { Ok(targets) }
    }

    fn row(&mut self) -> Result<(Step, Expected), String> {
        match self.word("the first word")?.as_str() {
            "at" => Ok((Step::At(self.time()?), Expected::Done)),
            "history" => {
                self.need("of")?;
                let account = self.word("an account")?;
                self.need("=>")?;
                Ok((Step::History(account), Expected::History(self.list(Self::entry)?)))
            }
            "times" => {
                self.need("of")?;
                let account = self.word("an account")?;
                self.need("=>")?;
                Ok((Step::History(account), Expected::Times(self.list(Self::time)?)))
            }
            "ledger" => self.ledger(),
            name => match self.peek() {
                Some("has" | "is") => Ok((Step::Account(name.into()), self.account()?)),
                _ => {
                    let ask = self.ask(name.into())?;
                    self.need("=>")?;
                    Ok((Step::Ask(ask), Expected::Outcome(self.outcome()?)))
                }
            },
        }
    }

    /// Nothing (`none`), or things with `|` between them.
    fn list<T>(&mut self, one: fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut list = Vec::new();
        if self.take("none") {
            return Ok(list);
        }
        list.push(one(self)?);
        while self.take("|") {
            list.push(one(self)?);
        }
        Ok(list)
    }

    /// `+1000 1000 "memo" from B`
    fn entry(&mut self) -> Result<HistoryRow, String> {
        let amount: i128 = self.number("signed amount")?;
        let balance = self.number("balance")?;
        let memo = self.text("the memo")?;
        let side = if amount < 0 { "to" } else { "from" };
        let counterparty = self.take(side).then(|| self.word("the other account")).transpose()?;
        // Number and time are compared by their order only.
        let (number, booked_at) = (0, Timestamp::EPOCH);
        Ok(HistoryRow { number, amount, balance, memo, counterparty, booked_at })
    }

    /// `has balance 700 in 3 entries`, `is frozen`, `is at version 3`
    fn account(&mut self) -> Result<Expected, String> {
        let (mut balance, mut status, mut version) = (None, None, None);
        if self.take("has") {
            self.need("balance")?;
            let amount = self.number("balance")?;
            self.need("in")?;
            balance = Some((amount, self.number("count")?));
            if !self.take("entry") {
                self.need("entries")?;
            }
        } else if self.take("is") && self.take("at") {
            self.need("version")?;
            version = Some(self.number("version")?);
        } else {
            let word = self.word("a status")?;
            let all = [Status::Open, Status::Frozen, Status::Closed];
            let known = all.into_iter().find(|status| status.as_str() == word);
            status = Some(known.ok_or_else(|| format!("{word:?} is no status"))?);
        }
        Ok(Expected::Account { balance, status, version })
    }

    /// `KRW sums to zero`, `KRW holds 700 in 2 accounts after 3 transactions`
    fn ledger(&mut self) -> Result<(Step, Expected), String> {
        let code = self.word("a currency")?;
        let currency = Currency::new(&code).ok_or_else(|| format!("{code:?} is no currency"))?;
        let mut holds = None;
        if self.take("holds") {
            let sum = self.number("sum")?;
            self.need("in")?;
            let accounts = self.number("count")?;
            self.need("accounts")?;
            self.need("after")?;
            holds = Some((sum, accounts, self.number("count")?));
            self.need("transactions")?;
        } else {
            self.need("sums")?;
            self.need("to")?;
            self.need("zero")?;
        }
        Ok((Step::Ledger(currency), Expected::Ledger { holds }))
    }

    fn ask(&mut self, caller: String) -> Result<Ask, String> {
        let mut action = match self.word("a verb")?.as_str() {
            "opens" => self.open()?,
            "deposits" => {
                let money = self.money()?;
                self.need("to")?;
                Action::Deposit { account: self.word("an account")?, money }
            }
            "withdraws" => {
                let money = self.money()?;
                self.need("from")?;
                Action::Withdraw { account: self.word("an account")?, money }
            }
            "transfers" => {
                let money = self.money()?;
                self.need("from")?;
                let from = self.word("an account")?;
                self.need("to")?;
                Action::Transfer { from, to: self.word("an account")?, money, to_memo: None }
            }
            "freezes" => self.change(Status::Frozen)?,
            "reopens" => self.change(Status::Open)?,
            "closes" => self.change(Status::Closed)?,
            verb => return Err(format!("{verb:?} is no verb")),
        };
        let (mut key, mut version) = (None, None);
        while let Some(word) = self.peek().filter(|word| *word != "=>") {
            match word.to_owned().as_str() {
                "key" => {
                    self.rest.next();
                    key = Some(self.word("the key")?);
                }
                "if" => {
                    self.rest.next();
                    self.need("version")?;
                    version = Some(self.number("version")?);
                }
                _ => self.remark(&mut action)?,
            }
        }
        Ok(Ask { caller, action, key, version })
    }

    fn change(&mut self, status: Status) -> Result<Action, String> {
        Ok(Action::ChangeStatus { account: self.word("an account")?, status })
    }

    /// `A for bob in KRW at 088 number 110-1`
    fn open(&mut self) -> Result<Action, String> {
        let name = self.word("the account's name")?;
        let owner = self.take("for").then(|| self.word("the owner")).transpose()?;
        self.need("in")?;
        let currency = self.word("a currency")?;
        self.need("at")?;
        let bank = match self.rest.next() {
            Some(Token::Word(bank) | Token::Text(bank)) => bank,
            None => return Err("the bank is missing".into()),
        };
        let number = self.take("number").then(|| self.word("the number")).transpose()?;
        Ok(Action::Open { name, owner, currency, bank, number })
    }

    fn money(&mut self) -> Result<Money, String> {
        Ok(Money { amount: self.number("amount")?, ..Money::default() })
    }

    /// `memo "급여"`, `to-memo "from Alice"`, `metadata order=9`
    fn remark(&mut self, action: &mut Action) -> Result<(), String> {
        let word = self.word("a word")?;
        let wrong = format!("{word:?} does not belong here");
        let (money, other) = match action {
            Action::Deposit { money, .. } | Action::Withdraw { money, .. } => (money, None),
            Action::Transfer { money, to_memo, .. } => (money, Some(to_memo)),
            Action::Open { .. } | Action::ChangeStatus { .. } => return Err(wrong),
        };
        match (word.as_str(), other) {
            ("memo", _) => money.memo = self.text("the memo")?,
            ("to-memo", Some(to_memo)) => *to_memo = Some(self.text("the memo")?),
            ("metadata", _) => {
                let pair = self.word("a pair")?;
                let (key, value) = pair.split_once('=').ok_or("a pair is written key=value")?;
                money.metadata.push((key.into(), value.into()));
            }
            _ => return Err(wrong),
        }
        Ok(())
    }

    /// `ok`, `booked, balance 5`, `insufficient-funds available 5`, each also after `replayed,`
    fn outcome(&mut self) -> Result<Outcome, String> {
        let replayed = self.take("replayed");
        if self.take("ok") {
            return Ok(Outcome::Ok { replayed });
        }
        if replayed || self.take("booked") {
            if self.take("balance") {
                return Ok(Outcome::Booked { balance: self.number("balance")?, replayed });
            }
            if !replayed {
                return Err("\"balance\" is missing".into());
            }
        }
        let code = self.word("the outcome")?;
        let (mut available, mut fields) = (None, Vec::new());
        while self.peek().is_some() {
            if self.take("available") {
                available = Some(self.number("amount")?);
            } else {
                fields.push(self.word("a field")?);
            }
        }
        Ok(Outcome::Refused { code, available, fields, replayed })
    }
}
