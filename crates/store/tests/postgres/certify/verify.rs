//! What only the owner of the tables, or a superuser, can do: `verify` finds it, with its place.

use proptest::collection::vec;
use proptest::prelude::*;
use tongjang_core::audit::AuditSummary;
use tongjang_core::{Account, Direction, EntryNumber, Event, Transaction};
use tongjang_store::postgres::{chronicle, verify};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, StoreError};

use crate::cases;
use crate::certify::ledger::Ledger;

fn verified(ledger: &Ledger) -> Result<AuditSummary, StoreError> {
    verify::verify(&ledger.postgres, |_| ())
}

fn events(ledger: &Ledger) -> Vec<Event> {
    let mut events = Vec::new();
    let each = |event: &Event| {
        events.push(event.clone());
        Ok::<_, StoreError>(())
    };
    chronicle::events(&ledger.postgres, each).unwrap();
    events
}

/// A ledger in which much has happened, on three accounts of two owners and more.
fn busy(parts: u16) -> Ledger {
    let mut ledger = Ledger::new(parts);
    let asks: Vec<[u8; 8]> = (0..240u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .map(|[a, b, c, d]| [a, b, c, d, b ^ 0x5a, c ^ 0xa5, d ^ 0x33, a ^ 0xcc])
        .collect();
    ledger.ask(&asks, 17);
    ledger
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 32, ..ProptestConfig::with_cases(cases(4))
    })]

    #[test]
    fn a_sound_ledger_holds_and_tells_all_that_happened(
        asks in vec(any::<[u8; 8]>(), 1..300),
        at_once in 1..60usize,
        parts in prop_oneof![Just(1u16), Just(4)],
    ) {
        let mut ledger = Ledger::new(parts);
        ledger.ask(&asks, at_once);
        let summary = verified(&ledger).unwrap();
        let reader = &ledger.reader;
        let accounts: Vec<Account> =
            reader.accounts(None, Order::Asc, None, usize::MAX / 4).unwrap();
        prop_assert_eq!(summary.accounts, accounts.len() as u64);
        let told = events(&ledger);
        prop_assert_eq!(summary.events, told.len() as u64);
        // Every transaction is the one that is read by its id, and all are there.
        let booked = told.iter().filter_map(|event| match event {
            Event::Booked(booked) => Some(&booked.transaction),
            _ => None,
        });
        let mut count = 0;
        for transaction in booked {
            let read = reader.transaction(transaction.id).unwrap();
            prop_assert_eq!(read.as_ref(), Some(transaction));
            count += 1;
        }
        let totals = reader.totals().unwrap();
        prop_assert_eq!(count, totals.iter().map(|of| of.transactions).sum::<u64>());
    }
}

