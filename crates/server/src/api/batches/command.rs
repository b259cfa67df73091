//! A command as its line says it, read with exact errors. Most lines never come here: see
//! [`fast`](super::fast).

use serde::Deserialize;
use serde::de::IgnoredAny;
use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Currency, IdempotencyKey, Memo, Metadata, UserId,
};

use crate::api::opening::OpenAccount;
use crate::api::transfers::unknown;
/// Where a transfer goes.
pub(super) use crate::extract::AccountName as To;
use crate::extract::{AmountField, MetadataField, Target, memo, parse};
use crate::problem::{Code, Problem, Text};

/// What a line asks for, and under which key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) what: What,
    pub(super) key: Option<IdempotencyKey>,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// An account to be opened.
    Open(Opening),
    /// Money in.
    Deposit(Movement),
    /// Money out.
    Withdrawal(Movement),
    /// Money from one account to another.
    Transfer(Transfer),
}

/// An account to be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Opening {
    pub(super) currency: Currency,
    pub(super) bank: Bank,
    pub(super) number: Option<AccountNumber>,
    pub(super) name: Option<String>,
    pub(super) owner: Option<UserId>,
}

/// Money in or out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Movement {
    pub(super) account: AccountId,
    pub(super) amount: Amount,
    pub(super) memo: Memo,
    pub(super) metadata: Metadata,
}

