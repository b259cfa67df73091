//! Money goes from one account of the ledger to another.

use std::fmt;

use axum::extract::State;
use axum::response::Response;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use tongjang_core::{AccountId, Command};
use tongjang_store::Reader as _;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::booking::{book, owned};
use super::params::BookingHeaders;
use super::view::TransactionView;
use crate::app::{App, AppState};
use crate::auth::Caller;
use crate::extract::{
    AmountField, Body, IdempotencyKeyHeader, IfMatch, MetadataField, NoQuery, account_number, bank,
    memo,
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

/// An account by its id, or by its bank and number.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Target {
    /// The account's id.
    Id(String),
    /// The account's bank and number.
    Number(BankAndNumber),
}

/// An account's bank and its number within it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BankAndNumber {
    /// The bank.
    #[schema(max_length = 40, example = "tongjang")]
    pub(super) bank: String,
    /// The number; hyphens and case do not matter.
    #[schema(max_length = 34, example = "110-733-0641285")]
    pub(super) number: String,
}

// By hand, since serde's own reading of such an enum can't say what is wrong inside of it.
impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an account id or an object of bank and number")
            }

            fn visit_str<E>(self, id: &str) -> Result<Target, E> {
                Ok(Target::Id(id.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                let place = BankAndNumber::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Target::Number(place))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Target {
    /// The account that is meant. Whether it may be booked on is for the rules to say.
    fn find(&self, app: &App) -> Result<AccountId, Problem> {
        let reader = app.ledger.reader();
        let found = match self {
            Self::Id(id) => match id.parse() {
                // The ledger's own accounts are no target, and look like none at all.
                Ok(id) => reader
                    .account(id)?
                    .filter(|account| !account.opened().is_settlement())
                    .map(|account| account.id()),
                Err(_) => None,
            },
            Self::Number(place) => {
                let bank = bank(&place.bank, "/to_account/bank")?;
                let number = account_number(&place.number, "/to_account/number")?;
                reader.account_by_number(&bank, &number)?
            }
        };
        found.ok_or_else(|| unknown("/to_account"))
    }
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
        .map_err(|problem| match problem.code() {
            Code::NotFound => unknown("/from_account"),
            _ => problem,
        })?
        .id();
    let to = body.to_account.find(&app)?;
    let as_whom = caller.as_owner();
    let command = Command::Transfer { from, to, amount, memo, to_memo, metadata };
    book(&app, &caller, as_whom, command, key, version).await
}
