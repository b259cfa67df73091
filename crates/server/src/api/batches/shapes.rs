//! What the document says of a batch: the commands as [`command`](super::command) reads them, and
//! the outcomes as [`outcome`](super::outcome) writes them.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{IntoParams, ToSchema};

use crate::api::transfers::Target;
use crate::api::view::{AccountView, TransactionView};
use crate::extract::AmountField;

/// How much an outcome tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Extent {
    /// The id of what was made.
    #[default]
    Brief,
    /// The whole transaction or account, as the single call would answer it.
    Full,
}

/// The parameters of a batch.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchParams {
    /// With `full`, each outcome has the whole transaction or account as its `body`.
    #[param(inline)]
    pub(super) answer: Option<Extent>,
}

/// Many commands.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch, example = json!({
    "atomic": true,
    "commands": [
        {
            "op": "transfer",
            "from_account": "acc_01j9w3k0v8e2t6m5qzr7xh4ndp",
            "to_account": {"bank": "tongjang", "number": "110-733-0641285"},
            "amount": 25000,
            "idempotency_key": "payroll-2026-11-0001"
        }
    ]
}))]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) struct BatchBody {
    /// Whether all are booked or none; false if left out.
    #[serde(default)]
    #[schema(default = false)]
    atomic: bool,
    /// The commands, in the order in which they are booked.
    #[schema(min_items = 1, max_items = 10_000)]
    commands: Vec<BatchCommand>,
}

/// A command of a batch.
#[derive(ToSchema)]
#[schema(as = BatchCommand, example = json!({
    "op": "deposit",
    "account": "acc_01j9w3k0v8e2t6m5qzr7xh4ndp",
    "amount": 25000,
    "memo": "월급",
    "idempotency_key": "payroll-2026-11-0001"
}))]
#[serde(untagged)]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) enum BatchCommand {
    /// Open an account.
    Open(BatchOpening),
    /// Deposit or withdraw money.
    Movement(BatchMovement),
    /// Transfer money to another account.
    Transfer(BatchTransfer),
}

/// What is asked for: an opening.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document is made from it")]
enum OpOfOpening {
    Open,
}

/// What is asked for: money in, or money out.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document is made from it")]
enum OpOfMovement {
    Deposit,
    Withdrawal,
}

/// What is asked for: a transfer.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only the document is made from it")]
enum OpOfTransfer {
    Transfer,
}

/// An account to be opened.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) struct BatchOpening {
    #[schema(inline)]
    op: OpOfOpening,
    /// The ISO 4217 code of the currency that it will hold.
    #[schema(min_length = 3, max_length = 3, example = "KRW")]
    currency: String,
    /// The bank that keeps it; `tongjang` if left out.
    #[schema(min_length = 1, max_length = 40, example = "088")]
    bank: Option<String>,
    /// Its number, unique within the bank. It is made if left out.
    #[schema(min_length = 1, max_length = 34, example = "110-482-9153776")]
    number: Option<String>,
    /// The owner's own label for it.
    #[schema(max_length = 60, example = "생활비")]
    name: Option<String>,
    /// Who will own it; the caller if left out, and anybody else only for operators.
    #[schema(example = "usr_01j9w3jzq4c8y1b7kfs5g2ravm")]
    owner_id: Option<String>,
    /// The caller's key for this command.
    #[schema(min_length = 1, max_length = 255, example = "opening-0001")]
    idempotency_key: Option<String>,
}

/// Money in or out.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) struct BatchMovement {
    #[schema(inline)]
    op: OpOfMovement,
    /// The account's id.
    #[schema(example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp")]
    account: String,
    /// How much, in the currency's minor unit.
    amount: AmountField,
    /// What the passbook will say (적요).
    #[schema(max_length = 140, example = "월급")]
    memo: Option<String>,
    /// What the caller keeps with it: at most 16 pairs, 1 KiB together.
    metadata: Option<BTreeMap<String, String>>,
    /// The caller's key for this command.
    #[schema(min_length = 1, max_length = 255, example = "payroll-2026-11-0001")]
    idempotency_key: Option<String>,
}

/// Money from one account to another of the same currency.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) struct BatchTransfer {
    #[schema(inline)]
    op: OpOfTransfer,
    /// The id of the account to debit.
    #[schema(example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp")]
    from_account: String,
    /// The account to credit, by its id or by its bank and number.
    to_account: Target,
    /// How much, in the currency's minor unit.
    amount: AmountField,
    /// What the paying account's passbook will say (적요).
    #[schema(max_length = 140, example = "점심")]
    memo: Option<String>,
    /// What the receiving account's passbook will say; the same as `memo` if left out.
    #[schema(max_length = 140, example = "김철수")]
    to_memo: Option<String>,
    /// What the caller keeps with it: at most 16 pairs, 1 KiB together.
    metadata: Option<BTreeMap<String, String>>,
    /// The caller's key for this command.
    #[schema(min_length = 1, max_length = 255, example = "lunch-2026-11-22")]
    idempotency_key: Option<String>,
}

/// What came of a batch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) struct BatchOutcomes {
    /// An outcome a command, in the same order.
    outcomes: Vec<BatchOutcome>,
}

/// What came of a command.
#[derive(ToSchema)]
#[schema(example = json!({
    "line": 1,
    "status": 201,
    "id": "txn_01j9w3m2d6h8r4c1wzt9kqy5fb"
}))]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) struct BatchOutcome {
    /// The number of its line, or its place among the commands, from 1.
    #[schema(minimum = 1)]
    line: u64,
    /// 201, or the status of the problem: 4xx where the command is refused, and 503 where the
    /// server could not book it now.
    #[schema(example = 201)]
    status: u16,
    /// The id of the transaction or account that was made.
    id: Option<String>,
    /// True where its key already stood for this outcome.
    replayed: Option<bool>,
    /// With `answer=full`: the transaction or account.
    body: Option<BatchBodyOf>,
    /// Why it was refused.
    #[schema(schema_with = problem)]
    problem: Option<()>,
}

/// What a command made.
#[derive(ToSchema)]
#[schema(as = BatchOutcomeBody)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the document is made from it")]
pub(super) enum BatchBodyOf {
    /// A transaction.
    Transaction(TransactionView<'static>),
    /// An account.
    Account(AccountView<'static>),
}

fn problem() -> RefOr<Schema> {
    Ref::from_schema_name("Problem").into()
}
