//! Every event in order, read beside the teller; and a rehearsal, which leaves no trace.

use tongjang_core::{Event, Rejection};
use tongjang_store::journal::{Rehearsal, chronicle};
use tongjang_store::teller::answer;
use tongjang_store::{Store, StoreError};

use crate::ledger::{Ledger, deposit, withdraw};

fn events(ledger: &Ledger) -> Result<Vec<Event>, StoreError> {
    let mut all = Vec::new();
    chronicle::events(&ledger.config(), |event| {
        all.push(event.clone());
        Ok::<_, StoreError>(())
    })?;
    Ok(all)
}

#[test]
fn all_events_come_in_their_order_while_the_teller_goes_on() {
    let mut ledger = Ledger::with_segments(64 << 10);
    let account = ledger.open_account(1);
    let mut expected = Vec::new();
    for amount in 1..=1_500 {
        let answer = ledger.one(1, None, deposit(account, amount, "급여"));
        expected.push(answer.outcome.unwrap());
    }
    let refused = ledger.one(1, Some("r"), withdraw(account, i128::from(u64::MAX), ""));
    assert!(refused.outcome.is_err());
    let all = events(&ledger).unwrap();
    assert!(matches!(all.first(), Some(Event::Opened(opening)) if opening.account.id == account));
    assert_eq!(&all[1..=1_500], expected);
    assert!(matches!(&all[1_501..], [Event::Refused(_)]));
    let segments = std::fs::read_dir(ledger.config().dir.join("journal")).unwrap().count();
    assert!(segments > 3, "so that more than one was read: {segments}");
}

#[test]
fn whoever_has_seen_enough_gets_his_own_error_back() {
    #[derive(Debug)]
    struct Enough(Option<StoreError>);
    impl From<StoreError> for Enough {
        fn from(error: StoreError) -> Self {
            Self(Some(error))
        }
    }
    let mut ledger = Ledger::new();
    let account = ledger.open_account(1);
    ledger.book(1, deposit(account, 1, "")).unwrap();
    let mut seen = 0;
    let read = chronicle::events(&ledger.config(), |_| {
        seen += 1;
        Err(Enough(None))
    });
    assert!(matches!(read, Err(Enough(None))));
    assert_eq!(seen, 1);
}

#[test]
fn a_journal_that_ends_before_its_snapshot_is_not_taken_for_a_whole_one() {
    let mut ledger = Ledger::with_segments(64 << 10);
    let account = ledger.open_account(1);
    for amount in 1..=1_500 {
        ledger.book(1, deposit(account, amount, "급여")).unwrap();
    }
    ledger.restart(true);
    assert!(ledger.has_snapshot());
    let journal = ledger.config().dir.join("journal");
    for nth in 2..100 {
        let _ = std::fs::remove_file(journal.join(format!("{nth:08}.seg")));
    }
    assert!(matches!(events(&ledger), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_rehearsal_decides_as_the_ledger_would_and_changes_nothing() {
    let mut ledger = Ledger::new();
    let account = ledger.open_account(1);
    ledger.one(1, Some("k"), deposit(account, 10, ""));
    let before = events(&ledger).unwrap();
    let mut rehearsal = Rehearsal::open(&ledger.config()).unwrap();
    let mut ask = |request| {
        rehearsal.load(&[&request]).unwrap();
        answer(rehearsal.book(), &request).unwrap()
    };
    assert!(ask(ledger.request(1, Some("k"), deposit(account, 10, ""))).replayed);
    assert!(ask(ledger.request(1, None, withdraw(account, 7, ""))).outcome.is_ok());
    let poor = ask(ledger.request(1, None, withdraw(account, 4, ""))).outcome;
    assert!(matches!(poor, Err(Rejection::InsufficientFunds { .. })), "{poor:?}");
    assert!(ask(ledger.request(1, None, deposit(account, 1, ""))).outcome.is_ok());
    assert!(ask(ledger.request(1, None, withdraw(account, 4, ""))).outcome.is_ok());
    assert_eq!(events(&ledger).unwrap(), before);
    assert!(ledger.book(1, withdraw(account, 10, "")).is_ok());
}
