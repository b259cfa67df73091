//! Pages: where a listing stands, what to ask the store for, and which cursors lead on and back.
//!
//! A listing walks `next` in its order, or `prev` against it. Whatever is booked meanwhile, the
//! pages between its start and where it stands never change: the start is the first row that the
//! first page showed, and no `prev` goes beyond it.

use std::borrow::Cow;

use serde::Serialize;
use tongjang_core::{AccountId, EntryNumber};
use tongjang_store::Order;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::cursor::{NotACursor, Scanner, Writer};

/// How many rows a page has if the caller does not say.
pub(crate) const DEFAULT_LIMIT: u16 = 50;

/// The most rows of a page.
pub(crate) const MAX_LIMIT: u16 = 500;

/// A page of a listing.
#[derive(Serialize)]
pub struct Page<T> {
    /// The rows, in the order asked for.
    pub data: Vec<T>,
    /// The cursor of the page after this one, or null if there is none.
    pub next_cursor: Option<String>,
    /// The cursor of the page before this one in the same order, or null if there is none.
    pub prev_cursor: Option<String>,
}

// By hand, since the derived schema of a generic type repeats that of its rows.
impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new()
            .items(Ref::from_schema_name(T::name()))
            .description(Some("The rows, in the order asked for."));
        let cursor = |about: &str| {
            ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
                .description(Some(about))
        };
        let next = cursor(
            "The cursor of the page after this one, or null if there is none. A page may be short \
             or even empty and still have one, when a filter had to look at many rows.",
        );
        let prev = cursor(
            "The cursor of the page before this one in the same order, or null if there is none. \
             It never leads to rows that are newer than the first page of the listing.",
        );
        ObjectBuilder::new()
            .description(Some("A page of a listing."))
            .property("data", rows)
            .property("next_cursor", next)
            .property("prev_cursor", prev)
            .required("data")
            .required("next_cursor")
            .required("prev_cursor")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

/// What rows are ordered by, and where a page may begin.
pub(crate) trait Place: Copy + Ord {
    /// The place right above this one.
    fn above(self) -> Option<Self>;
    /// The place right below this one.
    fn below(self) -> Option<Self>;
    /// As 16 bytes of a cursor.
    fn bits(self) -> u128;
    /// Back from them.
    fn from_bits(bits: u128) -> Option<Self>;
}

impl Place for EntryNumber {
    fn above(self) -> Option<Self> {
        self.get().checked_add(1).and_then(Self::new)
    }

    fn below(self) -> Option<Self> {
        Self::new(self.get() - 1)
    }

    fn bits(self) -> u128 {
        self.get().into()
    }

    fn from_bits(bits: u128) -> Option<Self> {
        u64::try_from(bits).ok().and_then(Self::new)
    }
}

impl Place for AccountId {
    fn above(self) -> Option<Self> {
        self.bits().checked_add(1).map(Self::from_bits)
    }

    fn below(self) -> Option<Self> {
        self.bits().checked_sub(1).map(Self::from_bits)
    }

    fn bits(self) -> u128 {
        AccountId::bits(self)
    }

    fn from_bits(bits: u128) -> Option<Self> {
        Some(AccountId::from_bits(bits))
    }
}

/// Which way the caller turns the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Travel {
    Next,
    Prev,
}

/// Where a listing stands between two pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position<K> {
    travel: Travel,
    /// Go on right after this place, in the direction of travel.
    after: Option<K>,
    /// The first row that the listing's first page showed.
    start: Option<K>,
}

/// A page's rows in the listing's order, and the positions around it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Turned<K, T> {
    pub(crate) rows: Vec<T>,
    pub(crate) next: Option<Position<K>>,
    pub(crate) prev: Option<Position<K>>,
}

impl<K: Place> Position<K> {
    /// Before the first page.
    pub(crate) const BEGIN: Self = Self { travel: Travel::Next, after: None, start: None };

    /// The order in which the store is asked, and the place after which it begins.
    pub(crate) fn ask(&self, order: Order) -> (Order, Option<K>) {
        let order = match self.travel {
            Travel::Next => order,
            Travel::Prev => flipped(order),
        };
        (order, self.after)
    }

