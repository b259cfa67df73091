//! A small ledger for the unit tests: it decides and applies, and keeps what happened.

use crate::apply::apply;
use crate::{
    Account, AccountId, AccountNumber, Amount, Bank, Book, Caller, Command, Currency, Decision,
    Event, Fingerprint, IdempotencyKey, Memo, MemoryBook, Metadata, Rejection, Request, Timestamp,
    UserId, decide,
};

pub(crate) const ALICE: UserId = UserId::from_bits(1);
pub(crate) const BOB: UserId = UserId::from_bits(2);

/// 2026-11-22T00:00:00Z, when every test begins.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_795_305_600_000_000);

#[derive(Default)]
pub(crate) struct TestLedger {
    pub(crate) book: MemoryBook,
    pub(crate) events: Vec<Event>,
}

impl TestLedger {
    /// Alice's account and Bob's, both in KRW, and 1000 on Alice's.
    pub(crate) fn with_two_accounts() -> (Self, AccountId, AccountId) {
        let mut ledger = Self::default();
        let a = ledger.open(ALICE, Currency::KRW, "110-1");
        let b = ledger.open(BOB, Currency::KRW, "110-2");
        ledger.ok(ALICE, deposit(a, 1000));
        (ledger, a, b)
    }

    pub(crate) fn open(&mut self, owner: UserId, currency: Currency, number: &str) -> AccountId {
        match self.ok(owner, open(owner, currency, number)) {
            Event::Opened(opening) => opening.account.id,
            other => panic!("opened {other:?}"),
        }
    }

    /// What comes of `command` by `user`; what is new is applied.
    pub(crate) fn ask(&mut self, user: UserId, command: Command) -> Decision {
        self.request(&request(user, command))
    }

    pub(crate) fn request(&mut self, request: &Request) -> Decision {
        let Ok(decision) = decide(&self.book, request);
        if let Decision::New(event) = &decision {
            apply(&mut self.book, event);
            self.events.push(event.clone());
        }
        decision
    }

    pub(crate) fn ok(&mut self, user: UserId, command: Command) -> Event {
        match self.ask(user, command) {
            Decision::New(event) => event,
            other => panic!("expected an event, got {other:?}"),
        }
    }

    pub(crate) fn refused(&mut self, user: UserId, command: Command) -> Rejection {
        match self.ask(user, command) {
            Decision::Refused(rejection) => rejection,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    pub(crate) fn account(&self, id: AccountId) -> &Account {
        self.book.account(id).expect("the test has opened it")
    }

    /// The account itself, to put it where no sequence of commands would bring it.
    pub(crate) fn book_account(&mut self, id: AccountId) -> &mut Account {
        self.book.account_mut(id).expect("the test has opened it")
    }

    pub(crate) fn balance(&self, id: AccountId) -> i128 {
        self.account(id).balance().minor()
    }
}

/// A request at the start; the nonce is always the same, so ids differ by their time alone.
pub(crate) fn request(user: UserId, command: Command) -> Request {
    Request {
        caller: Caller::owner(user),
        at: START,
        nonce: 7,
        key: None,
        expected_version: None,
        command,
    }
}

pub(crate) fn keyed(user: UserId, key: &str, command: Command) -> Request {
    let key = IdempotencyKey::new(key).expect("a sound key");
    let fingerprint = Fingerprint::of(&command);
    Request { key: Some((key, fingerprint)), ..request(user, command) }
}

pub(crate) fn open(owner: UserId, currency: Currency, number: &str) -> Command {
    Command::Open {
        owner,
        currency,
        bank: Bank::new("088").expect("a bank"),
        number: AccountNumber::new(number).expect("a number"),
        number_made: false,
    }
}

pub(crate) fn amount(minor: i128) -> Amount {
    Amount::new(minor).expect("an amount")
}

pub(crate) fn memo(text: &str) -> Memo {
    Memo::new(text).expect("a memo")
}

pub(crate) fn deposit(account: AccountId, minor: i128) -> Command {
    Command::Deposit {
        account,
        amount: amount(minor),
        memo: memo("급여"),
        metadata: Metadata::EMPTY,
    }
}

pub(crate) fn withdraw(account: AccountId, minor: i128) -> Command {
    Command::Withdraw {
        account,
        amount: amount(minor),
        memo: Memo::EMPTY,
        metadata: Metadata::EMPTY,
    }
}

pub(crate) fn transfer(from: AccountId, to: AccountId, minor: i128) -> Command {
    Command::Transfer {
        from,
        to,
        amount: amount(minor),
        memo: memo("월세"),
        to_memo: None,
        metadata: Metadata::EMPTY,
    }
}
