//! Every question about a history, against looking at every row.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use tongjang_core::{Direction, EntryNumber, Timestamp, UserId};
use tongjang_sim::ask::{Ask, Keys};
use tongjang_sim::crash::config;
use tongjang_sim::drive;
use tongjang_sim::model::Model;
use tongjang_sim::question::{Question, asks, compare, meet, orders, questions, strangers};
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::{Journal, JournalReader};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Store};

use crate::batching::on_the_core;
use crate::cases;

/// A ledger on a disk in memory, as the model has it too.
struct Ledger {
    disk: FaultyDisk,
    model: Model,
    journal: Journal,
    reader: JournalReader,
}

impl Ledger {
    fn of(asks: &[Ask]) -> Self {
        let (requests, _, model) = on_the_core(asks, Keys::Few);
        let disk = FaultyDisk::new(0);
        let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
        for some in requests.chunks(64) {
            drive::serve(&mut journal, some, &mut Vec::new()).unwrap();
        }
        Self { disk, model, journal, reader }
    }

    /// Opens it again from the snapshot that closing it leaves.
    fn restarted(self) -> Self {
        let Self { disk, model, journal, .. } = self;
        journal.close().unwrap();
        let (journal, reader, opening) = Journal::open(config(&disk)).unwrap();
        assert!(opening.snapshot.is_some());
        Self { disk, model, journal, reader }
    }
}

/// Asks all of it of a ledger in which there is an account.
fn compare_all(ledger: &Ledger, questions: &[Question]) {
    let Ledger { model, reader, .. } = ledger;
    let accounts = model.accounts();
    if accounts.is_empty() {
        return;
    }
    for question in questions {
        compare(reader, model, &question.query(model, &accounts));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(32)))]

    #[test]
    fn pages_and_sums_are_what_looking_at_every_row_gives(
        asks in asks(600),
        questions in vec(questions(), 12),
    ) {
        let ledger = Ledger::of(&asks);
        compare_all(&ledger, &questions);
        compare_all(&ledger.restarted(), &questions);
    }

    #[test]
    fn accounts_and_transactions_are_found_and_no_others(
        asks in vec(any::<[u8; 8]>(), 1..300),
        lists in vec((option::of(0..5u128), orders(), option::of(any::<Index>()), 1..20usize), 12),
        strangers in strangers(),
    ) {
        let mut ledger = Ledger::of(&asks);
        for _ in 0..2 {
            let Ledger { model, reader, .. } = &ledger;
            for (owner, order, after, limit) in &lists {
                // Nobody asks for the ledger's own accounts by their owner.
                let owner = owner.filter(|owner| *owner > 0).map(UserId::from_bits);
                let accounts = model.list(owner, Order::Asc, None, usize::MAX);
                let after = after.filter(|_| !accounts.is_empty());
                let after = after.map(|index| index.get(&accounts).id());
                let got = reader.accounts(owner, *order, after, *limit).unwrap();
                assert_eq!(got, model.list(owner, *order, after, *limit));
            }
            for account in model.accounts() {
                if let Some((bank, number)) = &account.opened().place {
                    let found = reader.account_by_number(bank, number).unwrap();
                    assert_eq!(found, Some(account.id()));
                }
                assert_eq!(reader.account(account.id()).unwrap(), Some(account));
            }
            for event in &model.events {
                if let tongjang_core::Event::Booked(booked) = event {
                    let id = booked.transaction.id;
                    let found = reader.transaction(id).unwrap();
                    assert_eq!(found.as_ref(), Some(&booked.transaction));
                }
            }
            meet(reader, model, &strangers);
            ledger = ledger.restarted();
        }
    }
}

/// An account whose trail has hundreds of blocks, and one on the other side that is as long.
#[test]
fn a_long_passbook_is_read_anywhere() {
    let mut asks = vec![[0, 0, 1, 1, 0, 0, 0, 9]];
    for nth in 0..5000u16 {
        let [low, high] = nth.to_le_bytes();
        // Three deposits and a withdrawal, at times that stand still now and then.
        let what = if nth % 4 == 3 { 9 } else { 3 };
        asks.push([what, 0, 0, 0, low % 50, 0, low, high.wrapping_mul(3) ^ (low % 7)]);
    }
    let mut ledger = Ledger::of(&asks);
    let account = ledger.model.accounts()[1].id();
    assert!(ledger.model.rows(account).len() > 4000);
    for _ in 0..2 {
        let rows = ledger.model.rows(account);
        let times: Vec<Timestamp> = rows.iter().map(|row| row.booked_at).collect();
        for (index, time) in times.iter().enumerate().step_by(61) {
            for shift in [-1, 0, 1] {
                let time = Timestamp::from_micros(time.micros() + shift);
                let before = ledger.reader.entries_before(account, time).unwrap();
                assert_eq!(before, ledger.model.before(account, time));
            }
            let number = EntryNumber::new(index as u64 + 1).unwrap();
            let row = ledger.reader.entry(account, number).unwrap();
            assert_eq!(row.as_ref(), Some(&rows[index]));
            for direction in [None, Some(Direction::Credit), Some(Direction::Debit)] {
                let from = Some(*time);
                let to = times.get(index + 500).copied();
                let filter = EntryFilter { from, to, direction, ..EntryFilter::all(account) };
                for order in [Order::Asc, Order::Desc] {
                    let filter = filter.clone();
                    let query = EntryQuery {
                        filter,
                        order,
                        after: None,
                        offset: 0,
                        limit: 40,
                        scan_limit: 100,
                    };
                    assert_eq!(ledger.reader.entries(&query).unwrap(), ledger.model.page(&query));
                }
                let summary = ledger.reader.summary(&filter, 0).unwrap();
                assert_eq!(summary, ledger.model.summary(&filter, 0));
            }
        }
        let beyond = EntryNumber::new(rows.len() as u64 + 1).unwrap();
        assert_eq!(ledger.reader.entry(account, beyond).unwrap(), None);
        ledger = ledger.restarted();
    }
}