    /// Makes a page of what the store answered to [`ask`](Self::ask): its rows and, if there is
    /// more, where it stopped. `newest` is the newest row that there was before it was asked.
    pub(crate) fn turn<T>(
        self,
        order: Order,
        rows: Vec<T>,
        resume: Option<K>,
        newest: Option<K>,
        place: impl Fn(&T) -> K,
    ) -> Turned<K, T> {
        match self.travel {
            Travel::Next => self.forward(order, rows, resume, newest, place),
            Travel::Prev => self.back(order, rows, resume, place),
        }
    }

    fn forward<T>(
        self,
        order: Order,
        rows: Vec<T>,
        resume: Option<K>,
        newest: Option<K>,
        place: impl Fn(&T) -> K,
    ) -> Turned<K, T> {
        let first = rows.first().map(&place);
        let newest = newest.filter(|_| order == Order::Desc);
        let start = self.start.or(first).or(newest);
        let next = resume.map(|after| Self { travel: Travel::Next, after: Some(after), start });
        let prev = self.after.map(|after| Self {
            travel: Travel::Prev,
            // An empty page has looked at what follows `after`; back from it comes `after` again.
            after: first.or_else(|| step(after, order)),
            start,
        });
        Turned { rows, next, prev }
    }

    /// Makes a page of what the store answered where rows were skipped from the beginning on.
    /// `start` is the first of those: nobody has seen it, but pages lead back to it.
    pub(crate) fn land<T>(
        rows: Vec<T>,
        resume: Option<K>,
        start: K,
        place: impl Fn(&T) -> K,
    ) -> Turned<K, T> {
        let (first, start) = (rows.first().map(&place), Some(start));
        let next = resume.map(|after| Self { travel: Travel::Next, after: Some(after), start });
        // From beyond the end, where nothing is, the way back leads to the last page.
        let prev = Some(Self { travel: Travel::Prev, after: first, start });
        Turned { rows, next, prev }
    }

    fn back<T>(
        self,
        order: Order,
        mut rows: Vec<T>,
        resume: Option<K>,
        place: impl Fn(&T) -> K,
    ) -> Turned<K, T> {
        let start = self.start;
        let beyond = |at: K| {
            start.is_some_and(|start| match order {
                Order::Asc => at < start,
                Order::Desc => at > start,
            })
        };
        rows.retain(|row| !beyond(place(row)));
        rows.reverse();
        let first = rows.first().map(&place);
        let prev = resume
            .filter(|at| !beyond(*at) && Some(*at) != start && (first.is_none() || first != start))
            .map(|after| Self { travel: Travel::Prev, after: Some(after), start });
        let last = rows.last().map(&place);
        let next = self.after.map(|after| {
            let after = last.or_else(|| step(after, flipped(order)));
            Self { travel: Travel::Next, after, start }
        });
        Turned { rows, next, prev }
    }

    /// Writes it into a cursor.
    pub(crate) fn write(&self, to: &mut Writer) {
        to.byte(match self.travel {
            Travel::Next => 0,
            Travel::Prev => 1,
        });
        for place in [self.after, self.start] {
            to.optional(place.map(|place| place.bits().to_be_bytes()));
        }
    }

    /// Reads it from a cursor.
    pub(crate) fn read(from: &mut Scanner<'_>) -> Result<Self, NotACursor> {
        let travel = match from.byte()? {
            0 => Travel::Next,
            1 => Travel::Prev,
            _ => return Err(NotACursor),
        };
        let mut place = || match from.optional()? {
            Some(bits) => K::from_bits(u128::from_be_bytes(bits)).ok_or(NotACursor).map(Some),
            None => Ok(None),
        };
        Ok(Self { travel, after: place()?, start: place()? })
    }
}

/// The place next to `place` in `order`, or the beginning where there is none.
fn step<K: Place>(place: K, order: Order) -> Option<K> {
    match order {
        Order::Asc => place.above(),
        Order::Desc => place.below(),
    }
}

