//! Every question about a history, against looking at every row.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use tongjang_core::{Amount, Direction, EntryNumber, Kind, Timestamp, TransactionId, UserId};
use tongjang_sim::ask::{Ask, Keys};
use tongjang_sim::crash::config;
use tongjang_sim::drive;
use tongjang_sim::model::Model;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::{Journal, JournalReader};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Row, Store};

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

/// What a filter is drawn from: places in the history for its times, and the rest.
#[derive(Clone, Debug)]
struct Drawn {
    account: Index,
    from: Option<(Index, i64)>,
    to: Option<(Index, i64)>,
    direction: Option<Direction>,
    kind: Option<Kind>,
    amounts: Option<(u8, u8)>,
    memo: Option<&'static str>,
}

impl Drawn {
    fn filter(&self, model: &Model) -> EntryFilter {
        let accounts = model.accounts();
        let account = self.account.get(&accounts).id();
        let rows = model.rows(account);
        // Times at and beside those of rows, and around midnight.
        let time = |(index, shift): &(Index, i64)| {
            let base = match rows {
                [] => Timestamp::EPOCH,
                rows => index.get(rows).booked_at,
            };
            let day = 86_400_000_000;
            let micros = match shift {
                -1..=1 => base.micros() + shift,
                _ => base.micros().div_euclid(day) * day + shift % 2,
            };
            Timestamp::from_micros(micros)
        };
        let amount = |much: u8| Amount::new(i128::from(much) + 1).unwrap();
        EntryFilter {
            account,
            from: self.from.as_ref().map(time),
            to: self.to.as_ref().map(time),
            direction: self.direction,
            kind: self.kind,
            min_amount: self.amounts.map(|(low, _)| amount(low)),
            max_amount: self.amounts.map(|(low, more)| amount(low.saturating_add(more))),
            memo: self.memo.map(str::to_owned),
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let time = || option::of((any::<Index>(), -1..4i64));
    let direction = option::of(prop_oneof![Just(Direction::Credit), Just(Direction::Debit)]);
    let kind = option::weighted(0.2, prop::sample::select(&Kind::ALL[..]));
    let amounts = option::weighted(0.2, any::<(u8, u8)>());
    let memo = option::weighted(0.2, prop::sample::select(&["급", "coffee 1", "가가", "x"][..]));
    (any::<Index>(), time(), time(), direction, kind, amounts, memo).prop_map(
        |(account, from, to, direction, kind, amounts, memo)| Drawn {
            account,
            from,
            to,
            direction,
            kind,
            amounts,
            memo,
        },
    )
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Asc), Just(Order::Desc)]
}

/// Filter, order, limit, scan limit, where to begin, and how much to skip.
type Question = (Drawn, Order, usize, usize, Option<Index>, Option<Index>);

fn compare(ledger: &Ledger, queries: &[Question]) {
    let Ledger { model, reader, .. } = ledger;
    if model.accounts().is_empty() {
        return;
    }
    for (drawn, order, limit, scan_limit, after, offset) in queries {
        let filter = drawn.filter(model);
        let count = model.rows(filter.account).len();
        // Any number may come back in a cursor, also one that no row of the filter has.
        let after = after.and_then(|index| EntryNumber::new(index.index(count + 3) as u64));
        let (order, limit, scan_limit) = (*order, *limit, *scan_limit);
        // Mostly inside, now and then beyond the end.
        let offset = offset.map_or(0, |index| index.index(count * 5 / 4 + 3) as u64);
        let query = EntryQuery { filter: filter.clone(), order, after, offset, limit, scan_limit };
        assert_eq!(reader.entries(&query).unwrap(), model.page(&query), "{query:?}");
        assert_eq!(walk(reader, query.clone()), walk_model(model, query.clone()), "{query:?}");
        let summary = reader.summary(&filter, scan_limit).unwrap();
        assert_eq!(summary, model.summary(&filter, scan_limit), "{filter:?}");
        for time in [filter.from, filter.to].into_iter().flatten() {
            let before = reader.entries_before(filter.account, time).unwrap();
            assert_eq!(before, model.before(filter.account, time));
        }
    }
}

/// All rows of a query, page by page.
fn walk(reader: &JournalReader, mut query: EntryQuery) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        let page = reader.entries(&query).unwrap();
        assert!(page.rows.len() <= query.limit);
        rows.extend(page.rows);
        (query.after, query.offset) = (page.resume, 0);
        if query.after.is_none() {
            return rows;
        }
    }
}

/// The same rows, from the model and at once.
fn walk_model(model: &Model, query: EntryQuery) -> Vec<Row> {
    model.page(&EntryQuery { limit: usize::MAX, scan_limit: usize::MAX, ..query }).rows
}

fn queries() -> impl Strategy<Value = Vec<Question>> {
    let index = || option::of(any::<Index>());
    vec((drawn(), order(), 1..60usize, 1..200usize, index(), index()), 12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(32)))]

    #[test]
    fn pages_and_sums_are_what_looking_at_every_row_gives(
        mut asks in vec(any::<[u8; 8]>(), 1..600),
        queries in queries(),
        few in 1..40usize,
    ) {
        // Few accounts have long histories: later on nobody opens another one.
        asks.iter_mut().skip(few).filter(|ask| ask[0] % 20 < 2).for_each(|ask| ask[0] = 3);
        let ledger = Ledger::of(&asks);
        compare(&ledger, &queries);
        compare(&ledger.restarted(), &queries);
    }

    #[test]
    fn accounts_and_transactions_are_found_and_no_others(
        asks in vec(any::<[u8; 8]>(), 1..300),
        lists in vec((option::of(0..5u128), order(), option::of(any::<Index>()), 1..20usize), 12),
        strangers in vec((any::<Index>(), -2..3i64, any::<u64>()), 12),
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
            for (index, shift, nonce) in &strangers {
                let Some(last) = model.events.last() else { break };
                let near = match index.index(model.events.len() + 1) {
                    some if some < model.events.len() => model.events[some].at(),
                    _ => last.at(),
                };
                let at = Timestamp::from_micros(near.micros() + shift * 7);
                let id = TransactionId::new(at, *nonce);
                assert_eq!(reader.transaction(id).unwrap().as_ref(), model.transaction(id));
            }
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
