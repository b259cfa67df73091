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
            Refusal::Unavailable => Self::new(Code::StoreUnavailable),
        }
    }
}

impl From<StoreError> for Problem {
    /// What failed is for the log; the caller learns that the store is not available.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Self::new(Code::StoreUnavailable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
