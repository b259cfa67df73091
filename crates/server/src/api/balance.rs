//! An account's balance at a time.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tongjang_core::{AccountId, Balance, EntryNumber};
use tongjang_store::Reader as _;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::readable;
use super::json;
use super::listing::zone_or;
use super::params::BalanceParams;
use crate::app::AppState;
use crate::auth::Caller;
use crate::extract::{Path, Query};
use crate::ledger::LedgerReader;
use crate::problem::Problem;
use crate::when::{Utc, When};

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(balance))
}

/// An account's balance at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BalanceAt)]
pub struct BalanceView {
    /// The time.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T14:59:59.999999Z")]
    at: Utc,
    /// The balance after the last entry booked at or before it.
    #[schema(format = "int128", example = 125000)]
    balance: i128,
    /// The number of that entry; null before the first one.
    #[schema(required, minimum = 1, example = 3)]
    entry_number: Option<u64>,
}

/// Look at an account's balance at a time
///
/// The balance after the last entry booked at or before that time.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/balance",
    operation_id = "getBalance",
    tag = "accounts",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
        BalanceParams,
    ),
    responses(
        (status = 200, description = "The balance", body = BalanceView),
    ),
    extensions(("x-problems" = json!(["not-account-owner"]))),
)]
async fn balance(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<AccountId>,
    Query(params): Query<BalanceParams>,
) -> Result<Response, Problem> {
    let account = readable(&app, &caller, id).await?;
    let zone = zone_or(params.tz.as_deref(), &app.config.time_zone)?;
    let at = match &params.at {
        Some(text) => When::read(text)
            .and_then(|when| when.at(&zone))
            .map_err(|error| Problem::invalid("/at", error.text()))?,
        // A busy account's newest entry may stand a little ahead of the clock.
        None => app.clock.now().max(account.standing().last_booked_at),
    };
    let ask = move |reader: &LedgerReader| {
        let Some(number) = EntryNumber::new(reader.entries_before(id, at.next())?) else {
            return Ok((Balance::ZERO, None));
        };
        let row = reader.entry(id, number)?;
        let row = row.expect("an account has every entry up to its count");
        Ok((row.entry.balance, Some(number.get())))
    };
    let (balance, entry_number) = app.ledger.query(ask).await?;
    let view = BalanceView { at: Utc(at), balance: balance.minor(), entry_number };
    Ok(json(StatusCode::OK, &view))
}
