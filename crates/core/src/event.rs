//! What happened: the outcome of a command, which is what a store keeps.
//!
//! An event holds every figure that it leads to, so nothing has to be decided again when it is
//! read back, and a later change of the rules changes no history.

use std::sync::Arc;

use crate::{
    AccountId, Command, Direction, KeyUse, Kind, Opened, Rejection, Status, Timestamp, Transaction,
};

/// A fact of the ledger. Events are numbered in the order in which they were decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An account was opened.
    Opened(Opening),
    /// A transaction was booked.
    Booked(Booked),
    /// A request with a key was refused; the key stands for that refusal from now on.
    Refused(Refused),
    /// An account was frozen, opened again or closed.
    StatusChanged(StatusChanged),
}

/// An account was opened, and with the first of its currency the settlement account too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The account.
    pub account: Arc<Opened>,
    /// The currency's settlement account, if it was opened along with this one.
    pub settlement: Option<Arc<Opened>>,
    /// Whether the server made the account's number up.
    pub number_made: bool,
    /// The key under which it was asked for.
    pub key: Option<KeyUse>,
}

/// A transaction was booked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Booked {
    /// The transaction.
    pub transaction: Transaction,
    /// The key under which it was asked for.
    pub key: Option<KeyUse>,
}

/// A request with a key was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub rejection: Rejection,
    /// What was asked for.
    pub command: Command,
    /// The key under which it was asked for.
    pub key: KeyUse,
    /// When.
    pub at: Timestamp,
}

/// An account's status changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StatusChanged {
    /// The account.
    pub account: AccountId,
    /// What it is now.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// The key under which it was asked for.
    pub key: Option<KeyUse>,
}

impl Event {
    /// The key under which it was asked for.
    pub fn key(&self) -> Option<&KeyUse> {
        match self {
            Self::Opened(event) => event.key.as_ref(),
            Self::Booked(event) => event.key.as_ref(),
            Self::Refused(event) => Some(&event.key),
            Self::StatusChanged(event) => event.key.as_ref(),
        }
    }

    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Opened(event) => event.account.opened_at,
            Self::Booked(event) => event.transaction.booked_at,
            Self::Refused(event) => event.at,
            Self::StatusChanged(event) => event.at,
        }
    }

    /// The command that led to it, or `None` for a kind of transaction that no command makes.
    pub fn command(&self) -> Option<Command> {
        match self {
            Self::Refused(event) => Some(event.command.clone()),
            Self::StatusChanged(event) => {
                Some(Command::ChangeStatus { account: event.account, status: event.status })
            }
            Self::Opened(event) => {
                let (bank, number) = event.account.place.clone()?;
                Some(Command::Open {
                    owner: event.account.owner,
                    currency: event.account.currency,
                    bank,
                    number,
                    number_made: event.number_made,
                })
            }
            Self::Booked(event) => command_of(&event.transaction),
        }
    }
}

fn command_of(booked: &Transaction) -> Option<Command> {
    let on = |side| booked.entries.iter().find(|entry| entry.direction == side);
    let (debit, credit) = (on(Direction::Debit)?, on(Direction::Credit)?);
    let (amount, memo, metadata) = (booked.amount, booked.memo.clone(), booked.metadata.clone());
    match booked.kind {
        Kind::Deposit => Some(Command::Deposit { account: credit.account, amount, memo, metadata }),
        Kind::Withdrawal => {
            Some(Command::Withdraw { account: debit.account, amount, memo, metadata })
        }
        Kind::Transfer => Some(Command::Transfer {
            from: debit.account,
            to: credit.account,
            amount,
            memo,
            to_memo: Some(credit.memo.clone()),
            metadata,
        }),
        Kind::Capture | Kind::Reversal | Kind::Adjustment => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{
        ALICE, TestLedger, amount, deposit, keyed, memo, open, transfer, withdraw,
    };
    use crate::{Currency, Fingerprint, Metadata};

    #[test]
    fn an_event_gives_back_the_command_that_led_to_it() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        let pairs = vec![("order".into(), "9".into()), ("channel".into(), "app".into())];
        let two_memos = Command::Transfer {
            from: a,
            to: b,
            amount: amount(3),
            memo: memo("월세"),
            to_memo: Some(memo("11월")),
            metadata: Metadata::new(pairs).expect("metadata"),
        };
        let commands = [
            open(ALICE, Currency::KRW, "110-3"),
            deposit(a, 5),
            withdraw(a, 4),
            transfer(a, b, 3),
            two_memos,
            withdraw(a, 9999),
            Command::ChangeStatus { account: a, status: Status::Frozen },
        ];
        for (number, command) in commands.into_iter().enumerate() {
            let asked = keyed(ALICE, &format!("k{number}"), command.clone());
            ledger.request(&asked);
            let event = ledger.events.last().expect("an event");
            let back = event.command().expect("every command today");
            assert_eq!(back.differing_fields(&command), Vec::<&str>::new());
            assert_eq!(Fingerprint::of(&back), Fingerprint::of(&command));
            assert_eq!(event.key().map(|used| used.key.clone()), asked.key.map(|(key, _)| key));
        }
    }

    #[test]
    fn a_number_that_the_server_made_is_no_part_of_the_command() {
        let mut ledger = TestLedger::default();
        let made = |text: &str| match open(ALICE, Currency::KRW, text) {
            Command::Open { owner, currency, bank, number, .. } => {
                Command::Open { owner, currency, bank, number, number_made: true }
            }
            other => other,
        };
        let event = ledger.ok(ALICE, made("1"));
        let back = event.command().expect("an opening");
        assert_eq!(Fingerprint::of(&back), Fingerprint::of(&made("2")));
        assert_eq!(back.differing_fields(&made("2")), Vec::<&str>::new());
        let named = open(ALICE, Currency::KRW, "1");
        assert_ne!(Fingerprint::of(&back), Fingerprint::of(&named));
        assert_eq!(back.differing_fields(&named), ["number"]);
    }
}
