//! What was answered is there after a restart, with a snapshot and without.

use tongjang_core::Rejection;
use tongjang_store::journal::verify::verify;
use tongjang_store::{Order, Reader};

use crate::ledger::{Ledger, deposit, withdraw};

#[test]
fn deposits_are_there_after_a_restart() {
    let mut ledger = Ledger::new();
    let account = ledger.open_account(1);
    for amount in 1..=100 {
        ledger.book(1, deposit(account, amount, "급여")).unwrap();
    }
    let before = ledger.reader().account(account).unwrap().unwrap();
    assert_eq!(before.balance().minor(), 5050);
    for clean in [true, false, true] {
        ledger.restart(clean);
        assert_eq!(ledger.reader().account(account).unwrap().as_ref(), Some(&before));
        let rows = ledger.rows(account, Order::Asc);
        let numbers: Vec<u64> = rows.iter().map(|row| row.entry.number.get()).collect();
        assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row.entry.amount.minor() == row.entry.number.get().into()));
        let verified = verify(&ledger.config(), |_| ()).unwrap();
        assert_eq!(verified.summary.transactions, 100);
    }
}

#[test]
fn a_key_is_answered_the_same_after_a_restart() {
    let mut ledger = Ledger::new();
    let account = ledger.open_account(1);
    let booked = ledger.one(1, Some("k"), deposit(account, 10, ""));
    let refused = ledger.one(1, Some("r"), withdraw(account, 11, ""));
    assert!(matches!(refused.outcome, Err(Rejection::InsufficientFunds { .. })));
    for clean in [true, false] {
        ledger.restart(clean);
        let again = ledger.one(1, Some("k"), deposit(account, 10, ""));
        assert!(again.replayed);
        assert_eq!(again.outcome, booked.outcome);
        let again = ledger.one(1, Some("r"), withdraw(account, 11, ""));
        assert!(again.replayed);
        assert_eq!(again.outcome, refused.outcome);
        let other = ledger.one(1, Some("k"), deposit(account, 9, ""));
        let fields = vec!["amount"];
        assert_eq!(other.outcome, Err(Rejection::IdempotencyKeyReused { fields }));
    }
}
