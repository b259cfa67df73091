//! The whole ledger at a glance, for operators.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tongjang_store::{LedgerTotals, Reader as _};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::json;
use crate::app::AppState;
use crate::auth::Caller;
use crate::extract::NoQuery;
use crate::problem::Problem;

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ledger))
}

/// The whole ledger.
#[derive(Serialize, ToSchema)]
#[schema(as = Ledger)]
pub struct LedgerView {
    /// A row a currency, in the order of their codes.
    #[schema(inline)]
    data: Vec<CurrencyTotals>,
    /// Whether every currency sums to zero, as it must.
    balanced: bool,
}

/// The ledger in one currency.
#[derive(Serialize, ToSchema)]
struct CurrencyTotals {
    /// The ISO 4217 code.
    #[schema(example = "KRW")]
    currency: String,
    /// How many customers' accounts.
    #[schema(minimum = 0, example = 1204)]
    accounts: u64,
    /// The sum of the customers' balances.
    #[schema(format = "int128", example = 98250000)]
    customer_balance: i128,
    /// The balance of the ledger's own side of deposits and withdrawals.
    #[schema(format = "int128", example = -98250000)]
    settlement_balance: i128,
    /// `customer_balance` + `settlement_balance`, which is zero in a sound ledger.
    #[schema(format = "int128", example = 0)]
    sum: i128,
    /// How many transactions.
    #[schema(minimum = 0, example = 50311)]
    transactions: u64,
}

impl From<LedgerTotals> for CurrencyTotals {
    fn from(totals: LedgerTotals) -> Self {
        let sum = totals.customer_balance.checked_add(totals.settlement_balance);
        Self {
            currency: totals.currency.to_string(),
            accounts: totals.accounts,
            customer_balance: totals.customer_balance.minor(),
            settlement_balance: totals.settlement_balance.minor(),
            // Two sums that overflow together are not each other's opposite, so anything but zero
            // is true enough; the figures themselves stand beside it.
            sum: sum.map_or(i128::MAX, |sum| sum.minor()),
            transactions: totals.transactions,
        }
    }
}

/// Look at the whole ledger (operators)
///
/// Per currency the number of accounts and transactions, what customers hold, what the settlement
/// account stands at, and that both sum to zero.
#[utoipa::path(
    get,
    path = "/v1/ledger",
    operation_id = "getLedger",
    tag = "money",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The ledger, a row a currency", body = LedgerView),
    ),
    extensions(("x-problems" = json!(["not-permitted"]))),
)]
async fn ledger(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
) -> Result<Response, Problem> {
    caller.operator_only()?;
    let totals = app.ledger.query(|reader| reader.totals()).await?;
    let data: Vec<CurrencyTotals> = totals.into_iter().map(Into::into).collect();
    let balanced = data.iter().all(|row| row.sum == 0);
    Ok(json(StatusCode::OK, &LedgerView { data, balanced }))
}
