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