fn flipped(order: Order) -> Order {
    match order {
        Order::Asc => Order::Desc,
        Order::Desc => Order::Asc,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Numbered = Vec<(u64, bool)>;

    /// What a store answers, over rows of which some match: as `Reader::entries` is specified.
    fn entries(
        rows: &[(u64, bool)],
        (order, after): (Order, Option<EntryNumber>),
        limit: usize,
        scan_limit: usize,
    ) -> (Vec<u64>, Option<EntryNumber>) {
        let mut ahead: Numbered = rows.to_vec();
        if order == Order::Desc {
            ahead.reverse();
        }
        ahead.retain(|(number, _)| match (order, after) {
            (_, None) => true,
            (Order::Asc, Some(after)) => *number > after.get(),
            (Order::Desc, Some(after)) => *number < after.get(),
        });
        let (mut found, mut looked) = (Vec::new(), 0);
        for (number, matches) in &ahead {
            looked += 1;
            found.extend(matches.then_some(*number));
            if found.len() == limit || looked == scan_limit {
                break;
            }
        }
        let resume = (looked < ahead.len()).then(|| EntryNumber::new(ahead[looked - 1].0));
        (found, resume.flatten())
    }

    fn page(
        rows: &[(u64, bool)],
        position: Position<EntryNumber>,
        order: Order,
        (limit, scan): (usize, usize),
    ) -> Turned<EntryNumber, u64> {
        let (found, resume) = entries(rows, position.ask(order), limit, scan);
        let newest = EntryNumber::new(rows.len() as u64);
        let place = |number: &u64| EntryNumber::new(*number).unwrap();
        let turned = position.turn(order, found, resume, newest, place);
        for position in turned.next.iter().chain(&turned.prev) {
            let mut writer = Writer::default();
            position.write(&mut writer);
            assert_eq!(Position::read(&mut Scanner::new(writer.bytes())), Ok(*position));
        }
        turned
    }

    /// All rows from a page on to the end, `next` or `prev`, booking a row before each page.
    fn walk(
        rows: &mut Numbered,
        mut at: Turned<EntryNumber, u64>,
        order: Order,
        limits: (usize, usize),
        back: bool,
        booking: bool,
    ) -> (Vec<u64>, Turned<EntryNumber, u64>) {
        let mut seen = Vec::new();
        for _ in 0..200 {
            let position = if back { at.prev } else { at.next };
            let Some(position) = position else { return (seen, at) };
            if booking {
                rows.push((rows.len() as u64 + 1, true));
            }
            at = page(rows, position, order, limits);
            if back {
                seen.splice(0..0, at.rows.iter().copied());
            } else {
                seen.extend(&at.rows);
            }
        }
        panic!("the listing has no end");
    }

    proptest! {
        #[test]
        fn pages_forth_and_back_show_each_row_once_whatever_is_booked_meanwhile(
            matches in prop::collection::vec(any::<bool>(), 0..40),
            limit in 1usize..6,
            scan in prop::sample::select(vec![1usize, 2, 3, 7, 1000]),
            desc in any::<bool>(),
        ) {
            let order = if desc { Order::Desc } else { Order::Asc };
            let mut rows: Numbered = (1u64..).zip(matches).collect();
            let mut expected: Vec<u64> =
                rows.iter().filter(|(_, matches)| *matches).map(|(number, _)| *number).collect();
            if desc {
                expected.reverse();
            }
            let limits = (limit, scan);
            let first = page(&rows, Position::BEGIN, order, limits);
            prop_assert_eq!(first.prev, None);
            let mut forth = first.rows.clone();
            // An ascending listing runs into what is booked at its end, so nothing is then.
            let (rest, last) = walk(&mut rows, first, order, limits, false, desc);
            forth.extend(rest);
            prop_assert_eq!(&forth, &expected);

            let end = last.rows.clone();
            let (mut back, top) = walk(&mut rows, last, order, limits, true, true);
            back.extend(&end);
            prop_assert_eq!(&back, &expected);

            if !desc {
                return Ok(());
            }
            let again = top.rows.clone();
            let (rest, _) = walk(&mut rows, top, order, limits, false, true);
            prop_assert_eq!([again, rest].concat(), expected);
        }
    }

    #[test]
    fn the_first_page_has_no_page_before_it_even_when_come_back_to() {
        let mut rows: Numbered = (1..=10).map(|number| (number, true)).collect();
        let limits = (4, 1000);
        let first = page(&rows, Position::BEGIN, Order::Desc, limits);
        assert_eq!(first.rows, [10, 9, 8, 7]);
        let second = page(&rows, first.next.unwrap(), Order::Desc, limits);
        assert_eq!(second.rows, [6, 5, 4, 3]);
        rows.extend((11..=20).map(|number| (number, true)));
        let again = page(&rows, second.prev.unwrap(), Order::Desc, limits);
        assert_eq!(again, first);
    }
}
