//! A trial: several requests that shall be booked together or not at all are decided against an
//! overlay over the book, so that nothing ever has to be taken back.

use std::collections::HashMap;
use std::sync::Arc;

use crate::apply::apply;
use crate::{
    Account, AccountId, AccountNumber, Bank, Book, Currency, Decision, Event, IdempotencyKey,
    Opened, Rejection, Request, Timestamp, UserId, decide,
};

/// What requests lead to that are booked together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All of them succeed. The new events are to be applied in their order, all of them.
    All(Vec<Tried>),
    /// One is refused, so nothing is booked and nothing is kept under any key.
    None {
        /// The index of the first request that is refused.
        at: usize,
        /// Why.
        rejection: Rejection,
        /// Whether its key already stood for that refusal.
        replayed: bool,
    },
}

/// What one of them leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// The event.
    pub event: Event,
    /// Whether the request's key already stood for it, so that it is not to be applied.
    pub replayed: bool,
}

/// Decides `requests` one after another, each seeing what those before it would do. `book` is only
/// looked at.
///
/// # Errors
/// Only what [`Book::answered`] could not look up.
pub fn decide_together<B: Book>(book: &B, requests: &[Request]) -> Result<Verdict, B::Error> {
    let mut trial = Trial::over(book);
    let mut tried = Vec::with_capacity(requests.len());
    for (at, request) in requests.iter().enumerate() {
        let (event, replayed) = match decide(&trial, request)? {
            Decision::New(event) => (event, false),
            Decision::Replayed(event) => (event, true),
            Decision::Refused(rejection) => {
                return Ok(Verdict::None { at, rejection, replayed: false });
            }
        };
        if let Event::Refused(refused) = event {
            return Ok(Verdict::None { at, rejection: refused.rejection, replayed });
        }
        if !replayed {
            apply(&mut trial, &event);
        }
        tried.push(Tried { event, replayed });
    }
    Ok(Verdict::All(tried))
}

/// A book on which a trial writes: it keeps what is new and looks everything else up below.
struct Trial<'a, B> {
    below: &'a B,
    accounts: HashMap<AccountId, Account>,
    numbers: HashMap<(Bank, String), AccountId>,
    answers: HashMap<(UserId, IdempotencyKey), Event>,
    earliest: Timestamp,
}

impl<'a, B: Book> Trial<'a, B> {
    fn over(below: &'a B) -> Self {
        Self {
            below,
            accounts: HashMap::new(),
            numbers: HashMap::new(),
            answers: HashMap::new(),
            earliest: below.earliest(),
        }
    }
}

