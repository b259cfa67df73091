//! A listing of entries: the filters of a request, resolved once and carried by its cursors.

use jiff::tz::TimeZone;
use tongjang_core::{AccountId, Amount, EntryNumber, Memo, Timestamp, UserId};
use tongjang_store::{EntryFilter, Order};

use super::page::{DEFAULT_LIMIT, MAX_LIMIT, Position};
use super::params::{FilterParams, ListingParams};
use super::view::{Direction, Kind};
use crate::cursor::{CursorKey, NotACursor, Scanner, Writer};
use crate::extract::{AmountField, nfc};
use crate::problem::{Code, Problem, Text};
use crate::when::{self, TimeError, When};

/// What the filters of a request came to. A member is `None` where nothing was asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Asked {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    direction: Option<Direction>,
    kind: Option<Kind>,
    min_amount: Option<Amount>,
    max_amount: Option<Amount>,
    memo: Option<String>,
}

/// A listing between two of its pages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listing {
    pub(crate) filter: EntryFilter,
    pub(crate) order: Order,
    pub(crate) limit: u16,
    /// How many entries to skip; a cursor stands where it stands and skips none.
    pub(crate) offset: u64,
    pub(crate) position: Position<EntryNumber>,
}

/// What a cursor of an account's entries is bound to.
pub(crate) struct Bound {
    pub(crate) caller: UserId,
    pub(crate) account: AccountId,
}

impl FilterParams {
    /// The filter that is asked for; a plain date is read in `zone` unless `tz` names another.
    pub(crate) fn filter(
        &self,
        account: AccountId,
        zone: &TimeZone,
    ) -> Result<EntryFilter, Problem> {
        Ok(self.asked(zone)?.filter(account))
    }

    fn asked(&self, zone: &TimeZone) -> Result<Asked, Problem> {
        let zone = zone_or(self.tz.as_deref(), zone)?;
        let from = border(self.from.as_deref(), "/from", |when| when.from(&zone))?;
        let to = border(self.to.as_deref(), "/to", |when| when.to(&zone))?;
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            let text =
                Text::fixed("must not be earlier than `from`", "`from`보다 빠를 수 없습니다");
            return Err(Problem::invalid("/to", text));
        }
        let amount = |text: &Option<String>, pointer| {
            text.as_deref().map(|text| AmountField::from_parameter(text, pointer)).transpose()
        };
        let min_amount = amount(&self.min_amount, "/min_amount")?;
        let max_amount = amount(&self.max_amount, "/max_amount")?;
        if min_amount.zip(max_amount).is_some_and(|(least, most)| least > most) {
            let text = Text::fixed(
                "must not be less than `min_amount`",
                "`min_amount`보다 작을 수 없습니다",
            );
            return Err(Problem::invalid("/max_amount", text));
        }
        let memo = self.memo.as_deref().map(searched).transpose()?;
        let (direction, kind) = (self.direction, self.kind);
        Ok(Asked { from, to, direction, kind, min_amount, max_amount, memo })
    }
}

impl ListingParams {
    /// The listing and where it stands: at its beginning, or where the cursor says.
    pub(crate) fn listing(
        &self,
        bound: &Bound,
        key: &CursorKey,
        zone: &TimeZone,
    ) -> Result<Listing, Problem> {
        let limit = self.limit.map(limit).transpose()?;
        let asked = self.filters().asked(zone)?;
        let offset = self.offset.unwrap_or(0);
        let Some(cursor) = &self.cursor else {
            let filter = asked.filter(bound.account);
            if offset > 0 && filter.needs_scan() {
                return Err(Problem::invalid(
                    "/offset",
                    Text::fixed(
                        "goes with `from`, `to` and `direction`, but with no other filter",
                        "`from`, `to`, `direction`과만 함께 쓸 수 있습니다",
                    ),
                ));
            }
            return Ok(Listing {
                filter,
                order: self.order.map(Order::from).unwrap_or_default(),
                limit: limit.unwrap_or(DEFAULT_LIMIT),
                offset,
                position: Position::BEGIN,
            });
        };
        if offset > 0 {
            return Err(Problem::invalid(
                "/offset",
                Text::fixed(
                    "does not go with `cursor`, which says where the page begins",
                    "`cursor`가 시작 위치를 정하므로 함께 쓸 수 없습니다",
                ),
            ));
        }
        let invalid = |_| Problem::new(Code::InvalidCursor);
        let mut listing = Listing::open(bound, key, cursor).map_err(invalid)?;
        let carried = Asked::of(&listing.filter);
        let order = self.order.map(Order::from);
        if !asked.repeats(&carried) || order.is_some_and(|order| order != listing.order) {
            return Err(Problem::new(Code::InvalidCursor));
        }
        listing.limit = limit.unwrap_or(listing.limit);
        Ok(listing)
    }

