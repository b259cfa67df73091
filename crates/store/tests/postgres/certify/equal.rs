//! Any requests: the database answers what the model and the journal do, and so does every query.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use tongjang_core::{
    Account, Amount, Direction, EntryNumber, Event, Kind, Timestamp, TransactionId, UserId,
};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader};

use crate::cases;
use crate::certify::ledger::Ledger;

/// What a query is drawn from: places in the history for its times, and the rest.
#[derive(Clone, Debug)]
struct Drawn {
    account: Index,
    from: Option<(Index, i64)>,
    to: Option<(Index, i64)>,
    direction: Option<Direction>,
    kind: Option<Kind>,
    amounts: Option<(u8, u8)>,
    memo: Option<&'static str>,
    order: Order,
    after: Option<Index>,
    offset: Option<Index>,
    limit: usize,
    scan_limit: usize,
}

impl Drawn {
    fn query(&self, ledger: &Ledger, accounts: &[Account]) -> EntryQuery {
        let account = self.account.get(accounts).id();
        let rows = ledger.model.rows(account);
        // Times at and beside those of rows, and far from all of them.
        let time = |(index, shift): &(Index, i64)| {
            let base = match rows {
                [] => Timestamp::EPOCH,
                rows => index.get(rows).booked_at,
            };
            match shift {
                -1..=1 => Timestamp::from_micros(base.micros() + shift),
                2 => Timestamp::from_micros(i64::MIN),
                _ => Timestamp::from_micros(i64::MAX),
            }
        };
        let amount = |much: u8| Amount::new(i128::from(much) + 1).unwrap();
        let filter = EntryFilter {
            account,
            from: self.from.as_ref().map(time),
            to: self.to.as_ref().map(time),
            direction: self.direction,
            kind: self.kind,
            min_amount: self.amounts.map(|(low, _)| amount(low)),
            max_amount: self.amounts.map(|(low, more)| amount(low.saturating_add(more))),
            memo: self.memo.map(str::to_owned),
        };
        let count = rows.len();
        let Self { order, limit, scan_limit, .. } = *self;
        // Any number may come back in a cursor, also one that no row of the filter has.
        let after = self.after.and_then(|index| EntryNumber::new(index.index(count + 3) as u64));
        // Mostly inside, now and then beyond the end.
        let offset = self.offset.map_or(0, |index| index.index(count * 5 / 4 + 3) as u64);
        EntryQuery { filter, order, after, offset, limit, scan_limit }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let time = || option::of((any::<Index>(), -1..4i64));
    let direction = option::of(prop_oneof![Just(Direction::Credit), Just(Direction::Debit)]);
    let kind = option::weighted(0.2, prop::sample::select(&Kind::ALL[..]));
    let amounts = option::weighted(0.2, any::<(u8, u8)>());
    let memo = option::weighted(0.2, prop::sample::select(&["급", "coffee 1", "가가", "x"][..]));
    let page = (option::of(any::<Index>()), option::of(any::<Index>()), 1..60usize, 1..200usize);
    let filter = (any::<Index>(), time(), time(), direction, kind, amounts, memo);
    (filter, order(), page).prop_map(|(filter, order, (after, offset, limit, scan_limit))| {
        let (account, from, to, direction, kind, amounts, memo) = filter;
        Drawn {
            account,
            from,
            to,
            direction,
            kind,
            amounts,
            memo,
            order,
            after,
            offset,
            limit,
            scan_limit,
        }
    })
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Asc), Just(Order::Desc)]
}

/// A list of accounts: whose, which way, after which, how many.
type List = (Option<u128>, Order, Option<Index>, usize);

fn lists() -> impl Strategy<Value = Vec<List>> {
    vec((option::of(1..5u128), order(), option::of(any::<Index>()), 0..20usize), 12)
}

