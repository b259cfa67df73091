//! Events as bytes: the records that fill the frames of the journal.
//!
//! `docs/journal-format.md` gives them byte by byte. A record says an account by its place in the
//! table (its slot), so reading one needs the table; [`Facts`] lends it.

mod block;
mod command;
mod extent;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tongjang_core::{
    AccountId, AccountNumber, Amount, Balance, Bank, Booked, Currency, Direction, Entry,
    EntryNumber, Event, Fingerprint, Hash, IdempotencyKey, KeyUse, Kind, Memo, Metadata, Opened,
    Opening, Status, StatusChanged, Timestamp, Transaction, TransactionId, UserId,
};
use xxhash_rust::xxh3::xxh3_64;

pub(super) use self::block::put_block;
use self::block::take_block;
use self::command::{put_command, put_rejection, take_refused};
pub(super) use self::extent::{at_most, put_filler};
use super::bytes::{INT_MOST, Put, Take, UINT_MOST, put_text, put_uint, put_with};
use super::trail::Block;

/// Before each record: its length with this header, and a check of what follows; 4 bytes each.
pub(super) const HEADER: usize = 8;
/// No record is longer: a memo twice, metadata, a key and the figures stay well below.
pub(super) const LONGEST: usize = 4 * 1024;
/// No block of entries is longer, with all that is around it.
pub(super) const LONGEST_BLOCK: usize = 256;
/// A read of this many bytes holds almost every record whole.
pub(super) const USUAL: usize = 384;

/// The most bytes of an entry, its memo aside.
const ENTRY_MOST: usize = 1 + 3 * UINT_MOST + 2 * INT_MOST + 32;
/// The most bytes of a transaction and its two entries with the lengths of their memos, but
/// without the memos, the metadata and the key.
const BOOKED_MOST: usize = 3 + 16 + INT_MOST + UINT_MOST + 2 * ENTRY_MOST + 3 * UINT_MOST;

const OPENED: u8 = 1;
pub(super) const BOOKED: u8 = 2;
const REFUSED: u8 = 3;
const STATUS_CHANGED: u8 = 4;
pub(super) const BLOCK_OF_ENTRIES: u8 = 16;
const FILLER: u8 = 17;

/// The table of accounts, as far as reading and writing records needs it.
pub(super) trait Facts {
    /// The facts of the account at `slot`.
    fn opened(&self, slot: u32) -> Option<Arc<Opened>>;
    /// Who owns the account at `slot`.
    fn owner(&self, slot: u32) -> Option<UserId> {
        self.opened(slot).map(|opened| opened.owner)
    }
    /// The id of the account at `slot`.
    fn id(&self, slot: u32) -> Option<AccountId> {
        self.opened(slot).map(|opened| opened.id)
    }
    /// The place of the account `id`.
    fn slot(&self, id: AccountId) -> Option<u32>;
}

/// What a record holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// An event.
    Event(Event),
    /// A block of an account's trail. It follows from the events before it.
    Block(Block),
    /// Nothing more is in this frame, whose zeros fill its segment up to the end.
    Filler,
}

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BadRecord {
    /// They end before the record does; it has this many bytes.
    Short(usize),
    /// The length makes no sense.
    Length,
    /// The check does not fit the bytes.
    Check,
    /// The check fits, but the contents make no sense.
    Contents,
}

impl BadRecord {
    /// For a person.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Short(_) => "a record is cut short",
            Self::Length => "a record's length makes no sense",
            Self::Check => "a record's bytes do not match its check",
            Self::Contents => "a record's contents make no sense",
        }
    }
}

/// Appends a record with `write`'s contents, and pads to a multiple of eight bytes.
fn put_record(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    write(out);
    let length = out.len() - start;
    assert!(length <= LONGEST, "no record is longer than {LONGEST}");
    let check = check_of(&out[start + HEADER..]);
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&check.to_le_bytes());
    out.resize(start + length.next_multiple_of(8), 0);
}

fn check_of(contents: &[u8]) -> u32 {
    xxh3_64(contents) as u32
}

/// The bytes that the record beginning `bytes` takes with its padding, if it looks like one.
pub(super) fn span(bytes: &[u8]) -> Result<usize, BadRecord> {
    let length = Take(bytes).u32().ok_or(BadRecord::Short(HEADER))? as usize;
    if (HEADER + 1..=LONGEST).contains(&length) {
        Ok(length.next_multiple_of(8))
    } else {
        Err(BadRecord::Length)
    }
}