/// Money from one account to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Transfer {
    pub(super) from: AccountId,
    pub(super) to: To,
    pub(super) amount: Amount,
    pub(super) memo: Memo,
    pub(super) to_memo: Option<Memo>,
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
struct Kind {
    op: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenLine {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    currency: String,
    bank: Option<String>,
    number: Option<String>,
    name: Option<String>,
    owner_id: Option<String>,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MovementLine {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    account: String,
    #[serde(default)]
    amount: AmountField,
    memo: Option<String>,
    #[serde(default)]
    metadata: MetadataField,
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferLine {
    #[serde(rename = "op")]
    _op: IgnoredAny,
    from_account: String,
    to_account: Target,
    #[serde(default)]
    amount: AmountField,
    memo: Option<String>,
    to_memo: Option<String>,
    #[serde(default)]
    metadata: MetadataField,
    idempotency_key: Option<String>,
}

/// Reads the command in `json`.
///
/// # Errors
/// 400 and what is wrong with it, or 404 where it names no account.
pub(super) fn read(json: &[u8]) -> Result<Order, Problem> {
    let Kind { op } = parse(json)?;
    match op.as_str() {
        "open" => parse::<OpenLine>(json)?.read(),
        "deposit" => {
            let (movement, key) = parse::<MovementLine>(json)?.read()?;
            Ok(Order { what: What::Deposit(movement), key })
        }
        "withdrawal" => {
            let (movement, key) = parse::<MovementLine>(json)?.read()?;
            Ok(Order { what: What::Withdrawal(movement), key })
        }
        "transfer" => parse::<TransferLine>(json)?.read(),
        _ => Err(Problem::invalid(
            "/op",
            Text::fixed(
                "must be open, deposit, withdrawal or transfer",
                "open, deposit, withdrawal, transfer 중 하나여야 합니다",
            ),
        )),
    }
}

impl OpenLine {
    fn read(self) -> Result<Order, Problem> {
        let Self { currency, bank, number, name, owner_id, idempotency_key, .. } = self;
        let order = OpenAccount { currency, bank, number, name }.read()?;
        let owner = owner_id.as_deref().map(owner).transpose()?;
        let what = What::Open(Opening {
            currency: order.currency,
            bank: order.bank,
            number: order.number,
            name: order.name,
            owner,
        });
        Ok(Order { what, key: key(idempotency_key)? })
    }
}

impl MovementLine {
    fn read(self) -> Result<(Movement, Option<IdempotencyKey>), Problem> {
        let amount = self.amount.required("/amount")?;
        let memo = memo(self.memo.as_deref(), "/memo")?;
        let metadata = self.metadata.metadata("/metadata")?;
        let key = key(self.idempotency_key)?;
        let account = self.account.parse().map_err(|_| unknown("/account"))?;
        Ok((Movement { account, amount, memo, metadata }, key))
    }
}

impl TransferLine {
    fn read(self) -> Result<Order, Problem> {
        let amount = self.amount.required("/amount")?;
        let to_memo = self.to_memo.as_deref().map(|text| memo(Some(text), "/to_memo"));
        let to_memo = to_memo.transpose()?;
        let memo = memo(self.memo.as_deref(), "/memo")?;
        let metadata = self.metadata.metadata("/metadata")?;
        let key = key(self.idempotency_key)?;
        let from = self.from_account.parse().map_err(|_| unknown("/from_account"))?;
        let to = self.to_account.read("/to_account")?;
        let what = What::Transfer(Transfer { from, to, amount, memo, to_memo, metadata });
        Ok(Order { what, key })
    }
}

fn owner(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|_| nobody())
}

/// `owner_id` names nobody.
pub(super) fn nobody() -> Problem {
    let detail = Text::fixed("names no user", "해당하는 사용자가 없습니다");
    Problem::invalid("/owner_id", detail)
}

fn key(text: Option<String>) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(text) = text else { return Ok(None) };
    IdempotencyKey::new(&text).map(Some).ok_or_else(|| {
        Problem::new(Code::InvalidIdempotencyKey).error(
            "/idempotency_key",
            Text::fixed(
                "must be 1 to 255 visible ASCII characters",
                "보이는 ASCII 문자 1~255자여야 합니다",
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> (Code, String) {
        let problem = read(json.as_bytes()).unwrap_err();
        let pointer = problem.errors().first().map(|error| error.pointer.clone());
        (problem.code(), pointer.unwrap_or_default())
    }

    #[test]
    fn what_is_wrong_with_a_command_is_pointed_at() {
        let account = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp";
        for (json, code, pointer) in [
            (r#"{"amount": 1}"#.to_owned(), Code::InvalidRequest, "/op"),
            (r#"{"op": "reverse"}"#.to_owned(), Code::InvalidRequest, "/op"),
            (r#"{"op": 1}"#.to_owned(), Code::InvalidRequest, "/op"),
            (r#"{"op": "open", "op": "open"}"#.to_owned(), Code::InvalidRequest, "/op"),
            (r#"["op"]"#.to_owned(), Code::InvalidRequest, ""),
            (r#"{"op": "deposit""#.to_owned(), Code::MalformedJson, ""),
            (r#"{"op": "open", "currency": "won"}"#.to_owned(), Code::InvalidRequest, "/currency"),
            (
                r#"{"op": "open", "currency": "KRW", "owner_id": "me"}"#.to_owned(),
                Code::InvalidRequest,
                "/owner_id",
            ),
            (
                format!(r#"{{"op": "deposit", "account": "{account}", "amount": 1.0}}"#),
                Code::InvalidAmount,
                "/amount",
            ),
            (
                format!(
                    r#"{{"op": "deposit", "account": "{account}", "to_memo": "a", "amount": 1}}"#
                ),
                Code::InvalidRequest,
                "/to_memo",
            ),
            (
                r#"{"op": "withdrawal", "account": "x", "amount": 1}"#.to_owned(),
                Code::NotFound,
                "/account",
            ),
            (
                format!(
                    r#"{{"op": "deposit", "account": "{account}", "amount": 1,
                        "idempotency_key": "a b"}}"#
                ),
                Code::InvalidIdempotencyKey,
                "/idempotency_key",
            ),
            (
                format!(
                    r#"{{"op": "transfer", "from_account": "{account}", "amount": 1,
                        "to_account": {{"bank": "088", "number": "-"}}}}"#
                ),
                Code::InvalidRequest,
                "/to_account/number",
            ),
        ] {
            assert_eq!(refused(&json), (code, pointer.to_owned()), "{json}");
        }
    }
}
