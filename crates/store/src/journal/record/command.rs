//! What was asked for and refused, as the record of a refusal tells it.

use tongjang_core::{
    AccountId, AccountNumber, Amount, Balance, Bank, Command, Currency, Event, Memo, Refused,
    Rejection, Status, Timestamp, UserId,
};

use super::{put_pairs, take_key, take_pairs};
use crate::journal::bytes::{Take, put_int, put_text};

pub(super) fn put_rejection(out: &mut Vec<u8>, rejection: &Rejection) {
    match rejection {
        Rejection::SameAccount => out.push(1),
        Rejection::CurrencyMismatch { from, to } => {
            out.push(2);
            out.extend_from_slice(&from.bytes());
            out.extend_from_slice(&to.bytes());
        }
        Rejection::AccountClosed { account } => {
            out.push(3);
            out.extend_from_slice(&account.bits().to_le_bytes());
        }
        Rejection::AccountFrozen { account } => {
            out.push(4);
            out.extend_from_slice(&account.bits().to_le_bytes());
        }
        Rejection::AccountNotEmpty { balance } => {
            out.push(5);
            put_int(out, balance.minor());
        }
        Rejection::InsufficientFunds { available, requested } => {
            out.push(6);
            put_int(out, available.minor());
            put_int(out, requested.minor());
        }
        Rejection::BalanceOverflow => out.push(7),
        Rejection::IdempotencyKeyReused { .. }
        | Rejection::AccountNotFound { .. }
        | Rejection::NotAccountOwner
        | Rejection::AccountNumberTaken
        | Rejection::VersionMismatch { .. } => {
            unreachable!("only a refusal of the business is kept under a key")
        }
    }
}

fn take_rejection(take: &mut Take<'_>) -> Option<Rejection> {
    Some(match take.byte()? {
        1 => Rejection::SameAccount,
        2 => Rejection::CurrencyMismatch {
            from: Currency::from_bytes(take.array()?)?,
            to: Currency::from_bytes(take.array()?)?,
        },
        3 => Rejection::AccountClosed { account: AccountId::from_bits(take.u128()?) },
        4 => Rejection::AccountFrozen { account: AccountId::from_bits(take.u128()?) },
        5 => Rejection::AccountNotEmpty { balance: Balance::new(take.int()?) },
        6 => Rejection::InsufficientFunds {
            available: Balance::new(take.int()?),
            requested: Amount::new(take.int()?)?,
        },
        7 => Rejection::BalanceOverflow,
        _ => return None,
    })
}

pub(super) fn put_command(out: &mut Vec<u8>, command: &Command) {
    match command {
        Command::Open { owner, currency, bank, number, number_made } => {
            out.push(1);
            out.extend_from_slice(&owner.bits().to_le_bytes());
            out.extend_from_slice(&currency.bytes());
            put_text(out, bank.as_str());
            put_text(out, number.as_str());
            out.push(u8::from(*number_made));
        }
        Command::Deposit { account, amount, memo, metadata }
        | Command::Withdraw { account, amount, memo, metadata } => {
            out.push(if matches!(command, Command::Deposit { .. }) { 2 } else { 3 });
            out.extend_from_slice(&account.bits().to_le_bytes());
            put_int(out, amount.minor());
            put_text(out, memo.as_str());
            put_pairs(out, metadata);
        }
        Command::Transfer { from, to, amount, memo, to_memo, metadata } => {
            out.push(4);
            out.extend_from_slice(&from.bits().to_le_bytes());
            out.extend_from_slice(&to.bits().to_le_bytes());
            put_int(out, amount.minor());
            put_text(out, memo.as_str());
            out.push(u8::from(to_memo.is_some()));
            put_text(out, to_memo.as_ref().map_or("", Memo::as_str));
            put_pairs(out, metadata);
        }
        Command::ChangeStatus { account, status } => {
            out.push(5);
            out.extend_from_slice(&account.bits().to_le_bytes());
            out.push(status.byte());
        }
    }
}

fn take_command(take: &mut Take<'_>) -> Option<Command> {
    let tag = take.byte()?;
    Some(match tag {
        1 => Command::Open {
            owner: UserId::from_bits(take.u128()?),
            currency: Currency::from_bytes(take.array()?)?,
            bank: Bank::new(take.text()?).ok()?,
            number: AccountNumber::new(take.text()?).ok()?,
            number_made: take.byte()? != 0,
        },
        2 | 3 => {
            let account = AccountId::from_bits(take.u128()?);
            let amount = Amount::new(take.int()?)?;
            let memo = Memo::new(take.text()?).ok()?;
            let metadata = take_pairs(take)?;
            match tag {
                2 => Command::Deposit { account, amount, memo, metadata },
                _ => Command::Withdraw { account, amount, memo, metadata },
            }
        }
        4 => {
            let from = AccountId::from_bits(take.u128()?);
            let to = AccountId::from_bits(take.u128()?);
            let amount = Amount::new(take.int()?)?;
            let memo = Memo::new(take.text()?).ok()?;
            let has_to_memo = take.byte()? != 0;
            let to_memo = Memo::new(take.text()?).ok()?;
            let to_memo = has_to_memo.then_some(to_memo);
            Command::Transfer { from, to, amount, memo, to_memo, metadata: take_pairs(take)? }
        }
        5 => Command::ChangeStatus {
            account: AccountId::from_bits(take.u128()?),
            status: Status::from_byte(take.byte()?)?,
        },
        _ => return None,
    })
}

pub(super) fn take_refused(take: &mut Take<'_>) -> Option<Event> {
    let at = Timestamp::from_micros(take.i64()?);
    let key = take_key(take)?;
    let rejection = take_rejection(take)?;
    let command = take_command(take)?;
    Some(Event::Refused(Refused { rejection, command, key, at }))
}
