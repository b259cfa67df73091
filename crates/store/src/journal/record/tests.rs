//! Records of real events are read back; records of any other bytes are refused and never panic.

use proptest::collection::vec;
use proptest::prelude::*;
use tongjang_core::apply::apply;
use tongjang_core::{Caller, Command, Decision, MemoryBook, Request, decide};

use super::*;
use crate::Row;
use crate::journal::row::{self, Whose};
use crate::journal::trail::{BlockRef, ByDirection};

/// Accounts in the order of their opening.
#[derive(Default)]
struct Table(Vec<Arc<Opened>>);

impl Facts for Table {
    fn opened(&self, slot: u32) -> Option<Arc<Opened>> {
        self.0.get(slot as usize).cloned()
    }

    fn slot(&self, id: AccountId) -> Option<u32> {
        self.0.iter().position(|opened| opened.id == id).map(|slot| slot as u32)
    }
}

/// An event of each kind, with a key and without, and the table for them.
fn events() -> (Table, Vec<Event>) {
    let (mut book, mut table, mut events) = (MemoryBook::new(), Table::default(), Vec::new());
    let mut ask = |command: Command| {
        let nonce = events.len() as u64;
        let key = IdempotencyKey::new(&format!("key-{nonce}")).unwrap();
        let key = nonce.is_multiple_of(2).then(|| (key, Fingerprint::of(&command)));
        let caller = Caller::operator(UserId::from_bits(1 + u128::from(nonce) % 3));
        let at = Timestamp::from_micros(1_795_305_600_000_000);
        let request = Request { caller, at, nonce, key, expected_version: None, command };
        let Ok(decision) = decide(&book, &request);
        let Decision::New(event) = decision else { panic!("{decision:?}") };
        apply(&mut book, &event);
        if let Event::Opened(opening) = &event {
            table.0.extend(opening.settlement.iter().chain([&opening.account]).cloned());
        }
        events.push(event.clone());
        event
    };
    let mut open = |owner: u128, number: &str| {
        let event = ask(Command::Open {
            owner: UserId::from_bits(owner),
            currency: Currency::KRW,
            bank: Bank::new("088").unwrap(),
            number: AccountNumber::new(number).unwrap(),
            number_made: owner == 2,
        });
        let Event::Opened(opening) = event else { panic!("{event:?}") };
        opening.account.id
    };
    let (from, to) = (open(1, "110-1"), open(2, "110-2"));
    let metadata = || Metadata::new(vec![("order".into(), "9".into())]).unwrap();
    let amount = Amount::new(1 << 60).unwrap();
    let memo = || Memo::new(&"급여".repeat(70)).unwrap();
    for _ in 0..3 {
        ask(Command::Deposit { account: from, amount, memo: memo(), metadata: metadata() });
    }
    for to_memo in [None, Some(Memo::EMPTY)] {
        let metadata = Metadata::EMPTY;
        ask(Command::Transfer { from, to, amount, memo: memo(), to_memo, metadata });
    }
    ask(Command::ChangeStatus { account: to, status: Status::Frozen });
    let refused = Command::Transfer {
        from,
        to,
        amount,
        memo: memo(),
        to_memo: Some(memo()),
        metadata: metadata(),
    };
    ask(refused);
    (table, events)
}

fn written(table: &Table, event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_event(&mut bytes, table, event);
    bytes
}

/// The record with these contents, whose check fits.
fn record(contents: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_record(&mut bytes, |out| out.extend_from_slice(contents));
    bytes
}

#[test]
fn every_kind_of_event_is_read_back() {
    let (table, events) = events();
    assert_eq!(events.len(), 9);
    for event in events {
        let bytes = written(&table, &event);
        assert_eq!(read(&bytes, 4096, &table), Ok(Record::Event(event)));
        assert_eq!(span(&bytes), Ok(bytes.len()));
        for length in 0..bytes.len() - 8 {
            assert!(matches!(read(&bytes[..length], 4096, &table), Err(BadRecord::Short(_))));
        }
    }
}

#[test]
fn no_record_is_longer_than_what_is_kept_free_for_it() {
    let (table, events) = events();
    for event in events {
        let blocks = if matches!(event, Event::Booked(_)) { 2 * LONGEST_BLOCK } else { 0 };
        assert!(written(&table, &event).len() + blocks <= at_most(&event), "{event:?}");
        let Event::Booked(mut booked) = event else { continue };
        let pairs = (0..16).map(|n| (format!("{n:02}").into(), "v".repeat(62).into()));
        let transaction = &mut booked.transaction;
        transaction.id = TransactionId::from_bits(u128::MAX);
        transaction.amount = Amount::MAX;
        transaction.memo = Memo::new(&"가".repeat(140)).unwrap();
        transaction.metadata = Metadata::new(pairs.collect()).unwrap();
        for entry in &mut transaction.entries {
            entry.number = EntryNumber::new(u64::MAX).unwrap();
            entry.balance = Balance::new(i128::MIN);
            entry.credit_count = u64::MAX;
            entry.credit_total = Balance::MAX;
            entry.memo = Memo::new(&"나".repeat(140)).unwrap();
        }
        booked.key = Some(KeyUse {
            scope: UserId::from_bits(u128::MAX),
            key: IdempotencyKey::new(&"k".repeat(255)).unwrap(),
            fingerprint: Fingerprint::from_bytes([255; 16]),
        });
        let event = Event::Booked(booked);
        // The slots of a ledger may take eight bytes more than those of this table.
        let most = written(&table, &event).len() + 8 + blocks;
        assert!(most <= at_most(&event), "{most} > {}", at_most(&event));
    }
}

