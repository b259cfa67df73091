//! The history of an account (거래내역): its entries page by page, and their sums.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tongjang_core::{AccountId, EntryNumber};
use tongjang_store::{EntryQuery, Reader as _, Row};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{counterparties, parties, readable};
use super::json;
use super::listing::Bound;
use super::page::{Page, Position};
use super::params::{FilterParams, ListingParams};
use super::view::EntryView;
use crate::app::AppState;
use crate::auth::Caller;
use crate::extract::{Path, Query};
use crate::problem::{Problem, Text};

/// How many entries one request may look at where no index knows what is asked.
const SCAN_LIMIT: usize = 10_000;

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(entries)).routes(routes!(summary))
}

/// For the document, which cannot name a generic type.
type EntryPage = Page<EntryView<'static>>;

/// List an account's entries
///
/// The passbook, newest first unless `order=asc`. All filters may be combined. `from` and `to` are
/// settled with the first page and stay as they were on the others. `offset` jumps to any page of a
/// time range and a direction as fast as to the first; the cursors lead on and back from there. The
/// filters `kind`, `memo`, `min_amount` and `max_amount` look at up to 10,000 entries a request: a
/// page may then be short or empty and still have a `next_cursor` to go on with.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/entries",
    operation_id = "listEntries",
    tag = "history",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
        ListingParams,
    ),
    responses(
        (status = 200, description = "A page of entries", body = EntryPage),
    ),
    extensions(("x-problems" = json!(["invalid-amount", "invalid-cursor", "not-account-owner"]))),
)]
async fn entries(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AccountId>,
    Query(params): Query<ListingParams>,
) -> Result<Response, Problem> {
    let account = readable(&app, &caller, id).await?;
    let bound = Bound { caller: caller.user, account: id };
    let key = app.directory.cursor_key();
    let listing = params.listing(&bound, key, &app.config.time_zone)?;
    let (order, after) = listing.position.ask(listing.order);
    let query = EntryQuery {
        filter: listing.filter.clone(),
        order,
        after,
        offset: listing.offset,
        limit: listing.limit.into(),
        scan_limit: SCAN_LIMIT,
    };
    let page = app.ledger.query(move |reader| reader.entries(&query)).await?;
    let newest = EntryNumber::new(account.entry_count());
    let place = |row: &Row| row.entry.number;
    let turned = match page.skipped {
        Some(first) => Position::land(page.rows, page.resume, first, place),
        None => listing.position.turn(listing.order, page.rows, page.resume, newest, place),
    };
    let parties = parties(&app, counterparties(turned.rows.iter().map(|row| &row.entry))).await?;
    let cursor = |position| listing.cursor(&bound, key, position);
    let view = Page {
        data: turned.rows.iter().map(|row| EntryView::of_row(row, &parties)).collect(),
        next_cursor: turned.next.map(cursor),
        prev_cursor: turned.prev.map(cursor),
    };
    Ok(json(StatusCode::OK, &view))
}

/// Count and sums of an account's entries.
#[derive(Serialize, ToSchema)]
#[schema(as = Summary)]
pub struct SummaryView {
    /// How many entries the filters meet.
    #[schema(minimum = 0, example = 3)]
    count: u64,
    /// The sum of the credits (입금) among them.
    #[schema(format = "int128", minimum = 0, example = 150000)]
    credit_total: i128,
    /// The sum of the debits (출금) among them.
    #[schema(format = "int128", minimum = 0, example = 25000)]
    debit_total: i128,
    /// The account's balance before the first entry of the time range.
    #[schema(format = "int128", example = 0)]
    opening_balance: i128,
    /// The account's balance after the last entry of the time range.
    #[schema(format = "int128", example = 125000)]
    closing_balance: i128,
}

/// Sum up an account's entries
///
/// Count and sums of the entries that the filters meet, and the balances at both ends of the time
/// range. A range and a direction are answered at once, however many entries there are; the other
/// filters look at each, up to 10,000 of them, and refuse a longer range.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/entries/summary",
    operation_id = "summarizeEntries",
    tag = "history",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
        FilterParams,
    ),
    responses(
        (status = 200, description = "The sums", body = SummaryView),
    ),
    extensions(("x-problems" = json!(["invalid-amount", "not-account-owner"]))),
)]
async fn summary(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AccountId>,
    Query(params): Query<FilterParams>,
) -> Result<Response, Problem> {
    readable(&app, &caller, id).await?;
    let filter = params.filter(id, &app.config.time_zone)?;
    let looks = params.looks_at_each();
    let summary = app.ledger.query(move |reader| reader.summary(&filter, SCAN_LIMIT)).await?;
    let Some(summary) = summary else {
        return Err(Problem::invalid(
            format!("/{}", looks.unwrap_or("from")),
            Text::fixed(
                "has each entry looked at, and these are more than 10,000; choose a shorter time \
                 with `from` and `to`",
                "거래를 하나씩 살펴보는 조건인데 10,000건이 넘습니다. `from`과 `to`로 기간을 \
                 좁히세요",
            ),
        ));
    };
    let view = SummaryView {
        count: summary.count,
        credit_total: summary.credit_total.minor(),
        debit_total: summary.debit_total.minor(),
        opening_balance: summary.opening_balance.minor(),
        closing_balance: summary.closing_balance.minor(),
    };
    Ok(json(StatusCode::OK, &view))
}