/// Few accounts have long histories: after the first `few` asks nobody opens another one.
fn asks() -> impl Strategy<Value = Vec<[u8; 8]>> {
    (vec(any::<[u8; 8]>(), 1..400), 1..40usize).prop_map(|(mut asks, few)| {
        asks.iter_mut().skip(few).filter(|ask| ask[0] % 20 < 2).for_each(|ask| ask[0] = 3);
        asks
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 64, ..ProptestConfig::with_cases(cases(8))
    })]

    #[test]
    fn everything_is_answered_as_the_model_does(
        asks in asks(),
        at_once in 1..100usize,
        parts in prop_oneof![Just(1u16), Just(4)],
        queries in vec(drawn(), 40),
        lists in lists(),
        strangers in vec((any::<Index>(), -2..3i64, any::<u64>()), 12),
    ) {
        let mut ledger = Ledger::new(parts);
        ledger.ask(&asks, at_once);
        // With several parts each has settlement accounts of its own, which the model has not.
        let own = |account: &Account| parts > 1 && account.opened().is_settlement();
        let mut accounts = ledger.model.accounts();
        accounts.retain(|account| !own(account));
        for account in &accounts {
            let found = ledger.reader.account(account.id()).unwrap();
            prop_assert_eq!(found.as_ref(), Some(account));
            if let Some((bank, number)) = &account.opened().place {
                let found = ledger.reader.account_by_number(bank, number).unwrap();
                prop_assert_eq!(found, Some(account.id()));
            }
        }
        if !accounts.is_empty() {
            for drawn in &queries {
                compare(&ledger, &drawn.query(&ledger, &accounts));
            }
        }
        for (owner, order, after, limit) in lists {
            // Those of everybody are listed with the settlement accounts, of which the model has
            // others.
            let owner = owner.or((parts > 1).then_some(1)).map(UserId::from_bits);
            let after = after.filter(|_| !accounts.is_empty());
            let after = after.map(|index| index.get(&accounts).id());
            let got = ledger.reader.accounts(owner, order, after, limit).unwrap();
            prop_assert_eq!(got, ledger.model.list(owner, order, after, limit));
        }
        prop_assert_eq!(ledger.reader.totals().unwrap(), ledger.model.totals());
        transactions(&ledger, parts, &strangers);
        ledger.reader.ready().unwrap();
    }
}

fn compare(ledger: &Ledger, query: &EntryQuery) {
    let Ledger { model, reader, .. } = ledger;
    let filter = &query.filter;
    assert_eq!(reader.entries(query).unwrap(), model.page(query), "{query:?}");
    let mut rows = Vec::new();
    let mut next = query.clone();
    loop {
        let page = reader.entries(&next).unwrap();
        rows.extend(page.rows);
        (next.after, next.offset) = (page.resume, 0);
        if next.after.is_none() {
            break;
        }
    }
    let whole = EntryQuery { limit: usize::MAX, scan_limit: usize::MAX, ..query.clone() };
    assert_eq!(rows, model.page(&whole).rows, "{query:?}");
    assert_eq!(reader.entries(&whole).unwrap(), model.page(&whole), "{query:?}");
    let summary = reader.summary(filter, query.scan_limit).unwrap();
    assert_eq!(summary, model.summary(filter, query.scan_limit), "{filter:?}");
    for time in [filter.from, filter.to].into_iter().flatten() {
        let before = reader.entries_before(filter.account, time).unwrap();
        assert_eq!(before, model.before(filter.account, time));
    }
    let rows = model.rows(filter.account);
    for number in [query.offset + 1, u64::MAX] {
        let number = EntryNumber::new(number).unwrap();
        let row = reader.entry(filter.account, number).unwrap();
        assert_eq!(row.as_ref(), rows.get(number.get() as usize - 1));
    }
}

fn transactions(ledger: &Ledger, parts: u16, strangers: &[(Index, i64, u64)]) {
    let Ledger { model, reader, .. } = ledger;
    for event in &model.events {
        if let Event::Booked(booked) = event {
            let found = reader.transaction(booked.transaction.id).unwrap().unwrap();
            if parts == 1 {
                assert_eq!(found, booked.transaction);
            }
            for entry in
                booked.transaction.entries.iter().filter(|one| !one.account.is_settlement())
            {
                let same = found.entries.iter().find(|other| other.account == entry.account);
                assert_eq!(same.unwrap().hash, entry.hash);
            }
        }
    }
    for (index, shift, nonce) in strangers {
        let Some(event) = model.events.get(index.index(model.events.len().max(1))) else { return };
        let at = Timestamp::from_micros(event.at().micros() + shift * 7);
        let id = TransactionId::new(at, *nonce);
        assert_eq!(reader.transaction(id).unwrap().as_ref(), model.transaction(id));
    }
}
