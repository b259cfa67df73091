//! The desk in front of a ledger that takes the core's requests: it gives names their ids and
//! settles what is not deterministic, as the server does, but always in the same way.

use tongjang_core::{
    Account, AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Direction, Entry,
    Event, Fingerprint, IdempotencyKey, Memo, Metadata, Rejection, Request, Timestamp, UserId,
};

use crate::{Action, Ask, HistoryRow, Money, Observed, Outcome, Step};

/// The user that acts for every account.
const OPERATOR: &str = "operator";

/// What stands behind the desk: a ledger that takes the core's requests.
pub trait Books {
    /// What comes of a request, and whether its key already stood for that.
    fn ask(&mut self, request: Request) -> (Result<Event, Rejection>, bool);

    /// The account, if there is one.
    fn account(&self, id: AccountId) -> Option<Account>;

    /// Its entries with their times, oldest first.
    fn entries(&self, id: AccountId) -> Vec<(Timestamp, Entry)>;

    /// The whole ledger in a currency, as [`Observed::Ledger`].
    fn ledger(&self, currency: Currency) -> Observed;
}

/// Turns a script's requests into the core's, and remembers which account has which name.
#[derive(Clone, Debug)]
pub struct Desk {
    /// When the next request comes in.
    pub at: Timestamp,
    nonce: u64,
    accounts: Vec<(String, AccountId)>,
}

impl Default for Desk {
    fn default() -> Self {
        // 2026-01-01T00:00:00Z, until a script says otherwise.
        Self { at: Timestamp::from_micros(1_767_225_600_000_000), nonce: 0, accounts: Vec::new() }
    }
}

impl Desk {
    /// Does a step on `books`.
    pub fn perform(&mut self, step: &Step, books: &mut impl Books) -> Observed {
        match step {
            Step::At(time) => {
                self.at = *time;
                Observed::Done
            }
            Step::Ask(ask) => Observed::Outcome(match self.request(ask) {
                Err(outcome) => outcome,
                Ok(request) => {
                    let (outcome, replayed) = books.ask(request);
                    self.outcome(ask, &outcome, replayed)
                }
            }),
            Step::Account(name) => match books.account(self.account(name)) {
                None => Observed::Broken(format!("no account was opened as {name}")),
                Some(account) => Observed::Account {
                    balance: account.balance().minor(),
                    entries: account.entry_count(),
                    status: account.status(),
                    version: account.version(),
                },
            },
            Step::History(name) => {
                let entries = books.entries(self.account(name)).into_iter();
                Observed::History(entries.map(|(at, entry)| self.row(at, &entry)).collect())
            }
            Step::Ledger(currency) => books.ledger(*currency),
        }
    }

    fn row(&self, booked_at: Timestamp, entry: &Entry) -> HistoryRow {
        HistoryRow {
            number: entry.number.get(),
            amount: match entry.direction {
                Direction::Credit => entry.amount.minor(),
                Direction::Debit => -entry.amount.minor(),
            },
            balance: entry.balance.minor(),
            memo: entry.memo.as_str().into(),
            counterparty: entry.counterparty.map(|other| self.name(other)),
            booked_at,
        }
    }

    /// The core's request, or how the server would refuse it before it came to the core.
    fn request(&mut self, ask: &Ask) -> Result<Request, Outcome> {
        self.nonce += 1;
        let command = self.command(ask)?;
        let key = match &ask.key {
            None => None,
            Some(key) => {
                let refused = || Outcome::refused("invalid-idempotency-key");
                let key = IdempotencyKey::new(key).ok_or_else(refused)?;
                Some((key, Fingerprint::of(&command)))
            }
        };
        let any_account = ask.caller == OPERATOR;
        Ok(Request {
            caller: Caller { user: user(&ask.caller), any_account },
            at: self.at,
            nonce: self.nonce,
            key,
            expected_version: ask.version,
            command,
        })
    }

    /// What came of `ask`; takes note of an account that was opened.
    fn outcome(
        &mut self,
        ask: &Ask,
        outcome: &Result<Event, Rejection>,
        replayed: bool,
    ) -> Outcome {
        let event = match outcome {
            Ok(event) => event,
            Err(rejection) => return Outcome::rejected(rejection, replayed),
        };
        if let (Event::Opened(opening), Action::Open { name, .. }) = (event, &ask.action) {
            self.accounts.push((name.clone(), opening.account.id));
        }
        Outcome::of(event, self.account(ask.action.subject()), replayed)
    }

    /// The account of this name; one that does not exist if none was opened under it.
    fn account(&self, name: &str) -> AccountId {
        let known = self.accounts.iter().find(|(known, _)| known == name);
        known.map_or_else(|| AccountId::from_bits(bits(name)), |(_, id)| *id)
    }

    /// The name of this account; its id if it has none.
    fn name(&self, account: AccountId) -> String {
        let known = self.accounts.iter().find(|(_, id)| *id == account);
        known.map_or_else(|| account.to_string(), |(name, _)| name.clone())
    }

    fn command(&self, ask: &Ask) -> Result<Command, Outcome> {
        let invalid = || Outcome::refused("invalid-request");
        Ok(match &ask.action {
            Action::Open { owner, currency, bank, number, .. } => Command::Open {
                owner: user(owner.as_ref().unwrap_or(&ask.caller)),
                currency: Currency::new(currency).ok_or_else(invalid)?,
                bank: Bank::new(bank).map_err(|_| invalid())?,
                number: match number {
                    Some(number) => AccountNumber::new(number),
                    None => AccountNumber::new(&format!("9-{}", self.nonce)),
                }
                .map_err(|_| invalid())?,
                number_made: number.is_none(),
            },
            Action::Deposit { account, money } => {
                let (amount, memo, metadata) = checked(money)?;
                Command::Deposit { account: self.account(account), amount, memo, metadata }
            }
            Action::Withdraw { account, money } => {
                let (amount, memo, metadata) = checked(money)?;
                Command::Withdraw { account: self.account(account), amount, memo, metadata }
            }
            Action::Transfer { from, to, money, to_memo } => {
                let (amount, memo, metadata) = checked(money)?;
                let to_memo = to_memo.as_deref().map(Memo::new).transpose();
                let to_memo = to_memo.map_err(|_| invalid())?;
                let (from, to) = (self.account(from), self.account(to));
                Command::Transfer { from, to, amount, memo, to_memo, metadata }
            }
            Action::ChangeStatus { account, status } => {
                Command::ChangeStatus { account: self.account(account), status: *status }
            }
        })
    }
}

fn checked(money: &Money) -> Result<(Amount, Memo, Metadata), Outcome> {
    let invalid = || Outcome::refused("invalid-request");
    let amount = Amount::new(money.amount).ok_or_else(|| Outcome::refused("invalid-amount"))?;
    let memo = Memo::new(&money.memo).map_err(|_| invalid())?;
    let pairs =
        money.metadata.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
    let metadata = Metadata::new(pairs.collect()).map_err(|_| invalid())?;
    Ok((amount, memo, metadata))
}

fn user(name: &str) -> UserId {
    UserId::from_bits(bits(name))
}

/// A name's first 16 bytes as a number, which no id that the core makes can equal.
fn bits(name: &str) -> u128 {
    name.bytes().take(16).fold(0, |bits, letter| (bits << 8) | u128::from(letter))
}
