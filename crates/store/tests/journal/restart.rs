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

#[test]
fn a_snapshot_taken_while_the_teller_goes_on_is_led_on_by_the_journal() {
    let mut ledger = Ledger::with_snapshots_every(64 << 10);
    let accounts: Vec<_> = (0..600).map(|_| ledger.open_account(1)).collect();
    let mut rounds = 0;
    // It is handed over commit by commit, and on a busy disk not at every one.
    while rounds < 1500 || !ledger.has_snapshot() {
        let round = rounds;
        rounds += 1;
        let requests = (0..5).map(|nth| {
            let account = accounts[(round * 7 + nth * 131) % accounts.len()];
            (Some(format!("{round}-{nth}")), deposit(account, 1 + nth as i128, ""))
        });
        let requests: Vec<_> = requests.collect();
        let requests = requests
            .into_iter()
            .map(|(key, command)| ledger.request(1, key.as_deref(), command))
            .collect();
        assert!(ledger.perform(requests).iter().all(|answer| answer.outcome.is_ok()));
    }
    let standings = |ledger: &Ledger| -> Vec<_> {
        accounts.iter().map(|id| ledger.reader().account(*id).unwrap().unwrap()).collect()
    };
    let before = standings(&ledger);
    let opening = ledger.crash_and_restart();
    assert!(opening.snapshot.is_some(), "a snapshot was written while the teller went on");
    assert!(opening.recovered.frames > 0, "the journal led it on");
    assert_eq!(standings(&ledger), before);
    for account in [accounts[0], accounts[131], accounts[599]] {
        let count = ledger.reader().account(account).unwrap().unwrap().entry_count();
        assert_eq!(ledger.rows(account, Order::Asc).len() as u64, count);
    }
    let again = ledger.one(1, Some("0-0"), deposit(accounts[0], 1, ""));
    assert!(again.replayed);
    assert_eq!(verify(&ledger.config(), |_| ()).unwrap().summary.transactions, rounds as u64 * 5);
}