impl<B: Book> Book for Trial<'_, B> {
    type Error = B::Error;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).or_else(|| self.below.account(id))
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        if !self.accounts.contains_key(&id) {
            let copy = self.below.account(id)?.clone();
            self.accounts.insert(id, copy);
        }
        self.accounts.get_mut(&id)
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        assert!(self.account(opened.id).is_none(), "an account is opened once");
        if let Some((bank, number)) = &opened.place {
            self.numbers.insert((bank.clone(), number.bare()), opened.id);
        }
        self.accounts.insert(opened.id, Account::open(opened));
    }

    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId> {
        let new = self.numbers.get(&(bank.clone(), number.bare())).copied();
        new.or_else(|| self.below.account_by_number(bank, number))
    }

    fn settlement(&self, currency: Currency, owner: UserId) -> AccountId {
        self.below.settlement(currency, owner)
    }

    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, B::Error> {
        if let Some(event) = self.answers.get(&(scope, key.clone())) {
            return Ok(Some(event.clone()));
        }
        self.below.answered(scope, key)
    }

    fn earliest(&self) -> Timestamp {
        self.earliest
    }

    fn note(&mut self, event: &Event) {
        self.earliest = self.earliest.max(event.at().next());
        if let Some(used) = event.key() {
            self.answers.insert((used.scope, used.key.clone()), event.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{
        ALICE, BOB, TestLedger, deposit, keyed, open, request, transfer, withdraw,
    };

    fn verdict(ledger: &TestLedger, requests: &[Request]) -> Verdict {
        let Ok(verdict) = decide_together(&ledger.book, requests);
        verdict
    }

    #[test]
    fn a_later_request_sees_what_an_earlier_one_would_do_and_the_book_does_not() {
        let (ledger, a, b) = TestLedger::with_two_accounts();
        let asked = [
            request(ALICE, transfer(a, b, 700)),
            request(BOB, transfer(b, a, 600)),
            request(ALICE, withdraw(a, 900)),
        ];
        let Verdict::All(tried) = verdict(&ledger, &asked) else { panic!("all succeed") };
        assert!(tried.iter().all(|tried| !tried.replayed));
        assert!(tried.is_sorted_by_key(|tried| tried.event.at()));
        assert_eq!((ledger.balance(a), ledger.balance(b)), (1000, 0));
        // Applied one after another they lead to what was tried.
        let mut applied = ledger.book.clone();
        tried.iter().for_each(|tried| apply(&mut applied, &tried.event));
        assert_eq!(applied.account(a).map(|a| a.balance().minor()), Some(0));
    }

    #[test]
    fn the_first_refusal_is_told_and_kept_under_no_key() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        let asked = [
            keyed(ALICE, "one", transfer(a, b, 600)),
            keyed(ALICE, "two", withdraw(a, 600)),
            keyed(ALICE, "three", withdraw(a, 9999)),
        ];
        let Verdict::None { at: 1, rejection, replayed: false } = verdict(&ledger, &asked) else {
            panic!("the second is refused");
        };
        assert_eq!(rejection.code(), "insufficient-funds");
        for asked in &asked[..2] {
            assert!(matches!(ledger.request(asked), Decision::New(_)), "{asked:?}");
        }
    }

    #[test]
    fn a_key_used_twice_is_replayed_if_it_asks_for_the_same() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        ledger.request(&keyed(ALICE, "before", deposit(a, 5)));
        let same = [
            keyed(ALICE, "before", deposit(a, 5)),
            keyed(ALICE, "now", deposit(a, 6)),
            keyed(ALICE, "now", deposit(a, 6)),
        ];
        let Verdict::All(tried) = verdict(&ledger, &same) else { panic!("all succeed") };
        let replayed: Vec<bool> = tried.iter().map(|tried| tried.replayed).collect();
        assert_eq!(replayed, [true, false, true]);
        assert_eq!(tried[1].event, tried[2].event);

        let other = [keyed(ALICE, "now", deposit(a, 6)), keyed(ALICE, "now", deposit(a, 7))];
        let Verdict::None { at: 1, rejection, .. } = verdict(&ledger, &other) else {
            panic!("the second uses the first one's key");
        };
        assert_eq!(rejection, Rejection::IdempotencyKeyReused { fields: vec!["amount"] });
    }

    #[test]
    fn a_refusal_that_a_key_stands_for_already_is_one_here_too() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        let refused = keyed(ALICE, "k", withdraw(a, 9999));
        ledger.request(&refused);
        let asked = [request(ALICE, deposit(a, 1)), refused];
        let Verdict::None { at: 1, replayed: true, .. } = verdict(&ledger, &asked) else {
            panic!("it is refused again");
        };
    }

    #[test]
    fn accounts_and_numbers_of_a_trial_are_known_to_it() {
        let (ledger, ..) = TestLedger::with_two_accounts();
        let usd = Currency::new("USD").expect("a currency");
        let asked = [request(ALICE, open(ALICE, usd, "7")), request(ALICE, open(ALICE, usd, "8"))];
        let Verdict::All(tried) = verdict(&ledger, &asked) else { panic!("all succeed") };
        let settlements = tried.iter().filter(
            |tried| matches!(&tried.event, Event::Opened(opening) if opening.settlement.is_some()),
        );
        assert_eq!(settlements.count(), 1, "the settlement account comes with the first one");

        let twice = [request(ALICE, open(ALICE, usd, "7")), request(ALICE, open(ALICE, usd, "7"))];
        let taken = Rejection::AccountNumberTaken;
        let expected = Verdict::None { at: 1, rejection: taken, replayed: false };
        assert_eq!(verdict(&ledger, &twice), expected);
    }
}