/// What an owner does when nothing is in his way, and where it shows.
const TAMPERINGS: [(&str, &str, &str); 26] = [
    ("a changed amount", "UPDATE tongjang.entries SET amount = amount + 1 WHERE number = 2", ""),
    (
        "a changed amount and balance on both sides",
        "UPDATE tongjang.entries SET amount = amount + 1, balance = balance + direction
            WHERE transaction_id = (SELECT transaction_id FROM tongjang.entries
                ORDER BY transaction_id DESC LIMIT 1)",
        "transaction txn_",
    ),
    (
        "a changed memo",
        "UPDATE tongjang.entries SET memo = 'nothing' WHERE number = 1 AND direction = 1",
        "transaction txn_",
    ),
    (
        "another counterparty",
        "UPDATE tongjang.entries SET counterparty_id = 'e0000000-0000-0000-0000-00000000000e'
            WHERE number = 1",
        "transaction txn_",
    ),
    (
        "a changed time",
        "UPDATE tongjang.entries SET booked_at = '2020-01-01Z' WHERE number = 1",
        "entry 1 of account acc_",
    ),
    (
        "a deleted entry",
        "DELETE FROM tongjang.entries WHERE number = 2 AND direction = 1",
        "transaction txn_",
    ),
    (
        "a deleted transaction",
        "DELETE FROM tongjang.entries
            WHERE transaction_id = (SELECT transaction_id FROM tongjang.entries
                ORDER BY transaction_id LIMIT 1)",
        "key k5 of usr_",
    ),
    (
        "a deleted newest transaction",
        "DELETE FROM tongjang.entries
            WHERE transaction_id = (SELECT transaction_id FROM tongjang.entries
                ORDER BY transaction_id DESC LIMIT 1)",
        "account acc_",
    ),
    ("an emptied history", "TRUNCATE tongjang.entries CASCADE", ""),
    (
        "a forged balance",
        "UPDATE tongjang.accounts SET balance = balance + 1, credit_total = credit_total + 1
            WHERE entry_count > 0 AND owner <> '00000000-0000-0000-0000-000000000000'",
        "account acc_",
    ),
    (
        "a forged head",
        "UPDATE tongjang.accounts SET head_hash = sha256(head_hash) WHERE entry_count > 0",
        "account acc_",
    ),
    (
        "another owner",
        "UPDATE tongjang.accounts SET owner = '00000000-0000-0001-0000-000000000000'
            WHERE bank IS NOT NULL",
        "acc",
    ),
    (
        "a status that was not changed",
        "UPDATE tongjang.accounts SET status = 'closed' WHERE status = 'open'",
        "account acc_",
    ),
    (
        "an amount beyond 128 bits",
        "UPDATE tongjang.entries SET amount = 9e38 WHERE number = 2",
        "entry 2 of account acc_",
    ),
    (
        "a balance that is no number",
        "UPDATE tongjang.accounts SET balance = 'NaN' WHERE entry_count > 0",
        "account acc_",
    ),
    (
        "a booking at the end of time",
        "UPDATE tongjang.entries SET booked_at = 'infinity' WHERE number = 1",
        "entry 1 of account acc_",
    ),
    (
        "an account changed at the end of time",
        "UPDATE tongjang.accounts SET changed_at = 'infinity'",
        "account acc_",
    ),
    (
        "a change of status at the end of time",
        "UPDATE tongjang.status_changes SET changed_at = 'infinity'",
        "change ",
    ),
    ("a key at the end of time", "UPDATE tongjang.keys SET happened_at = 'infinity'", "key "),
    ("a deleted account", "DELETE FROM tongjang.accounts WHERE bank IS NOT NULL", ""),
    (
        "a number that leads elsewhere",
        "UPDATE tongjang.account_numbers SET account_id = 'e0000000-0000-0000-0000-00000000000e'",
        "number ",
    ),
    ("a number that is free again", "DELETE FROM tongjang.account_numbers", "account_numbers"),
    (
        "keys in other parts than their users'",
        "INSERT INTO tongjang.keys SELECT (part + 1) % 3, scope, key, fingerprint, happened_at,
            transaction_id, opened_id, changed_id, refusal, version FROM tongjang.keys",
        "another part than its user's",
    ),
    (
        "a change at a time when nothing happened",
        "UPDATE tongjang.accounts SET changed_at = '9999-12-30Z', version = version + 1
            WHERE bank IS NOT NULL",
        "account acc_",
    ),
    (
        "an account that is nobody's",
        "ALTER TABLE tongjang.accounts ALTER owner DROP NOT NULL;
         UPDATE tongjang.accounts SET owner = NULL WHERE bank IS NOT NULL",
        "its column owner",
    ),
    (
        "a key that stands for nothing",
        "UPDATE tongjang.keys SET transaction_id = 'e0000000-0000-0000-0000-00000000000e'
            WHERE transaction_id IS NOT NULL",
        "key ",
    ),
];

