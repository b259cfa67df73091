//! Questions about a history, drawn at random, and the comparison of what a reader answers with
//! what the model does.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use tongjang_core::{Account, Amount, Direction, EntryNumber, Kind, Timestamp, TransactionId};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Row};

use crate::ask::Ask;
use crate::model::Model;

/// What a query is drawn from: places in the history for its times, and the rest.
#[derive(Clone, Debug)]
pub struct Question {
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

impl Question {
    /// The query about one of `accounts`, of which there is one at least.
    pub fn query(&self, model: &Model, accounts: &[Account]) -> EntryQuery {
        let account = self.account.get(accounts).id();
        let rows = model.rows(account);
        // Times at and beside those of rows, around midnight, and far from all of them.
        let time = |(index, shift): &(Index, i64)| {
            let base = match rows {
                [] => Timestamp::EPOCH,
                rows => index.get(rows).booked_at,
            };
            let day = 86_400_000_000;
            Timestamp::from_micros(match shift {
                -1..=1 => base.micros() + shift,
                2 | 3 => base.micros().div_euclid(day) * day + shift % 2,
                4 => i64::MIN,
                _ => i64::MAX,
            })
        };
        let amount = |much: u8| Amount::new(i128::from(much) + 1).expect("it is above zero");
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

/// Any question.
pub fn questions() -> impl Strategy<Value = Question> {
    let time = || option::of((any::<Index>(), -1..6i64));
    let direction = option::of(prop_oneof![Just(Direction::Credit), Just(Direction::Debit)]);
    let kind = option::weighted(0.2, prop::sample::select(&Kind::ALL[..]));
    let amounts = option::weighted(0.2, any::<(u8, u8)>());
    let memo = option::weighted(0.2, prop::sample::select(&["급", "coffee 1", "가가", "x"][..]));
    let page = (option::of(any::<Index>()), option::of(any::<Index>()), 1..60usize, 1..200usize);
    let filter = (any::<Index>(), time(), time(), direction, kind, amounts, memo);
    (filter, orders(), page).prop_map(|(filter, order, (after, offset, limit, scan_limit))| {
        let (account, from, to, direction, kind, amounts, memo) = filter;
        Question {
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

/// Either order.
pub fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Asc), Just(Order::Desc)]
}

/// Requests of which few accounts get long histories: after the first ones nobody opens another.
pub fn asks(most: usize) -> impl Strategy<Value = Vec<Ask>> {
    (vec(any::<Ask>(), 1..most), 1..40usize).prop_map(|(mut asks, few)| {
        asks.iter_mut().skip(few).filter(|ask| ask[0] % 20 < 2).for_each(|ask| ask[0] = 3);
        asks
    })
}

/// Insists that `reader` answers all that `query` is about as the model does.
pub fn compare(reader: &impl Reader, model: &Model, query: &EntryQuery) {
    let page = |query: &EntryQuery| reader.entries(query).expect("it can be read");
    assert_eq!(page(query), model.page(query), "{query:?}");
    let whole = EntryQuery { limit: usize::MAX, scan_limit: usize::MAX, ..query.clone() };
    assert_eq!(walk(reader, query.clone()), model.page(&whole).rows, "{query:?}");
    assert_eq!(page(&whole), model.page(&whole), "{query:?}");
    let filter = &query.filter;
    let summary = reader.summary(filter, query.scan_limit).expect("it can be read");
    assert_eq!(summary, model.summary(filter, query.scan_limit), "{filter:?}");
    for time in [filter.from, filter.to].into_iter().flatten() {
        let before = reader.entries_before(filter.account, time).expect("it can be read");
        assert_eq!(before, model.before(filter.account, time));
    }
    let rows = model.rows(filter.account);
    for index in [query.offset, u64::MAX - 1] {
        let number = EntryNumber::new(index + 1).expect("it is above zero");
        let row = reader.entry(filter.account, number).expect("it can be read");
        assert_eq!(row.as_ref(), rows.get(index as usize));
    }
}

/// All rows of a query, page by page.
fn walk(reader: &impl Reader, mut query: EntryQuery) -> Vec<Row> {
    let mut rows = Vec::new();
    loop {
        let page = reader.entries(&query).expect("it can be read");
        assert!(page.rows.len() <= query.limit);
        rows.extend(page.rows);
        (query.after, query.offset) = (page.resume, 0);
        if query.after.is_none() {
            return rows;
        }
    }
}

/// A transaction that most likely is not there: near which event, how far from it, and a nonce.
pub type Stranger = (Index, i64, u64);

/// Any of them.
pub fn strangers() -> impl Strategy<Value = Vec<Stranger>> {
    vec((any::<Index>(), -2..3i64, any::<u64>()), 12)
}

/// Insists that `reader` has those of `strangers` that the model has.
pub fn meet(reader: &impl Reader, model: &Model, strangers: &[Stranger]) {
    if model.events.is_empty() {
        return;
    }
    for (index, shift, nonce) in strangers {
        let at = index.get(&model.events).at();
        let id = TransactionId::new(Timestamp::from_micros(at.micros() + shift * 7), *nonce);
        let found = reader.transaction(id).expect("it can be read");
        assert_eq!(found.as_ref(), model.transaction(id));
    }
}