/// Appends `event`. `facts` must know the accounts that it is booked on.
pub(super) fn put_event(out: &mut Vec<u8>, facts: &impl Facts, event: &Event) {
    put_record(out, |out| match event {
        Event::Opened(opening) => {
            out.push(OPENED);
            out.push(bits(&[
                (opening.settlement.is_some(), flag::SETTLEMENT),
                (opening.number_made, flag::NUMBER_MADE),
                (opening.key.is_some(), flag::KEY),
            ]));
            if let Some(settlement) = &opening.settlement {
                put_facts(out, settlement);
            }
            put_facts(out, &opening.account);
            if let Some(key) = &opening.key {
                put_key(out, key);
            }
        }
        Event::Booked(booked) => put_booked(out, facts, booked),
        Event::Refused(refused) => {
            out.push(REFUSED);
            out.extend_from_slice(&refused.at.micros().to_le_bytes());
            put_key(out, &refused.key);
            put_rejection(out, &refused.rejection);
            put_command(out, &refused.command);
        }
        Event::StatusChanged(change) => {
            out.push(STATUS_CHANGED);
            out.extend_from_slice(&change.at.micros().to_le_bytes());
            out.push(change.status.byte());
            out.extend_from_slice(&change.account.bits().to_le_bytes());
            out.push(u8::from(change.key.is_some()));
            if let Some(key) = &change.key {
                put_key(out, key);
            }
        }
    });
}

/// Reads the record at the beginning of `bytes`, which stand at `position`.
pub(super) fn read(bytes: &[u8], position: u64, facts: &impl Facts) -> Result<Record, BadRecord> {
    let mut take = Take(contents(bytes)?);
    let record = match take.byte() {
        Some(OPENED) => take_opening(&mut take).map(Record::Event),
        Some(BOOKED) => take_booked(&mut take, facts).map(Record::Event),
        Some(REFUSED) => take_refused(&mut take).map(Record::Event),
        Some(STATUS_CHANGED) => take_status(&mut take).map(Record::Event),
        Some(BLOCK_OF_ENTRIES) => take_block(&mut take, position).map(Record::Block),
        Some(FILLER) => Some(Record::Filler),
        _ => None,
    };
    record.filter(|_| take.0.is_empty()).ok_or(BadRecord::Contents)
}

/// The contents of the record at the beginning of `bytes`, which match its check.
pub(super) fn contents(bytes: &[u8]) -> Result<&[u8], BadRecord> {
    span(bytes)?;
    let mut take = Take(bytes);
    let (Some(length), Some(check)) = (take.u32(), take.u32()) else {
        return Err(BadRecord::Short(HEADER));
    };
    let length = length as usize;
    let contents = bytes.get(HEADER..length).ok_or(BadRecord::Short(length))?;
    if check_of(contents) != check {
        return Err(BadRecord::Check);
    }
    Ok(contents)
}

/// Appends the facts of an account's opening.
pub(super) fn put_facts(out: &mut Vec<u8>, opened: &Opened) {
    out.extend_from_slice(&opened.id.bits().to_le_bytes());
    out.extend_from_slice(&opened.owner.bits().to_le_bytes());
    out.extend_from_slice(&opened.currency.bytes());
    out.extend_from_slice(&opened.opened_at.micros().to_le_bytes());
    let place = opened.place.as_ref();
    put_text(out, place.map_or("", |(bank, _)| bank.as_str()));
    put_text(out, place.map_or("", |(_, number)| number.as_str()));
}

/// Reads the facts of an account's opening.
pub(super) fn take_facts(take: &mut Take<'_>) -> Option<Opened> {
    let id = AccountId::from_bits(take.u128()?);
    let owner = UserId::from_bits(take.u128()?);
    let currency = Currency::from_bytes(take.array()?)?;
    let opened_at = Timestamp::from_micros(take.i64()?);
    let place = match (take.text()?, take.text()?) {
        ("", "") => None,
        (bank, number) => Some((Bank::new(bank).ok()?, AccountNumber::new(number).ok()?)),
    };
    Some(Opened { id, owner, currency, place, opened_at })
}

