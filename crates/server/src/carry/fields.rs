//! The fields of a line, as JSON or as the cells of a table, and the order that they give.

use serde::Deserialize;
use tongjang_core::{AccountId, Currency, IdempotencyKey, Status, TransactionId, UserId};

use super::line::{Called, Line, Named, Order};
use crate::extract::{AmountField, MetadataField, Target, account_number, bank, memo};
use crate::problem::{Code, Problem, Text};

/// All fields that a line may have. Which of them it does depends on its `op`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    pub(super) op: Option<String>,
    pub(super) account: Option<Target>,
    pub(super) from_account: Option<Target>,
    pub(super) to_account: Option<Target>,
    pub(super) amount: Option<AmountField>,
    pub(super) memo: Option<String>,
    pub(super) to_memo: Option<String>,
    pub(super) metadata: Option<MetadataField>,
    pub(super) currency: Option<String>,
    pub(super) bank: Option<String>,
    pub(super) number: Option<String>,
    pub(super) owner_id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) idempotency_key: Option<String>,
    // What an export tells of the original.
    pub(super) kind: Option<String>,
    pub(super) transaction_id: Option<String>,
    pub(super) booked_at: Option<String>,
    pub(super) opened_at: Option<String>,
    pub(super) changed_at: Option<String>,
    /// What the line calls accounts that an earlier import opened, as a file of refused rows tells.
    #[serde(skip)]
    pub(super) known: Vec<(String, AccountId)>,
}

/// How the keys begin that an import makes for rows without one of their own.
pub(super) const MADE_KEY: &str = "import/";

const OPEN: u8 = 1;
const MONEY: u8 = 2;
const TRANSFER: u8 = 4;
const STATUS: u8 = 8;

impl Fields {
    /// What the file calls the account that the line is to open.
    pub(crate) fn opens(&self) -> Option<Called> {
        match (self.op.as_deref(), &self.account) {
            (Some("open"), Some(Target::Id(text))) => Called::read(text),
            _ => None,
        }
    }

    /// What the line calls the accounts that it books on, where it gives no bank and number.
    pub(super) fn calls(&self) -> impl Iterator<Item = &str> {
        let opens = self.op.as_deref() == Some("open");
        let account = self.account.as_ref().filter(|_| !opens);
        [account, self.from_account.as_ref(), self.to_account.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|target| match target {
                Target::Id(text) => Some(text.as_str()),
                Target::Number(_) => None,
            })
    }

    /// The order that the fields give.
    ///
    /// # Errors
    /// 400 `invalid-request`, `invalid-amount` or `invalid-idempotency-key`, with the field.
    pub(crate) fn read(self) -> Result<Line, Problem> {
        let op = self.op.as_deref().ok_or_else(|| missing("/op"))?;
        let family = match op {
            "open" => OPEN,
            "deposit" | "withdrawal" => MONEY,
            "transfer" => TRANSFER,
            "status" => STATUS,
            _ => {
                let text = Text::fixed(
                    "must be open, deposit, withdrawal, transfer or status",
                    "open, deposit, withdrawal, transfer, status 중 하나여야 합니다",
                );
                return Err(Problem::invalid("/op", text));
            }
        };
        self.only(family)?;
        let credit = op == "deposit";
        let key = self.idempotency_key.as_deref().map(key).transpose()?;
        let identity = self.identity(family)?;
        let order = match family {
            OPEN => self.opening()?,
            STATUS => Order::ChangeStatus {
                account: named(self.account, "/account")?,
                status: status(self.status.as_deref())?,
            },
            TRANSFER => {
                let to_memo = self.to_memo.as_deref().map(|text| memo(Some(text), "/to_memo"));
                Order::Transfer {
                    from: named(self.from_account, "/from_account")?,
                    to: named(self.to_account, "/to_account")?,
                    amount: self.amount.unwrap_or_default().required("/amount")?,
                    memo: memo(self.memo.as_deref(), "/memo")?,
                    to_memo: to_memo.transpose()?,
                    metadata: self.metadata.unwrap_or_default().metadata("/metadata")?,
                }
            }
            _ => {
                let account = named(self.account, "/account")?;
                let amount = self.amount.unwrap_or_default().required("/amount")?;
                let memo = memo(self.memo.as_deref(), "/memo")?;
                let metadata = self.metadata.unwrap_or_default().metadata("/metadata")?;
                if credit {
                    Order::Deposit { account, amount, memo, metadata }
                } else {
                    Order::Withdraw { account, amount, memo, metadata }
                }
            }
        };
        Ok(Line { order, key, identity })
    }

