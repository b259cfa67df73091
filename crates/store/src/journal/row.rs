//! A row of an account's history, taken from the record of its transaction without the rest of it.
//!
//! A page is fifty such records of which each holds two entries, metadata and a key; one entry is
//! wanted. The record's check covers all of it, so nothing is less sure for not being looked at.

use tongjang_core::{
    AccountId, Amount, Balance, Direction, Entry, EntryNumber, Hash, Kind, Memo, TransactionId,
};

use super::bytes::Take;
use super::record::{self, BadRecord, Facts, flag};
use crate::Row;

/// Whose row is meant: the account's place in the table, and its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Whose {
    pub(super) slot: u32,
    pub(super) id: AccountId,
}

/// Reads entry `number` of `whose` from the record at the beginning of `bytes`; `None` if that
/// holds another one.
pub(super) fn read(
    bytes: &[u8],
    whose: Whose,
    number: u64,
    facts: &impl Facts,
) -> Result<Option<Row>, BadRecord> {
    let mut take = Take(record::contents(bytes)?);
    if take.byte() != Some(record::BOOKED) {
        return Ok(None);
    }
    let (transaction, sides) = take_transaction(&mut take).ok_or(BadRecord::Contents)?;
    let is_it = |side: &Side<'_>| side.slot == whose.slot && side.number == number;
    let Some(index) = sides.iter().position(is_it) else { return Ok(None) };
    let row = row_of(&transaction, &sides[index], &sides[1 - index], whose, facts);
    row.map(Some).ok_or(BadRecord::Contents)
}

/// What both entries have in common.
struct Common<'a> {
    id: TransactionId,
    kind: Kind,
    amount: Amount,
    memo: &'a str,
}

/// What each entry has of its own.
struct Side<'a> {
    bits: u8,
    slot: u32,
    number: u64,
    balance: i128,
    credit_count: u64,
    credit_total: i128,
    hash: [u8; 32],
    memo: Option<&'a str>,
}

fn row_of(
    transaction: &Common<'_>,
    side: &Side<'_>,
    other: &Side<'_>,
    whose: Whose,
    facts: &impl Facts,
) -> Option<Row> {
    let debit = side.bits & flag::DEBIT != 0;
    let has_counterparty = side.bits & flag::COUNTERPARTY != 0;
    let entry = Entry {
        account: whose.id,
        number: EntryNumber::new(side.number)?,
        direction: if debit { Direction::Debit } else { Direction::Credit },
        amount: transaction.amount,
        balance: Balance::new(side.balance),
        credit_count: side.credit_count,
        credit_total: Balance::new(side.credit_total),
        hash: Hash::from_bytes(side.hash),
        memo: match side.memo.unwrap_or(transaction.memo) {
            "" => Memo::EMPTY,
            text => Memo::new(text).ok()?,
        },
        counterparty: if has_counterparty { Some(facts.id(other.slot)?) } else { None },
    };
    let Common { id, kind, .. } = *transaction;
    Some(Row { transaction: id, kind, booked_at: id.booked_at(), entry })
}

fn take_transaction<'a>(take: &mut Take<'a>) -> Option<(Common<'a>, [Side<'a>; 2])> {
    let kind = Kind::from_byte(take.byte()?)?;
    let flags = take.byte()?;
    let id = TransactionId::from_bits(take.u128()?);
    let amount = Amount::new(take.int()?)?;
    let memo = if flags & flag::MEMO != 0 { take.text()? } else { "" };
    let two = take.uint()? == 2;
    let sides = if two { [take_side(take)?, take_side(take)?] } else { return None };
    Some((Common { id, kind, amount, memo }, sides))
}

fn take_side<'a>(take: &mut Take<'a>) -> Option<Side<'a>> {
    let bits = take.byte()?;
    Some(Side {
        bits,
        slot: u32::try_from(take.uint()?).ok()?,
        number: take.uint()?,
        balance: take.int()?,
        credit_count: take.uint()?,
        credit_total: take.int()?,
        hash: take.array()?,
        memo: if bits & flag::OWN_MEMO != 0 { Some(take.text()?) } else { None },
    })
}
