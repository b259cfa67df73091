//! Opening an account.

use std::sync::Arc;

use super::{key_use, moment};
use crate::{
    AccountId, Book, Command, Event, Opened, Opening, Rejection, Request, Timestamp, UserId,
};

pub(super) fn open<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Open { owner, currency, bank, number, number_made } = &request.command else {
        unreachable!("decide sends only Open here");
    };
    let allowed =
        *owner != UserId::LEDGER && (request.caller.any_account || *owner == request.caller.user);
    if !allowed {
        return Err(Rejection::NotAccountOwner);
    }
    if book.account_by_number(bank, number).is_some() {
        return Err(Rejection::AccountNumberTaken);
    }
    // From here on nothing may fail.
    let opened_at = moment(book, request, &[]);
    let settlement = book.settlement(*currency, *owner);
    let settlement = book
        .account(settlement)
        .is_none()
        .then(|| Arc::new(Opened::settlement(settlement, *currency, opened_at)));
    let account = Opened {
        id: free_id(book, opened_at, request.nonce),
        owner: *owner,
        currency: *currency,
        place: Some((bank.clone(), number.clone())),
        opened_at,
    };
    Ok(Event::Opened(Opening {
        account: Arc::new(account),
        settlement,
        number_made: *number_made,
        key: key_use(request),
    }))
}

/// The id for this time and nonce; should it be taken, the next one.
fn free_id<B: Book>(book: &B, at: Timestamp, nonce: u64) -> AccountId {
    let mut nonce = nonce;
    // The ids of settlement accounts have the time zero.
    let at = at.max(Timestamp::EPOCH.next());
    loop {
        let id = AccountId::new(at, nonce);
        if book.account(id).is_none() {
            return id;
        }
        nonce = nonce.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{ALICE, BOB, START, TestLedger, deposit, open, request};
    use crate::{Caller, Currency, Decision};

    fn opening(decision: Decision) -> Opening {
        match decision {
            Decision::New(Event::Opened(opening)) => opening,
            other => panic!("not opened: {other:?}"),
        }
    }

    #[test]
    fn the_first_account_of_a_currency_brings_its_settlement_account() {
        let mut ledger = TestLedger::default();
        let first = opening(ledger.ask(ALICE, open(ALICE, Currency::KRW, "1")));
        let settlement = first.settlement.expect("opened along");
        assert_eq!(settlement.id, AccountId::settlement(Currency::KRW, 0));
        assert_eq!((settlement.owner, &settlement.place), (UserId::LEDGER, &None));
        assert_eq!(settlement.opened_at, first.account.opened_at);

        let second = opening(ledger.ask(ALICE, open(ALICE, Currency::KRW, "2")));
        assert_eq!(second.settlement, None);
        let dollars = Currency::new("USD").expect("a currency");
        let third = opening(ledger.ask(ALICE, open(ALICE, dollars, "3")));
        assert_eq!(third.settlement.expect("opened along").currency, dollars);
    }

    #[test]
    fn an_id_that_is_taken_is_passed_over() {
        let mut ledger = TestLedger::default();
        let first = opening(ledger.ask(ALICE, open(ALICE, Currency::KRW, "1"))).account.id;
        assert_eq!(free_id(&ledger.book, START, 7), AccountId::new(START, 8));
        assert_eq!(free_id(&ledger.book, START, 6), AccountId::new(START, 6));
        assert_eq!(first, AccountId::new(START, 7));
    }

    #[test]
    fn a_request_at_the_epoch_gets_no_settlement_account_s_id() {
        let mut ledger = TestLedger::default();
        let nonce = u64::from_be_bytes(*b"\0\0\0\0\0KRW");
        let asked = Request { at: Timestamp::EPOCH, nonce, ..request(ALICE, open_won()) };
        let opened = opening(ledger.request(&asked));
        assert_ne!(opened.account.id, AccountId::settlement(Currency::KRW, 0));
        ledger.ok(ALICE, deposit(opened.account.id, 1));
    }

    #[test]
    fn an_account_is_opened_by_its_owner_or_an_operator_and_never_for_the_ledger() {
        let mut ledger = TestLedger::default();
        assert_eq!(ledger.refused(BOB, open_won()), Rejection::NotAccountOwner);
        let operator = Request { caller: Caller::operator(BOB), ..request(BOB, open_won()) };
        assert_eq!(opening(ledger.request(&operator)).account.owner, ALICE);
        let command = open(UserId::LEDGER, Currency::KRW, "2");
        for caller in [Caller::operator(BOB), Caller::owner(UserId::LEDGER)] {
            let asked = Request { caller, ..request(BOB, command.clone()) };
            assert_eq!(ledger.request(&asked), Decision::Refused(Rejection::NotAccountOwner));
        }
    }

    fn open_won() -> Command {
        open(ALICE, Currency::KRW, "1")
    }
}