    /// Checks that no field is given that means nothing for this `op`.
    fn only(&self, family: u8) -> Result<(), Problem> {
        let fields = [
            ("/account", self.account.is_some(), OPEN | MONEY | STATUS),
            ("/from_account", self.from_account.is_some(), TRANSFER),
            ("/to_account", self.to_account.is_some(), TRANSFER),
            ("/amount", self.amount.is_some(), MONEY | TRANSFER),
            ("/memo", self.memo.is_some(), MONEY | TRANSFER),
            ("/to_memo", self.to_memo.is_some(), TRANSFER),
            ("/metadata", self.metadata.is_some(), MONEY | TRANSFER),
            ("/currency", self.currency.is_some(), OPEN),
            ("/bank", self.bank.is_some(), OPEN),
            ("/number", self.number.is_some(), OPEN),
            ("/owner_id", self.owner_id.is_some(), OPEN),
            ("/status", self.status.is_some(), STATUS),
            ("/kind", self.kind.is_some(), MONEY | TRANSFER),
            ("/transaction_id", self.transaction_id.is_some(), MONEY | TRANSFER),
            ("/booked_at", self.booked_at.is_some(), MONEY | TRANSFER),
            ("/opened_at", self.opened_at.is_some(), OPEN),
            ("/changed_at", self.changed_at.is_some(), STATUS),
        ];
        match fields.into_iter().find(|(_, given, ops)| *given && ops & family == 0) {
            None => Ok(()),
            Some((pointer, ..)) => Err(Problem::invalid(
                pointer,
                Text::fixed("means nothing for this op", "이 op에는 쓰지 않는 항목입니다"),
            )),
        }
    }

    fn identity(&self, family: u8) -> Result<Option<String>, Problem> {
        let no_id = |pointer: &str| {
            let text = Text::fixed("is no id of its kind", "해당하는 종류의 id가 아닙니다");
            Problem::invalid(pointer, text)
        };
        match (family, &self.account, &self.changed_at) {
            // A name that means something in one file alone tells nothing of the next one.
            (OPEN, Some(Target::Id(id)), _) => {
                Ok(id.parse::<AccountId>().ok().map(|id| id.to_string()))
            }
            (STATUS, Some(Target::Id(id)), Some(at)) => {
                let id: AccountId = id.parse().map_err(|_| no_id("/account"))?;
                let sound = at.len() <= 64 && at.bytes().all(|byte| byte.is_ascii_graphic());
                let text = Text::fixed("is no time", "시각이 아닙니다");
                let at = Some(at).filter(|at| sound && !at.contains('/'));
                let at = at.ok_or_else(|| Problem::invalid("/changed_at", text))?;
                Ok(Some(format!("{id}@{at}")))
            }
            (MONEY | TRANSFER, ..) => {
                let id = self.transaction_id.as_deref().map(str::parse::<TransactionId>);
                let id = id.transpose().map_err(|_| no_id("/transaction_id"))?;
                Ok(id.map(|id| id.to_string()))
            }
            _ => Ok(None),
        }
    }

    fn opening(self) -> Result<Order, Problem> {
        let account = match self.account {
            None => None,
            Some(Target::Id(text)) => Some(Called::at(&text, "/account")?),
            Some(Target::Number(_)) => {
                let text = Text::fixed(
                    "is what the lines of the file call it; bank and number stand beside it",
                    "파일에서 계좌를 부르는 이름입니다. 은행과 번호는 따로 적습니다",
                );
                return Err(Problem::invalid("/account", text));
            }
        };
        let owner = self.owner_id.as_deref().map(str::parse::<UserId>).transpose();
        let owner = owner.map_err(|_| {
            let text = Text::fixed("is no id of a user", "사용자 id가 아닙니다");
            Problem::invalid("/owner_id", text)
        })?;
        let currency = self.currency.as_deref().ok_or_else(|| missing("/currency"))?;
        let currency = Currency::new(currency).ok_or_else(|| {
            let text = Text::fixed(
                "must be a currency code of ISO 4217, such as KRW",
                "KRW 같은 ISO 4217 통화 코드여야 합니다",
            );
            Problem::invalid("/currency", text)
        })?;
        let bank = self.bank.as_deref().map(|text| bank(text, "/bank")).transpose()?;
        let number = self.number.as_deref().map(|text| account_number(text, "/number"));
        Ok(Order::Open { account, owner, currency, bank, number: number.transpose()? })
    }
}

fn missing(pointer: &str) -> Problem {
    Problem::invalid(pointer, Text::fixed("is missing", "필수 항목이 없습니다"))
}

fn key(text: &str) -> Result<IdempotencyKey, Problem> {
    let wrong = |text| Problem::new(Code::InvalidIdempotencyKey).error("/idempotency_key", text);
    // It would be that of another row, which has none of its own.
    if text.starts_with(MADE_KEY) {
        return Err(wrong(Text::fixed(
            "must not begin with import/, as the keys do that an import makes",
            "import/로 시작할 수 없습니다. 가져오기가 만드는 키가 그렇게 시작합니다",
        )));
    }
    IdempotencyKey::new(text).ok_or_else(|| {
        wrong(Text::fixed(
            "must be 1 to 255 visible ASCII characters",
            "보이는 ASCII 문자 1~255자여야 합니다",
        ))
    })
}

