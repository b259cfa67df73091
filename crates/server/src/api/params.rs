//! The parameters of calls, as their queries and headers spell them.

use serde::Deserialize;
use tongjang_store::Order;
use utoipa::{IntoParams, ToSchema};

use super::view::{Direction, Kind};

/// Which way a list goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListOrder {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

impl From<ListOrder> for Order {
    fn from(order: ListOrder) -> Self {
        match order {
            ListOrder::Asc => Self::Asc,
            ListOrder::Desc => Self::Desc,
        }
    }
}

/// Which entries are meant, as a query spells it.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FilterParams {
    /// Booked at this time or later: a date (`2026-11-22`, from the start of that day) or an
    /// RFC 3339 time with an offset, whose `+` is written `%2B`.
    #[param(example = "2026-11-01")]
    pub from: Option<String>,
    /// Booked before this time; a date means up to the END of that day.
    #[param(example = "2026-11-30")]
    pub to: Option<String>,
    /// The IANA time zone in which dates are read, instead of the ledger's.
    #[param(example = "Asia/Seoul")]
    pub tz: Option<String>,
    /// Only money in (`credit`) or out (`debit`).
    #[param(inline)]
    pub direction: Option<Direction>,
    /// Only transactions of this kind.
    #[param(inline)]
    pub kind: Option<Kind>,
    /// At least this much, in minor units, from 1 to 2^96.
    #[param(value_type = Option<i128>, format = "int128", minimum = 1, example = 1)]
    pub min_amount: Option<String>,
    /// At most this much, in minor units, from 1 to 2^96.
    #[param(value_type = Option<i128>, format = "int128", minimum = 1, example = 1000000)]
    pub max_amount: Option<String>,
    /// The memo contains this text, upper and lower case aside.
    #[param(min_length = 1, max_length = 140, example = "점심")]
    pub memo: Option<String>,
}

impl FilterParams {
    /// A filter that no index answers, so that each entry is looked at.
    pub(super) fn looks_at_each(&self) -> Option<&'static str> {
        let filters = [
            ("kind", self.kind.is_some()),
            ("min_amount", self.min_amount.is_some()),
            ("max_amount", self.max_amount.is_some()),
            ("memo", self.memo.is_some()),
        ];
        filters.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }
}

/// A page of which entries, as a query spells it.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListingParams {
    /// Booked at this time or later: a date (`2026-11-22`, from the start of that day) or an
    /// RFC 3339 time with an offset, whose `+` is written `%2B`.
    #[param(example = "2026-11-01")]
    pub from: Option<String>,
    /// Booked before this time; a date means up to the END of that day.
    #[param(example = "2026-11-30")]
    pub to: Option<String>,
    /// The IANA time zone in which dates are read, instead of the ledger's.
    #[param(example = "Asia/Seoul")]
    pub tz: Option<String>,
    /// Only money in (`credit`) or out (`debit`).
    #[param(inline)]
    pub direction: Option<Direction>,
    /// Only transactions of this kind.
    #[param(inline)]
    pub kind: Option<Kind>,
    /// At least this much, in minor units, from 1 to 2^96.
    #[param(value_type = Option<i128>, format = "int128", minimum = 1, example = 1)]
    pub min_amount: Option<String>,
    /// At most this much, in minor units, from 1 to 2^96.
    #[param(value_type = Option<i128>, format = "int128", minimum = 1, example = 1000000)]
    pub max_amount: Option<String>,
    /// The memo contains this text, upper and lower case aside.
    #[param(min_length = 1, max_length = 140, example = "점심")]
    pub memo: Option<String>,
    /// How many rows a page has at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u16>,
    /// Newest first (`desc`, which it is if left out) or oldest first (`asc`).
    #[param(inline)]
    pub order: Option<ListOrder>,
    /// Skip so many entries of the time range and direction, in the order asked for: page n of 50
    /// rows begins after 50 × (n − 1). Not with `cursor`, nor with `kind`, `memo`, `min_amount` or
    /// `max_amount`. Beyond the last entry the page is empty.
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u64>,
    /// A `next_cursor` or `prev_cursor` of this listing. It carries the filters, the order and
    /// the limit: they may be left out, and filters and order may be repeated but not changed.
    pub cursor: Option<String>,
}

/// Which page of one's own accounts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccountsParams {
    /// How many accounts a page has at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u16>,
    /// Newest first (`desc`, which it is if left out) or oldest first (`asc`).
    #[param(inline)]
    pub order: Option<ListOrder>,
    /// A `next_cursor` or `prev_cursor` of this listing, which carries the order and the limit.
    pub cursor: Option<String>,
}

/// When to look at a balance.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BalanceParams {
    /// The time: an RFC 3339 time with an offset, whose `+` is written `%2B`, or a date, which
    /// means the end of that day. Now, if left out.
    #[param(example = "2026-11-22")]
    pub at: Option<String>,
    /// The IANA time zone in which a date is read, instead of the ledger's.
    #[param(example = "Asia/Seoul")]
    pub tz: Option<String>,
}

/// The headers of a call that opens an account.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct KeyHeader {
    /// Names this request among all of the caller's: 1 to 255 visible ASCII characters, bare or in
    /// double quotes. The same request under the same key gets the same answer and does nothing
    /// more.
    #[param(
        rename = "Idempotency-Key",
        value_type = String,
        required = false,
        max_length = 257,
        example = "5f3c1c1e-2f4b-4a5e-9c1d-7d2f6f1b8a90"
    )]
    pub idempotency_key: Option<String>,
}

/// The headers of a call that moves money.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct BookingHeaders {
    /// Names this request among all of the caller's: 1 to 255 visible ASCII characters, bare or in
    /// double quotes. The same request under the same key gets the same answer and does nothing
    /// more.
    #[param(
        rename = "Idempotency-Key",
        value_type = String,
        required = false,
        max_length = 257,
        example = "5f3c1c1e-2f4b-4a5e-9c1d-7d2f6f1b8a90"
    )]
    pub idempotency_key: Option<String>,
    /// Book only if the `ETag` of the account (of a transfer, the paying one) is still this one.
    #[param(rename = "If-Match", value_type = String, required = false, example = "\"4\"")]
    pub if_match: Option<String>,
}

/// The headers of a call that looks at an account.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SeenHeader {
    /// Answer 304 without a body if the account's `ETag` is still this one.
    #[param(rename = "If-None-Match", value_type = String, required = false, example = "\"4\"")]
    pub if_none_match: Option<String>,
}