#[test]
fn what_only_the_owner_can_do_is_found_with_its_place() {
    let ledger = busy(3);
    verified(&ledger).unwrap();
    for (name, statement, place) in TAMPERINGS {
        let ledger = busy(3);
        ledger.tamper(statement);
        match verified(&ledger) {
            Err(StoreError::Damaged { place: found, what }) => {
                let text = format!("{found}: {what}");
                assert!(text.contains(place), "{name}: {text}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// What an owner does to one entry that leaves the transaction balanced, each with what a reader of
/// the transaction says to it.
const OF_A_TRANSACTION: [(&str, &str, &str); 4] = [
    ("a changed memo", "UPDATE tongjang.entries SET memo = 'nothing'", "its hash does not follow"),
    (
        "a changed amount and balance on both sides",
        "UPDATE tongjang.entries SET amount = amount + 1, balance = balance + direction",
        "its hash does not follow",
    ),
    (
        "another hash on both sides",
        "UPDATE tongjang.entries SET hash = decode(repeat('ab', 32), 'hex')",
        "its hash does not follow",
    ),
    (
        "numbers that the accounts have not reached",
        "UPDATE tongjang.entries SET number = number + 1000",
        "has no entry",
    ),
];

/// The transactions of a ledger, the oldest first.
fn booked(ledger: &Ledger) -> Vec<Transaction> {
    let booked = events(ledger).into_iter().filter_map(|event| match event {
        Event::Booked(booked) => Some(booked.transaction),
        _ => None,
    });
    booked.collect()
}

/// As two bookings between two parts are, the other way round, under one id.
#[test]
fn a_transaction_with_the_entries_of_another_is_not_shown() {
    let ledger = busy(3);
    let booked = booked(&ledger);
    let first = &booked[0];
    let same = |one: &&Transaction| one.kind == first.kind && one.currency == first.currency;
    let other = booked.iter().skip(1).find(same).expect("one of this kind was booked later");
    let (id, other, micros) = (first.id.bits(), other.id.bits(), first.booked_at.micros());
    ledger.tamper(&format!(
        "DROP INDEX tongjang.entries_side_key;
         UPDATE tongjang.entries SET transaction_id = '{id:032x}',
             booked_at = timestamptz 'epoch' + {micros} * interval '1 microsecond'
             WHERE transaction_id = '{other:032x}'"
    ));
    match ledger.reader.transaction(first.id) {
        Err(StoreError::Damaged { what, .. }) => assert!(what.contains("are 4"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(verified(&ledger), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_transaction_that_its_owner_changed_is_not_shown() {
    for (name, statement, says) in OF_A_TRANSACTION {
        let ledger = busy(3);
        let booked = booked(&ledger).pop().unwrap();
        assert_eq!(ledger.reader.transaction(booked.id).unwrap().as_ref(), Some(&booked));
        ledger.tamper(statement);
        match ledger.reader.transaction(booked.id) {
            Err(StoreError::Damaged { place, what }) => {
                let text = format!("{place}: {what}");
                assert!(text.contains(says), "{name}: {text}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// What an owner does to entries so that a page of one direction would lack one, or be empty.
#[test]
fn a_page_that_would_lack_a_row_is_not_shown() {
    // The account whose entries are as many, of which these came in; and from which on they are
    // asked for.
    let cases = [
        (
            (5, &[4, 3, 1][..]),
            1,
            "DROP INDEX tongjang.entries_side_key;
             UPDATE tongjang.entries SET direction = -1 WHERE number = 1 AND direction = 1",
        ),
        (
            (15, &[15, 10, 9, 5]),
            15,
            "UPDATE tongjang.entries SET credit_count = number WHERE number = 14",
        ),
    ];
    for ((count, credits), first, statement) in cases {
        let ledger = busy(1);
        let page = |account: &Account, from| {
            let direction = Some(Direction::Credit);
            let filter = EntryFilter { from, direction, ..EntryFilter::all(account.id()) };
            let (order, after, offset, limit, scan_limit) = (Order::Desc, None, 0, 500, 500);
            let query = EntryQuery { filter, order, after, offset, limit, scan_limit };
            let page = ledger.reader.entries(&query)?;
            Ok(page.rows.iter().map(|row| row.entry.number.get()).collect::<Vec<_>>())
        };
        let accounts = ledger.reader.accounts(None, Order::Asc, None, usize::MAX / 4).unwrap();
        let of = accounts.iter().find(|account| {
            account.entry_count() == count
                && page(account, None).is_ok_and(|numbers: Vec<u64>| numbers == credits)
        });
        let of = of.expect("so much has happened on one");
        let first = EntryNumber::new(first).unwrap();
        let from = ledger.reader.entry(of.id(), first).unwrap().unwrap().booked_at;
        assert!(page(of, Some(from)).unwrap().contains(&first.get()));
        ledger.tamper(statement);
        let told: Result<_, StoreError> = page(of, Some(from));
        assert!(matches!(told, Err(StoreError::Damaged { .. })), "{statement}: {told:?}");
    }
}
