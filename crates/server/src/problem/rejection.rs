//! From what the rules and the store refuse to what HTTP says.

use tongjang_core::Rejection;
use tongjang_store::{Refusal, StoreError};

use super::{Code, Member, Problem, Text};

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        // No `_` here: a new rejection must be given its place by hand.
        match rejection {
            Rejection::IdempotencyKeyReused { fields } => {
                Self::new(Code::IdempotencyKeyReused).member("fields", Member::Names(fields))
            }
            Rejection::AccountNotFound { account } => Self::new(Code::NotFound).detail(Text::new(
                format!("There is no account {account}."),
                format!("{account} 계좌가 없습니다."),
            )),
            Rejection::NotAccountOwner => Self::new(Code::NotAccountOwner),
            Rejection::AccountNumberTaken => Self::new(Code::AccountNumberTaken),
            Rejection::VersionMismatch { expected, actual } => Self::new(Code::VersionMismatch)
                .member("expected", Member::Integer(expected.into()))
                .member("actual", Member::Integer(actual.into())),
            Rejection::SameAccount => Self::new(Code::SameAccount),
            Rejection::CurrencyMismatch { from, to } => {
                Self::new(Code::CurrencyMismatch).detail(Text::new(
                    format!("The paying account holds {from}, the receiving one {to}."),
                    format!("출금 계좌의 통화는 {from}, 입금 계좌의 통화는 {to}입니다."),
                ))
            }
            Rejection::AccountClosed { account } => {
                Self::new(Code::AccountClosed).member("account_id", id(account))
            }
            Rejection::AccountFrozen { account } => {
                Self::new(Code::AccountFrozen).member("account_id", id(account))
            }
            Rejection::AccountNotEmpty { balance } => {
                Self::new(Code::AccountNotEmpty).member("balance", Member::Integer(balance.minor()))
            }
            Rejection::InsufficientFunds { available, requested } => {
                Self::new(Code::InsufficientFunds)
                    .detail(Text::new(
                        format!("{available} is available, and {requested} was requested."),
                        format!("출금 가능 금액은 {available}, 요청 금액은 {requested}입니다."),
                    ))
                    .member("available", Member::Integer(available.minor()))
                    .member("requested", Member::Integer(requested.minor()))
            }
            Rejection::BalanceOverflow => Self::new(Code::BalanceOverflow),
        }
    }
}

fn id(account: tongjang_core::AccountId) -> Member {
    Member::Text(account.to_string())
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Overloaded => Self::new(Code::Overloaded),
            Refusal::ShuttingDown => Self::new(Code::ShuttingDown),
            Refusal::Unavailable => Self::new(Code::StoreUnavailable).nothing_changed(),
        }
    }
}

impl From<StoreError> for Problem {
    /// What failed is for the log; the caller learns that the store is not available.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        let problem = Self::new(Code::StoreUnavailable);
        match error {
            StoreError::Unknown { .. } => problem.detail(Text::fixed(
                "The connection to the store broke while the commit was under way: whether it was \
                 booked is not known. Ask again with the same Idempotency-Key after \
                 `Retry-After` seconds.",
                "기록하는 도중에 저장소와의 연결이 끊겨, 기록되었는지 알 수 없습니다. \
                 `Retry-After`초 뒤에 같은 Idempotency-Key로 다시 보내세요.",
            )),
            // A database says what it did not do, and where it does not, the outcome is `Unknown`.
            StoreError::Database { .. } | StoreError::Overtaken | StoreError::Damaged { .. } => {
                problem.nothing_changed()
            }
            _ => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Language;
    use serde_json::Value;
    use tongjang_core::{AccountId, Amount, Balance, Currency};

    #[test]
    fn each_rejection_keeps_the_code_that_the_rules_gave_it() {
        let account = AccountId::from_bits(1);
        for rejection in [
            Rejection::IdempotencyKeyReused { fields: vec!["amount"] },
            Rejection::AccountNotFound { account },
            Rejection::NotAccountOwner,
            Rejection::AccountNumberTaken,
            Rejection::VersionMismatch { expected: 1, actual: 2 },
            Rejection::SameAccount,
            Rejection::CurrencyMismatch { from: Currency::KRW, to: Currency::KRW },
            Rejection::AccountClosed { account },
            Rejection::AccountFrozen { account },
            Rejection::AccountNotEmpty { balance: Balance::ZERO },
            Rejection::InsufficientFunds { available: Balance::ZERO, requested: Amount::MIN },
            Rejection::BalanceOverflow,
        ] {
            let code = rejection.code();
            assert_eq!(Problem::from(rejection).code().as_str(), code);
        }
    }

    #[test]
    fn what_a_database_did_not_do_is_told_apart_from_what_is_unknown() {
        let nothing = "Nothing was changed. Try again after `Retry-After` seconds.";
        let told = |problem: &Problem| {
            serde_json::to_value(problem.in_language(Language::En)).unwrap()["detail"].clone()
        };
        let refused = StoreError::Database {
            attempt: "book a batch",
            failure: tongjang_store::postgres::Failure::Refused,
            code: Some("23514".to_owned()),
            cause: std::sync::Arc::new(std::io::Error::other("refused")),
        };
        for error in [refused, StoreError::Overtaken] {
            assert_eq!(told(&error.into()), nothing);
        }
        assert_eq!(told(&Refusal::Unavailable.into()), nothing);
        let poisoned: Problem = StoreError::Poisoned { cause: "full".into() }.into();
        assert_ne!(told(&poisoned), nothing, "the disk may have it");
        assert_eq!(told(&poisoned.nothing_changed()), nothing);
        let other = Problem::new(Code::Internal).nothing_changed();
        assert_eq!(other, Problem::new(Code::Internal));
    }

    #[test]
    fn an_unknown_outcome_is_told_apart_from_a_store_that_is_away() {
        let cause = || "closed".into();
        let unknown = StoreError::Unknown { attempt: "commit a batch", cause: cause() };
        let said = "cannot commit a batch, and whether it was done is not known: closed";
        assert_eq!(unknown.to_string(), said);
        let (unknown, away) = (unknown.into(), StoreError::Poisoned { cause: cause() }.into());
        for (language, detail) in [(Language::En, "not known"), (Language::Ko, "알 수 없습니다")]
        {
            let [unknown, away]: [Value; 2] = [&unknown, &away].map(|problem: &Problem| {
                serde_json::to_value(problem.in_language(language)).unwrap()
            });
            assert_eq!((&unknown["status"], &away["status"]), (&503.into(), &503.into()));
            assert_eq!(unknown["code"], "store-unavailable");
            assert_ne!(unknown["detail"], away["detail"]);
            for word in ["Idempotency-Key", "Retry-After", detail] {
                assert!(unknown["detail"].as_str().unwrap().contains(word), "{unknown}");
            }
        }
        let retry = unknown.respond(Language::En).headers()["retry-after"].clone();
        assert_eq!(retry, "1");
    }
}
