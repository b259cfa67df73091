//! A refusal that a key stands for, with the command that it refused, as its column keeps both.

use serde_json::{Map, Value, json};
use tongjang_core::{
    AccountId, AccountNumber, Amount, Balance, Bank, Command, Currency, Memo, Metadata, Rejection,
    Status, UserId,
};

use super::columns;

/// The text for the column `refusal`.
pub(super) fn write(rejection: &Rejection, command: &Command) -> String {
    json!({ "code": rejection.code(), "detail": detail(rejection), "command": said(command) })
        .to_string()
}

/// What [`write()`] wrote.
pub(super) fn read(text: &str) -> Option<(Rejection, Command)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let code = value.get("code")?.as_str()?;
    let rejection = rejection(code, value.get("detail")?)?;
    Some((rejection, command(value.get("command")?)?))
}

/// The figures of a refusal that is kept. Amounts are texts: no number of JSON is as wide.
fn detail(rejection: &Rejection) -> Value {
    match rejection {
        Rejection::CurrencyMismatch { from, to } => {
            json!({ "from": from.code(), "to": to.code() })
        }
        Rejection::AccountClosed { account } | Rejection::AccountFrozen { account } => {
            json!({ "account": account.to_string() })
        }
        Rejection::AccountNotEmpty { balance } => json!({ "balance": balance.to_string() }),
        Rejection::InsufficientFunds { available, requested } => {
            json!({ "available": available.to_string(), "requested": requested.to_string() })
        }
        Rejection::SameAccount | Rejection::BalanceOverflow => json!({}),
        Rejection::IdempotencyKeyReused { .. }
        | Rejection::AccountNotFound { .. }
        | Rejection::NotAccountOwner
        | Rejection::AccountNumberTaken
        | Rejection::VersionMismatch { .. } => {
            unreachable!("only a refusal of the business is kept")
        }
    }
}

fn rejection(code: &str, detail: &Value) -> Option<Rejection> {
    let text = |name: &str| detail.get(name)?.as_str();
    let balance = |name| text(name)?.parse().ok().map(Balance::new);
    let account = || text("account")?.parse().ok();
    Some(match code {
        "currency-mismatch" => Rejection::CurrencyMismatch {
            from: Currency::new(text("from")?)?,
            to: Currency::new(text("to")?)?,
        },
        "account-closed" => Rejection::AccountClosed { account: account()? },
        "account-frozen" => Rejection::AccountFrozen { account: account()? },
        "account-not-empty" => Rejection::AccountNotEmpty { balance: balance("balance")? },
        "insufficient-funds" => Rejection::InsufficientFunds {
            available: balance("available")?,
            requested: Amount::new(text("requested")?.parse().ok()?)?,
        },
        "same-account" => Rejection::SameAccount,
        "balance-overflow" => Rejection::BalanceOverflow,
        _ => return None,
    })
}

fn said(command: &Command) -> Value {
    let moved = |op: &str, amount: &Amount, memo: &Memo, metadata: &Metadata| {
        let mut said = Map::new();
        said.insert("op".into(), op.into());
        said.insert("amount".into(), amount.to_string().into());
        said.insert("memo".into(), memo.as_str().into());
        if let Some(metadata) = columns::write_metadata(metadata) {
            said.insert("metadata".into(), metadata.into());
        }
        said
    };
    match command {
        Command::Open { owner, currency, bank, number, number_made } => json!({
            "op": "open",
            "owner": owner.to_string(),
            "currency": currency.code(),
            "bank": bank.as_str(),
            "number": number.as_str(),
            "number_made": number_made,
        }),
        Command::Deposit { account, amount, memo, metadata } => {
            let mut said = moved("deposit", amount, memo, metadata);
            said.insert("account".into(), account.to_string().into());
            said.into()
        }
        Command::Withdraw { account, amount, memo, metadata } => {
            let mut said = moved("withdrawal", amount, memo, metadata);
            said.insert("account".into(), account.to_string().into());
            said.into()
        }
        Command::Transfer { from, to, amount, memo, to_memo, metadata } => {
            let mut said = moved("transfer", amount, memo, metadata);
            said.insert("from".into(), from.to_string().into());
            said.insert("to".into(), to.to_string().into());
            if let Some(to_memo) = to_memo {
                said.insert("to_memo".into(), to_memo.as_str().into());
            }
            said.into()
        }
        Command::ChangeStatus { account, status } => {
            json!({ "op": "status", "account": account.to_string(), "status": status.as_str() })
        }
    }
}