fn take_opening(take: &mut Take<'_>) -> Option<Event> {
    let flags = take.byte()?;
    let settlement = match flags & flag::SETTLEMENT {
        0 => None,
        _ => Some(Arc::new(take_facts(take)?)),
    };
    let account = Arc::new(take_facts(take)?);
    let key = if flags & flag::KEY != 0 { Some(take_key(take)?) } else { None };
    let number_made = flags & flag::NUMBER_MADE != 0;
    Some(Event::Opened(Opening { account, settlement, number_made, key }))
}

fn put_key(out: &mut Vec<u8>, used: &KeyUse) {
    out.extend_from_slice(&used.scope.bits().to_le_bytes());
    put_text(out, used.key.as_str());
    out.extend_from_slice(used.fingerprint.bytes());
}

fn take_key(take: &mut Take<'_>) -> Option<KeyUse> {
    let scope = UserId::from_bits(take.u128()?);
    let key = IdempotencyKey::new(take.text()?)?;
    Some(KeyUse { scope, key, fingerprint: Fingerprint::from_bytes(take.array()?) })
}

pub(super) mod flag {
    //! Bits of an opening, of a booked transaction and of its entries.
    pub(super) const SETTLEMENT: u8 = 1;
    pub(super) const NUMBER_MADE: u8 = 2;
    pub(super) const KEY: u8 = 4;

    pub(in super::super) const MEMO: u8 = 1;
    pub(super) const METADATA: u8 = 2;
    /// The key is the paying account's owner's (8), the receiving one's (16), or spelled out.
    pub(super) const KEY_OF_FIRST: u8 = 8;
    pub(super) const KEY_OF_SECOND: u8 = 16;

    pub(in super::super) const DEBIT: u8 = 1;
    /// The counterparty is the account of the other entry.
    pub(in super::super) const COUNTERPARTY: u8 = 2;
    pub(in super::super) const OWN_MEMO: u8 = 4;
}

/// The sum of the bits whose condition holds.
fn bits(choices: &[(bool, u8)]) -> u8 {
    choices.iter().filter(|(holds, _)| *holds).fold(0, |sum, (_, bit)| sum | bit)
}

fn put_booked(out: &mut Vec<u8>, facts: &impl Facts, booked: &Booked) {
    let transaction = &booked.transaction;
    let [first, second] = transaction.entries.as_slice() else {
        unreachable!("the rules book one debit and one credit");
    };
    let slot = |entry: &Entry| facts.slot(entry.account).expect("a booked account is in the table");
    let slots = [slot(first), slot(second)];
    let owner = |nth: usize| facts.owner(slots[nth]);
    let scope = booked.key.as_ref().map(|used| used.scope);
    let whose = match scope {
        None => 0,
        scope if scope == owner(0) => flag::KEY | flag::KEY_OF_FIRST,
        scope if scope == owner(1) => flag::KEY | flag::KEY_OF_SECOND,
        _ => flag::KEY,
    };
    let has_memo = !transaction.memo.as_str().is_empty();
    let has_metadata = !transaction.metadata.pairs().is_empty();
    let memos = [&transaction.memo, &first.memo, &second.memo];
    let texts: usize = memos.iter().map(|memo| memo.as_str().len()).sum();
    put_with(out, BOOKED_MOST + texts, |put| {
        put.byte(BOOKED);
        put.byte(transaction.kind.byte());
        put.byte(bits(&[(has_memo, flag::MEMO), (has_metadata, flag::METADATA), (true, whose)]));
        put.array(&transaction.id.bits().to_le_bytes());
        put.int(transaction.amount.minor());
        if has_memo {
            put.text(transaction.memo.as_str());
        }
        put.uint(transaction.entries.len() as u64);
        for (entry, slot) in transaction.entries.iter().zip(&slots) {
            put_entry(put, entry, *slot, &transaction.memo);
        }
    });
    if has_metadata {
        put_pairs(out, &transaction.metadata);
    }
    if let Some(used) = &booked.key {
        if whose == flag::KEY {
            out.extend_from_slice(&used.scope.bits().to_le_bytes());
        }
        put_text(out, used.key.as_str());
        out.extend_from_slice(used.fingerprint.bytes());
    }
}

fn put_entry(put: &mut Put<'_>, entry: &Entry, slot: u32, memo: &Memo) {
    let own_memo = entry.memo != *memo;
    put.byte(bits(&[
        (entry.direction == Direction::Debit, flag::DEBIT),
        (entry.counterparty.is_some(), flag::COUNTERPARTY),
        (own_memo, flag::OWN_MEMO),
    ]));
    put.uint(slot.into());
    put.uint(entry.number.get());
    put.int(entry.balance.minor());
    put.uint(entry.credit_count);
    put.int(entry.credit_total.minor());
    put.array(entry.hash.bytes());
    if own_memo {
        put.text(entry.memo.as_str());
    }
}