#[test]
fn no_block_is_longer_than_what_is_kept_free_for_it() {
    // As far apart as a journal is long, as many as it has room for, and all of them told.
    let (end, many) = ((1 << 42) - 8, 1 << 40);
    let at = |position, number| {
        let end = Timestamp::from_micros(i64::MAX);
        BlockRef { number, position, end, credits: many }
    };
    let positions = std::array::from_fn(|nth| (nth as u64 + 1) * ((1 << 38) - 8));
    let block = Block {
        slot: u32::MAX,
        this: at(end, many),
        previous: at(8, many - 1),
        jump: at(8, many - 2),
        with: ByDirection { credit: at(8, many - 3), debit: at(8, many - 4) },
        credit_mask: u16::MAX,
        positions,
    };
    let mut record = Vec::new();
    put_block(&mut record, &block, end);
    assert!((200..=LONGEST_BLOCK).contains(&record.len()), "{}", record.len());
    assert_eq!(read(&record, end, &Table::default()), Ok(Record::Block(block)));
}

#[test]
fn a_filler_is_read_as_one() {
    let mut body = Vec::new();
    put_filler(&mut body, 4096);
    assert_eq!(body.len(), 4096);
    assert_eq!(read(&body, 4096, &Table::default()), Ok(Record::Filler));
    let more = record(&[FILLER, 1]);
    assert_eq!(read(&more, 4096, &Table::default()), Err(BadRecord::Contents));
}

#[test]
fn a_row_is_what_reading_the_whole_transaction_gives() {
    let (table, events) = events();
    let mut rows = 0;
    for event in &events {
        let bytes = written(&table, event);
        let Event::Booked(Booked { transaction, .. }) = event else {
            let whose = Whose { slot: 0, id: table.0[0].id };
            assert_eq!(row::read(&bytes, whose, 1, &table), Ok(None));
            continue;
        };
        for entry in &transaction.entries {
            let whose = Whose { slot: table.slot(entry.account).unwrap(), id: entry.account };
            let Transaction { id, kind, booked_at, .. } = *transaction;
            let row = Row { transaction: id, kind, booked_at, entry: entry.clone() };
            let number = entry.number.get();
            assert_eq!(row::read(&bytes, whose, number, &table), Ok(Some(row)));
            assert_eq!(row::read(&bytes, whose, number + 1, &table), Ok(None));
            for length in 0..bytes.len() - 8 {
                let cut = row::read(&bytes[..length], whose, number, &table);
                assert!(matches!(cut, Err(BadRecord::Short(_))));
            }
            let mut torn = bytes.clone();
            torn[HEADER + 30] ^= 1;
            assert_eq!(row::read(&torn, whose, number, &table), Err(BadRecord::Check));
            rows += 1;
        }
    }
    assert_eq!(rows, 10);
}

proptest! {
    #[test]
    fn bytes_that_are_no_record_are_refused(
        bytes in vec(any::<u8>(), 0..300),
        position in any::<u64>(),
    ) {
        let (table, _) = events();
        prop_assert!(read(&bytes, position, &table).is_err());
        let _ = booked_at(&bytes);
    }

    #[test]
    fn contents_that_make_no_sense_never_panic(
        tag in prop::sample::select(&[1u8, 2, 3, 4, 16, 17][..]),
        rest in vec(any::<u8>(), 0..300),
        position in any::<u64>(),
    ) {
        let (table, _) = events();
        let bytes = record(&[&[tag][..], &rest].concat());
        let _ = read(&bytes, position, &table);
        let whose = Whose { slot: 0, id: table.0[0].id };
        let _ = row::read(&bytes, whose, 1, &table);
        let _ = booked_at(&bytes);
    }

    #[test]
    fn a_record_with_bytes_changed_never_panics(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let (table, events) = events();
        let bytes = written(&table, which.get(&events));
        let length = Take(&bytes).u32().unwrap() as usize;
        let mut contents = bytes[HEADER..length].to_vec();
        for (at, value) in &changes {
            *at.get_mut(&mut contents) = *value;
        }
        let _ = read(&record(&contents), 1 << 20, &table);
        let short = &contents[..1 + cut.index(contents.len())];
        let _ = read(&record(short), 1 << 20, &table);
    }
}