fn command(said: &Value) -> Option<Command> {
    let text = |name: &str| said.get(name)?.as_str();
    let account = |name| text(name)?.parse::<AccountId>().ok();
    let amount = || Amount::new(text("amount")?.parse().ok()?);
    let memo = |name| Memo::new(text(name)?).ok();
    let metadata = || match said.get("metadata") {
        None => Some(Metadata::EMPTY),
        Some(metadata) => columns::read_metadata(metadata.as_str()?),
    };
    Some(match text("op")? {
        "open" => Command::Open {
            owner: text("owner")?.parse::<UserId>().ok()?,
            currency: Currency::new(text("currency")?)?,
            bank: Bank::new(text("bank")?).ok()?,
            number: AccountNumber::new(text("number")?).ok()?,
            number_made: said.get("number_made")?.as_bool()?,
        },
        "deposit" => Command::Deposit {
            account: account("account")?,
            amount: amount()?,
            memo: memo("memo")?,
            metadata: metadata()?,
        },
        "withdrawal" => Command::Withdraw {
            account: account("account")?,
            amount: amount()?,
            memo: memo("memo")?,
            metadata: metadata()?,
        },
        "transfer" => Command::Transfer {
            from: account("from")?,
            to: account("to")?,
            amount: amount()?,
            memo: memo("memo")?,
            to_memo: match said.get("to_memo") {
                None => None,
                Some(_) => Some(memo("to_memo")?),
            },
            metadata: metadata()?,
        },
        "status" => {
            let status: Status = columns::status(text("status")?)?;
            Command::ChangeStatus { account: account("account")?, status }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_that_is_kept_comes_back_with_its_command() {
        let account = AccountId::from_bits(1 << 64);
        let other = AccountId::from_bits(2 << 64);
        let (krw, usd) = (Currency::KRW, Currency::new("USD").unwrap());
        let most = Amount::MAX;
        let rejections = [
            Rejection::SameAccount,
            Rejection::CurrencyMismatch { from: krw, to: usd },
            Rejection::AccountClosed { account },
            Rejection::AccountFrozen { account },
            Rejection::AccountNotEmpty { balance: Balance::new(-7) },
            Rejection::InsufficientFunds { available: Balance::MAX, requested: most },
            Rejection::BalanceOverflow,
        ];
        let memo = Memo::new("월세 \"11\"").unwrap();
        let pairs = vec![("order".into(), "\u{1}9".into()), ("a".into(), "".into())];
        let metadata = Metadata::new(pairs).unwrap();
        let transfer = |to_memo| Command::Transfer {
            from: account,
            to: other,
            amount: Amount::MIN,
            memo: memo.clone(),
            to_memo,
            metadata: Metadata::EMPTY,
        };
        let commands = [
            Command::Open {
                owner: UserId::from_bits(3),
                currency: usd,
                bank: Bank::new("088").unwrap(),
                number: AccountNumber::new("110-1").unwrap(),
                number_made: true,
            },
            Command::Deposit { account, amount: most, memo: memo.clone(), metadata },
            Command::Withdraw {
                account,
                amount: most,
                memo: memo.clone(),
                metadata: Metadata::EMPTY,
            },
            transfer(None),
            transfer(Some(Memo::new("").unwrap())),
            Command::ChangeStatus { account, status: Status::Closed },
        ];
        for rejection in &rejections {
            assert!(rejection.is_business());
            for command in &commands {
                let back = read(&write(rejection, command));
                assert_eq!(back, Some((rejection.clone(), command.clone())));
            }
        }
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"code": "not-found", "detail": {}, "command": {}}"#), None);
    }
}