fn take_booked(take: &mut Take<'_>, facts: &impl Facts) -> Option<Event> {
    let kind = Kind::from_byte(take.byte()?)?;
    let flags = take.byte()?;
    let id = TransactionId::from_bits(take.u128()?);
    let amount = Amount::new(take.int()?)?;
    let memo = if flags & flag::MEMO != 0 { Memo::new(take.text()?).ok()? } else { Memo::EMPTY };
    let count = take.uint()?;
    let mut opened: Vec<Arc<Opened>> = Vec::with_capacity(2);
    let mut entries: Vec<Entry> = Vec::with_capacity(2);
    let mut has_counterparty = [false; 2];
    if count != 2 {
        return None;
    }
    for counterparty in &mut has_counterparty {
        let bits = take.byte()?;
        let account = facts.opened(u32::try_from(take.uint()?).ok()?)?;
        *counterparty = bits & flag::COUNTERPARTY != 0;
        let debit = bits & flag::DEBIT != 0;
        entries.push(Entry {
            account: account.id,
            number: EntryNumber::new(take.uint()?)?,
            direction: if debit { Direction::Debit } else { Direction::Credit },
            amount,
            balance: Balance::new(take.int()?),
            credit_count: take.uint()?,
            credit_total: Balance::new(take.int()?),
            hash: Hash::from_bytes(take.array()?),
            memo: match bits & flag::OWN_MEMO {
                0 => memo.clone(),
                _ => Memo::new(take.text()?).ok()?,
            },
            counterparty: None,
        });
        opened.push(account);
    }
    let [first, second] = entries.as_mut_slice() else { return None };
    first.counterparty = has_counterparty[0].then_some(second.account);
    second.counterparty = has_counterparty[1].then_some(first.account);
    let metadata = if flags & flag::METADATA != 0 { take_pairs(take)? } else { Metadata::EMPTY };
    let key = match flags & flag::KEY {
        0 => None,
        _ => {
            let scope = match flags & (flag::KEY_OF_FIRST | flag::KEY_OF_SECOND) {
                flag::KEY_OF_FIRST => opened[0].owner,
                flag::KEY_OF_SECOND => opened[1].owner,
                _ => UserId::from_bits(take.u128()?),
            };
            let key = IdempotencyKey::new(take.text()?)?;
            Some(KeyUse { scope, key, fingerprint: Fingerprint::from_bytes(take.array()?) })
        }
    };
    let currency = opened[0].currency;
    let booked_at = id.booked_at();
    let transaction =
        Transaction { id, kind, amount, currency, memo, metadata, booked_at, entries };
    let sound = transaction.is_balanced() && opened[1].currency == currency;
    sound.then_some(Event::Booked(Booked { transaction, key }))
}

fn put_pairs(out: &mut Vec<u8>, metadata: &Metadata) {
    put_uint(out, metadata.pairs().len() as u64);
    for (key, value) in metadata.pairs() {
        put_text(out, key);
        put_text(out, value);
    }
}

fn take_pairs(take: &mut Take<'_>) -> Option<Metadata> {
    let count = take.uint()?;
    let mut pairs = Vec::new();
    for _ in 0..count.min(Metadata::MAX_PAIRS as u64 + 1) {
        pairs.push((take.text()?.into(), take.text()?.into()));
    }
    Metadata::new(pairs).ok()
}

fn take_status(take: &mut Take<'_>) -> Option<Event> {
    let at = Timestamp::from_micros(take.i64()?);
    let status = Status::from_byte(take.byte()?)?;
    let account = AccountId::from_bits(take.u128()?);
    let key = if take.byte()? != 0 { Some(take_key(take)?) } else { None };
    Some(Event::StatusChanged(StatusChanged { account, status, at, key }))
}

/// When the transaction was booked whose record begins `bytes`, without reading all of it; `None`
/// if it is another kind of record.
pub(super) fn booked_at(bytes: &[u8]) -> Option<Timestamp> {
    let mut take = Take(bytes.get(HEADER..)?);
    let is_booked = take.byte()? == BOOKED;
    let _kind_and_flags = take.array::<2>()?;
    let id = TransactionId::from_bits(take.u128()?);
    is_booked.then(|| id.booked_at())
}
