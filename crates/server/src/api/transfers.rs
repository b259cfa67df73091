//! Money goes from one account of the ledger to another.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use tongjang_core::{AccountId, Command};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{book, owned};
use super::params::BookingHeaders;
use super::view::TransactionView;
use crate::app::{App, AppState};
use crate::auth::Caller;
pub(super) use crate::extract::Target;
use crate::extract::{
    AccountName, AmountField, Body, IdempotencyKeyHeader, IfMatch, MetadataField, NoQuery, memo,
};
use crate::problem::{Code, Problem, Text};

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(transfer))
}

/// Money from one account to another of the same currency.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "from_account": "acc_01j9w3k0v8e2t6m5qzr7xh4ndp",
    "to_account": {"bank": "tongjang", "number": "110-733-0641285"},
    "amount": 25000,
    "memo": "점심",
    "to_memo": "김철수"
}))]
pub struct Transfer {
    /// The id of the account to debit, which the caller owns.
    from_account: String,
    /// The account to credit, by its id or by its bank and number.
    to_account: Target,
    /// How much, in the currency's minor unit.
    #[serde(default)]
    #[schema(required)]
    amount: AmountField,
    /// What the paying account's passbook will say (적요): at most 140 characters, no control
    /// characters.
    #[schema(max_length = 140)]
    memo: Option<String>,
    /// What the receiving account's passbook will say; the same as `memo` if left out.
    #[schema(max_length = 140)]
    to_memo: Option<String>,
    /// What the caller keeps with it.
    #[serde(default)]
    metadata: MetadataField,
}

/// The account to credit. Whether it may be booked on is for the rules to say.
async fn receiver(app: &App, target: &Target) -> Result<AccountId, Problem> {
    let found = match target.read("/to_account")? {
        // The ledger's own accounts are no target, and look like none at all.
        AccountName::Id(id) => app
            .ledger
            .openings(vec![id])
            .await?
            .pop()
            .flatten()
            .filter(|account| !account.is_settlement())
            .map(|account| account.id),
        AccountName::Place(bank, number) => app.ledger.account_by_number(&bank, &number).await?,
        AccountName::Nowhere => None,
    };
    found.ok_or_else(|| unknown("/to_account"))
}

/// The body names an account at `pointer` that there is not.
pub(super) fn unknown(pointer: &str) -> Problem {
    let detail = Text::fixed("There is no such account.", "그런 계좌가 없습니다.");
    Problem::new(Code::NotFound)
        .detail(detail)
        .error(pointer, Text::fixed("names no account", "해당하는 계좌가 없습니다"))
}

/// Transfer money to another account
///
/// Debits the caller's own account and credits another of the same currency, both or neither.
/// Send an `Idempotency-Key`, so that a retry never books twice.
#[utoipa::path(
    post,
    path = "/v1/transfers",
    operation_id = "transfer",
    tag = "money",
    security(("bearer" = [])),
    params(BookingHeaders),
    request_body = Transfer,
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
        "not-found", "insufficient-funds", "same-account", "currency-mismatch", "account-frozen",
        "account-closed", "balance-overflow"
    ]))),
)]
async fn transfer(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    key: IdempotencyKeyHeader,
    version: IfMatch,
    Body(body): Body<Transfer>,
) -> Result<Response, Problem> {
    let amount = body.amount.required("/amount")?;
    let to_memo = body.to_memo.as_deref().map(|text| memo(Some(text), "/to_memo")).transpose()?;
    let memo = memo(body.memo.as_deref(), "/memo")?;
    let metadata = body.metadata.metadata("/metadata")?;
    let from = body.from_account.parse().map_err(|_| unknown("/from_account"))?;
    let from = owned(&app, &caller, from)
        .await
        .map_err(|problem| match problem.code() {
            Code::NotFound => unknown("/from_account"),
            _ => problem,
        })?
        .id;
    let to = receiver(&app, &body.to_account).await?;
    let as_whom = caller.as_owner();
    let command = Command::Transfer { from, to, amount, memo, to_memo, metadata };
    book(&app, &caller, as_whom, command, key, version).await
}
