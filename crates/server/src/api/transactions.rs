//! One transaction, for who has an account in it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use tongjang_core::TransactionId;
use tongjang_store::Reader as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{counterparties, parties, viewer};
use super::json;
use super::view::TransactionView;
use crate::app::AppState;
use crate::auth::Caller;
use crate::extract::{NoQuery, Path};
use crate::problem::{Code, Problem};

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(transaction))
}

/// Look at a transaction
///
/// For an owner of one of its accounts, showing only that owner's entries; an operator sees all.
#[utoipa::path(
    get,
    path = "/v1/transactions/{id}",
    operation_id = "getTransaction",
    tag = "money",
    security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The transaction",
            example = "txn_01j9w3m2d6h8r4c1wzt9kqy5fb"),
    ),
    responses(
        (status = 200, description = "The transaction", body = TransactionView<'static>),
    ),
    extensions(("x-problems" = json!(["not-account-owner"]))),
)]
async fn transaction(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    Path(id): Path<TransactionId>,
) -> Result<Response, Problem> {
    let found = app.ledger.query(move |reader| reader.transaction(id)).await?;
    let transaction = found.ok_or_else(|| Problem::new(Code::NotFound))?;
    let viewer = viewer(&app, &caller, &transaction).await?;
    let seen = transaction.entries.iter().filter(|entry| viewer.sees(entry.account));
    let parties = parties(&app, counterparties(seen)).await?;
    Ok(json(StatusCode::OK, &TransactionView::new(&transaction, &viewer, &parties)))
}