fn named(target: Option<Target>, pointer: &str) -> Result<Named, Problem> {
    match target.ok_or_else(|| missing(pointer))? {
        Target::Id(text) => Called::at(&text, pointer).map(Named::Called),
        Target::Number(place) => {
            let (bank, number) = place.read(pointer)?;
            Ok(Named::Place(bank, number))
        }
    }
}

fn status(text: Option<&str>) -> Result<Status, Problem> {
    match text {
        Some("open") => Ok(Status::Open),
        Some("frozen") => Ok(Status::Frozen),
        Some("closed") => Ok(Status::Closed),
        None => Err(missing("/status")),
        Some(_) => Err(Problem::invalid(
            "/status",
            Text::fixed(
                "must be open, frozen or closed",
                "open, frozen, closed 중 하나여야 합니다",
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse;

    fn line(json: &str) -> Result<Line, Problem> {
        parse::<Fields>(json.as_bytes()).and_then(Fields::read)
    }

    /// The place and the text of the first thing that is wrong.
    fn refused(json: &str) -> (String, String) {
        let problem = line(json).unwrap_err();
        let error = &problem.errors()[0];
        (error.pointer.clone(), error.detail.en.to_string())
    }

    #[test]
    fn a_line_gives_an_order() {
        let id = AccountId::from_bits(1 << 70);
        let deposit = format!(r#"{{"op": "deposit", "account": "{id}", "amount": 5}}"#);
        let Line { order, key, identity } = line(&deposit).unwrap();
        let Order::Deposit { account, amount, .. } = order else { panic!("{order:?}") };
        assert_eq!((account, amount.minor()), (Named::Called(Called::Id(id)), 5));
        assert_eq!((key, identity), (None, None));

        let txn = TransactionId::from_bits(9);
        let transfer = format!(
            r#"{{"op": "transfer", "from_account": "{id}", "amount": 5, "memo": "월세",
            "to_account": {{"bank": "088", "number": "110-1"}}, "transaction_id": "{txn}",
            "booked_at": "whenever"}}"#
        );
        let Line { order, identity, .. } = line(&transfer).unwrap();
        let Order::Transfer { to: Named::Place(bank, number), to_memo: None, .. } = order else {
            panic!("{order:?}");
        };
        assert_eq!((bank.as_str(), number.as_str()), ("088", "110-1"));
        assert_eq!(identity, Some(txn.to_string()));

        let frozen = format!(
            r#"{{"op": "status", "account": "{id}", "status": "frozen", "changed_at": "t"}}"#
        );
        assert_eq!(line(&frozen).unwrap().identity, Some(format!("{id}@t")));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_pointed_at() {
        let id = AccountId::from_bits(1 << 70);
        let deposit = |more: &str| format!(r#"{{"op": "deposit", "account": "{id}"{more}}}"#);
        for (json, pointer, detail) in [
            ("{}".to_owned(), "/op", "is missing"),
            (r#"{"op": "gift"}"#.to_owned(), "/op", "must be open"),
            (deposit(""), "/amount", "is missing"),
            (deposit(r#", "amount": 1.0"#), "/amount", "must be a whole number"),
            (deposit(r#", "amount": "5""#), "/amount", "must be a number, not a text"),
            (deposit(r#", "amount": 1, "to_memo": "x""#), "/to_memo", "means nothing"),
            (deposit(r#", "amount": 1, "transaction_id": "x""#), "/transaction_id", "is no id"),
            (deposit(r#", "amount": 1, "memmo": "x""#), "/memmo", "is not known here"),
            (deposit(r#", "amount": 1, "idempotency_key": """#), "/idempotency_key", "must be 1"),
            (
                deposit(r#", "amount": 1, "idempotency_key": "import/a/3""#),
                "/idempotency_key",
                "must not begin with import/",
            ),
            (
                r#"{"op": "deposit", "amount": 1, "account": "acc_1"}"#.to_owned(),
                "/account",
                "must be the id of an account (acc_",
            ),
            (
                r#"{"op": "open", "currency": "KRW", "account": {"bank": "088", "number": "1"}}"#
                    .to_owned(),
                "/account",
                "is what the lines of the file call it",
            ),
            (r#"{"op": "open"}"#.to_owned(), "/currency", "is missing"),
            (r#"{"op": "open", "currency": "won"}"#.to_owned(), "/currency", "must be a currency"),
            (
                r#"{"op": "deposit", "amount": 1, "account": {"bank": "088"}}"#.to_owned(),
                "/account/number",
                "is missing",
            ),
            (
                r#"{"op": "deposit", "amount": 1, "account": {"bank": "088", "number": "ㄱ"}}"#
                    .to_owned(),
                "/account/number",
                "must not contain",
            ),
        ] {
            let (at, said) = refused(&json);
            assert_eq!(at, pointer, "{json}");
            assert!(said.starts_with(detail), "{json}: {said}");
        }
    }
}
