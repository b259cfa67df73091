//! Folds an event into a book. Nothing may fail here: `decide` has checked everything, and what
//! comes from a disk was checked by its reader.

use crate::{Book, Event};

/// Makes `book` what it is after `event`.
///
/// # Panics
/// If the event does not follow from the book: a bug, or a book and events that do not belong
/// together. Nothing is answered after that.
pub fn apply<B: Book>(book: &mut B, event: &Event) {
    match event {
        Event::Opened(opening) => {
            if let Some(settlement) = &opening.settlement {
                book.insert(settlement.clone());
            }
            book.insert(opening.account.clone());
        }
        Event::Booked(booked) => {
            let transaction = &booked.transaction;
            assert!(transaction.is_balanced(), "entries sum to zero");
            for entry in &transaction.entries {
                let account = book.account_mut(entry.account).expect("decide has seen the account");
                assert_eq!(account.currency(), transaction.currency, "one currency a transaction");
                account.fold(entry, transaction.booked_at);
            }
        }
        Event::StatusChanged(change) => book
            .account_mut(change.account)
            .expect("decide has seen the account")
            .set_status(change.status),
        Event::Refused(_) => {}
    }
    book.note(event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{ALICE, TestLedger, amount, deposit, withdraw};
    use crate::{Balance, Currency, EntryNumber, Transaction};

    /// Applies a second deposit of 5 that `change` has spoilt; it must not go through.
    fn apply_spoilt(change: impl FnOnce(&mut Transaction)) {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        ledger.ok(ALICE, withdraw(a, 1));
        let mut copy = ledger.book.clone();
        let Event::Booked(mut booked) = ledger.ok(ALICE, deposit(a, 5)) else { panic!("booked") };
        change(&mut booked.transaction);
        apply(&mut copy, &Event::Booked(booked));
    }

    #[test]
    fn a_sound_event_is_folded_in() {
        apply_spoilt(|_| {});
    }

    #[test]
    #[should_panic(expected = "entries sum to zero")]
    fn entries_that_do_not_sum_to_zero_are_a_bug() {
        apply_spoilt(|booked| booked.entries[0].amount = amount(6));
    }

    #[test]
    #[should_panic(expected = "entries step by one")]
    fn a_gap_between_entries_is_a_bug() {
        apply_spoilt(|booked| booked.entries[1].number = EntryNumber::after(9));
    }

    #[test]
    #[should_panic(expected = "time strictly increases")]
    fn a_time_that_stands_still_is_a_bug() {
        apply_spoilt(|booked| booked.booked_at = crate::test_ledger::START);
    }

    #[test]
    #[should_panic(expected = "totals step by the amount")]
    fn a_balance_that_does_not_follow_is_a_bug() {
        apply_spoilt(|booked| booked.entries[1].balance = Balance::new(1005));
    }

    #[test]
    #[should_panic(expected = "one currency a transaction")]
    fn a_foreign_currency_is_a_bug() {
        apply_spoilt(|booked| booked.currency = Currency::new("USD").expect("a currency"));
    }
}