    fn filters(&self) -> FilterParams {
        FilterParams {
            from: self.from.clone(),
            to: self.to.clone(),
            tz: self.tz.clone(),
            direction: self.direction,
            kind: self.kind,
            min_amount: self.min_amount.clone(),
            max_amount: self.max_amount.clone(),
            memo: self.memo.clone(),
        }
    }
}

impl Asked {
    fn filter(self, account: AccountId) -> EntryFilter {
        EntryFilter {
            account,
            from: self.from,
            to: self.to,
            direction: self.direction.map(Into::into),
            kind: self.kind.map(Into::into),
            min_amount: self.min_amount,
            max_amount: self.max_amount,
            memo: self.memo,
        }
    }

    fn of(filter: &EntryFilter) -> Self {
        Self {
            from: filter.from,
            to: filter.to,
            direction: filter.direction.map(Into::into),
            kind: filter.kind.map(Into::into),
            min_amount: filter.min_amount,
            max_amount: filter.max_amount,
            memo: filter.memo.clone(),
        }
    }

    /// Whether whatever is asked here stands in `carried` too.
    fn repeats(&self, carried: &Self) -> bool {
        fn same<T: PartialEq>(asked: &Option<T>, carried: &Option<T>) -> bool {
            asked.is_none() || asked == carried
        }
        same(&self.from, &carried.from)
            && same(&self.to, &carried.to)
            && same(&self.direction, &carried.direction)
            && same(&self.kind, &carried.kind)
            && same(&self.min_amount, &carried.min_amount)
            && same(&self.max_amount, &carried.max_amount)
            && same(&self.memo, &carried.memo)
    }
}

impl Listing {
    /// The cursor of this listing at `position`.
    pub(crate) fn cursor(
        &self,
        bound: &Bound,
        key: &CursorKey,
        position: Position<EntryNumber>,
    ) -> String {
        let (mut to, filter) = (Writer::default(), &self.filter);
        position.write(&mut to);
        to.byte(match self.order {
            Order::Asc => 0,
            Order::Desc => 1,
        });
        to.optional(Some(self.limit.to_be_bytes()));
        for time in [filter.from, filter.to] {
            to.optional(time.map(|time| time.micros().to_be_bytes()));
        }
        to.optional(filter.direction.map(|direction| [direction.byte()]));
        to.optional(filter.kind.map(|kind| [kind.byte()]));
        for amount in [filter.min_amount, filter.max_amount] {
            to.optional(amount.map(|amount| amount.minor().to_be_bytes()));
        }
        to.optional_text(filter.memo.as_deref());
        key.seal(&bound.parts(), to.bytes())
    }

    fn open(bound: &Bound, key: &CursorKey, cursor: &str) -> Result<Self, NotACursor> {
        let bytes = key.open(&bound.parts(), cursor)?;
        let mut from = Scanner::new(&bytes);
        let position = Position::read(&mut from)?;
        let order = match from.byte()? {
            0 => Order::Asc,
            1 => Order::Desc,
            _ => return Err(NotACursor),
        };
        let limit = from.optional()?.map(u16::from_be_bytes).ok_or(NotACursor)?;
        let mut time = || {
            let micros = from.optional()?.map(i64::from_be_bytes);
            Ok(micros.map(Timestamp::from_micros))
        };
        let mut filter = EntryFilter::all(bound.account);
        (filter.from, filter.to) = (time()?, time()?);
        filter.direction = read_byte(&mut from, tongjang_core::Direction::from_byte)?;
        filter.kind = read_byte(&mut from, tongjang_core::Kind::from_byte)?;
        for amount in [&mut filter.min_amount, &mut filter.max_amount] {
            if let Some(minor) = from.optional()?.map(i128::from_be_bytes) {
                *amount = Some(Amount::new(minor).ok_or(NotACursor)?);
            }
        }
        filter.memo = from.optional_text()?.map(str::to_owned);
        if !from.is_at_end() {
            return Err(NotACursor);
        }
        Ok(Self { filter, order, limit, offset: 0, position })
    }
}

impl Bound {
    fn parts(&self) -> [Vec<u8>; 3] {
        let (caller, account) = (self.caller.bits(), self.account.bits());
        [b"entries".to_vec(), caller.to_be_bytes().to_vec(), account.to_be_bytes().to_vec()]
    }
}

fn read_byte<T>(
    from: &mut Scanner<'_>,
    read: impl Fn(u8) -> Option<T>,
) -> Result<Option<T>, NotACursor> {
    match from.optional()? {
        Some([byte]) => read(byte).ok_or(NotACursor).map(Some),
        None => Ok(None),
    }
}

/// The page size asked for.
pub(crate) fn limit(limit: u16) -> Result<u16, Problem> {
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid("/limit", Text::fixed("must be 1 to 500", "1 이상 500 이하여야 합니다")))
}

