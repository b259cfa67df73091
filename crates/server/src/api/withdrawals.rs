//! Money goes out of the ledger.

use axum::extract::State;
use axum::response::Response;
use tongjang_core::{AccountId, Command};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{Movement, book, teller_of};
use super::params::BookingHeaders;
use super::view::TransactionView;
use crate::app::AppState;
use crate::auth::Caller;
use crate::extract::{Body, IdempotencyKeyHeader, IfMatch, NoQuery, Path};
use crate::problem::Problem;

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(withdraw))
}

/// Withdraw money from an account
///
/// Books a debit on the account against the ledger's settlement account, if so much is available.
/// Who may do this is said by `--deposits`, as for deposits. Send an `Idempotency-Key`, so that a
/// retry never books twice.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/withdrawals",
    operation_id = "withdraw",
    tag = "money",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The account to debit",
            example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp"),
        BookingHeaders,
    ),
    request_body = Movement,
    responses(
        (status = 201, description = "Booked, and durable", body = TransactionView<'static>,
            headers(
                ("Location" = String, description = "The transaction's address"),
                ("Idempotency-Replayed" = String,
                    description = "`true`, if the key already stood for this answer"),
            )),
    ),
    extensions(("x-problems" = json!([
        "invalid-amount", "not-account-owner", "version-mismatch", "idempotency-key-reused",
        "not-permitted", "insufficient-funds", "account-frozen", "account-closed",
        "balance-overflow"
    ]))),
)]
async fn withdraw(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    Path(account): Path<AccountId>,
    key: IdempotencyKeyHeader,
    version: IfMatch,
    Body(body): Body<Movement>,
) -> Result<Response, Problem> {
    let (amount, memo, metadata) = body.read()?;
    let as_whom = teller_of(&app, &caller, account).await?;
    let command = Command::Withdraw { account, amount, memo, metadata };
    book(&app, &caller, as_whom, command, key, version).await
}