/// The zone that `tz` names, or `zone`.
pub(crate) fn zone_or(tz: Option<&str>, zone: &TimeZone) -> Result<TimeZone, Problem> {
    match tz {
        None => Ok(zone.clone()),
        Some(name) => when::zone(name).map_err(|error| Problem::invalid("/tz", error.text())),
    }
}

fn border(
    text: Option<&str>,
    pointer: &str,
    resolve: impl Fn(When) -> Result<Timestamp, TimeError>,
) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| When::read(text).and_then(&resolve))
        .transpose()
        .map_err(|error| Problem::invalid(pointer, error.text()))
}

fn searched(text: &str) -> Result<String, Problem> {
    let text = nfc(text);
    if text.is_empty() || text.chars().nth(Memo::MAX_CHARS).is_some() {
        let detail = Text::fixed("must have 1 to 140 characters", "1~140자여야 합니다");
        return Err(Problem::invalid("/memo", detail));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::params::ListOrder;

    const BOUND: Bound = Bound { caller: UserId::from_bits(1), account: AccountId::from_bits(2) };

    fn key() -> CursorKey {
        CursorKey::new([3; 32])
    }

    fn listing(params: &ListingParams) -> Result<Listing, Code> {
        params.listing(&BOUND, &key(), &TimeZone::UTC).map_err(|problem| problem.code())
    }

    fn full() -> ListingParams {
        ListingParams {
            from: Some("2026-11-01".into()),
            to: Some("2026-11-30T12:00:00Z".into()),
            direction: Some(Direction::Debit),
            kind: Some(Kind::Transfer),
            min_amount: Some("1".into()),
            max_amount: Some("79228162514264337593543950336".into()),
            memo: Some("점심".repeat(70)),
            limit: Some(7),
            order: Some(ListOrder::Asc),
            ..ListingParams::default()
        }
    }

    #[test]
    fn a_cursor_alone_stands_for_its_whole_listing() {
        for params in [full(), ListingParams::default()] {
            let first = listing(&params).unwrap();
            let cursor = Some(first.cursor(&BOUND, &key(), first.position));
            let alone = ListingParams { cursor: cursor.clone(), ..ListingParams::default() };
            assert_eq!(listing(&alone).as_ref(), Ok(&first));
            let repeated = ListingParams { cursor, ..params };
            assert_eq!(listing(&repeated), Ok(first));
        }
    }

    #[test]
    fn a_cursor_with_other_filters_or_for_another_is_refused() {
        let first = listing(&full()).unwrap();
        let cursor = Some(first.cursor(&BOUND, &key(), first.position));
        let with = |change: fn(&mut ListingParams)| {
            let mut params = ListingParams { cursor: cursor.clone(), ..ListingParams::default() };
            change(&mut params);
            listing(&params)
        };
        for change in [
            (|params| params.from = Some("2026-11-02".into())) as fn(&mut ListingParams),
            |params| params.to = Some("2026-11-30".into()),
            |params| params.direction = Some(Direction::Credit),
            |params| params.kind = Some(Kind::Deposit),
            |params| params.min_amount = Some("2".into()),
            |params| params.max_amount = Some("2".into()),
            |params| params.memo = Some("저녁".into()),
            |params| params.order = Some(ListOrder::Desc),
        ] {
            assert_eq!(with(change), Err(Code::InvalidCursor));
        }
        assert_eq!(with(|params| params.limit = Some(9)).map(|listing| listing.limit), Ok(9));
        for other in [
            Bound { caller: UserId::from_bits(9), ..BOUND },
            Bound { account: AccountId::from_bits(9), ..BOUND },
        ] {
            let params = ListingParams { cursor: cursor.clone(), ..ListingParams::default() };
            let refused = params.listing(&other, &key(), &TimeZone::UTC);
            assert_eq!(refused.map_err(|problem| problem.code()), Err(Code::InvalidCursor));
        }
    }

    #[test]
    fn filters_that_contradict_themselves_are_refused() {
        for (change, code) in [
            (
                (|params| params.from = Some("2026-12-02".into())) as fn(&mut ListingParams),
                Code::InvalidRequest,
            ),
            (|params| params.tz = Some("Mars/Phobos".into()), Code::InvalidRequest),
            (|params| params.memo = Some(String::new()), Code::InvalidRequest),
            (|params| params.memo = Some("m".repeat(141)), Code::InvalidRequest),
            (|params| params.limit = Some(0), Code::InvalidRequest),
            (|params| params.limit = Some(501), Code::InvalidRequest),
            (|params| params.min_amount = Some("1.0".into()), Code::InvalidAmount),
            (|params| params.max_amount = Some("0".into()), Code::InvalidAmount),
            (
                |params| {
                    (params.min_amount, params.max_amount) = (Some("2".into()), Some("1".into()))
                },
                Code::InvalidRequest,
            ),
        ] {
            let mut params = full();
            change(&mut params);
            assert_eq!(listing(&params), Err(code), "{params:?}");
        }
    }
}
