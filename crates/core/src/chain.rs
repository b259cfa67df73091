//! The hash chain of an account: each entry's hash covers the entry and the hash before it.
//!
//! The bytes that go into SHA-256 (FIPS 180-4) are given here one by one, and in
//! `docs/passbook-hash.md`, so that anyone can check a passbook. Integers are big-endian, a signed
//! one in two's complement.
//!
//! | what | opening | entry |
//! | --- | --- | --- |
//! | 1 | the 19 letters `tongjang account v1` | the hash before it, 32 bytes |
//! | 2 | account id, 16 bytes | number, 8 bytes |
//! | 3 | owner id, 16 bytes | transaction id, 16 bytes |
//! | 4 | currency, 3 letters | kind, 1 byte |
//! | 5 | opened at in microseconds, 8 bytes | direction, 1 byte |
//! | 6 | length of the bank in bytes, 1 byte, 0 if none | amount, 16 bytes |
//! | 7 | the bank in UTF-8 | balance after it, 16 bytes |
//! | 8 | length of the number, 1 byte, 0 if none | booked at in microseconds, 8 bytes |
//! | 9 | the number in UTF-8 | counterparty's account id, 16 bytes, 0 if none |
//! | 10 | | the memo in UTF-8 |

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{AccountId, Entry, Kind, Opened, Timestamp, TransactionId};

/// A SHA-256 hash, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(std::str::from_utf8(&digits).expect("hexadecimal digits are ASCII"))
    }
}

/// The letter of a hexadecimal digit.
fn digit(half: u8) -> u8 {
    match half {
        0..=9 => b'0'.saturating_add(half),
        _ => b'a'.saturating_sub(10).saturating_add(half),
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash that an account's first entry is chained to: it covers the account's opening.
pub fn genesis(opened: &Opened) -> Hash {
    let mut sha = Sha256::new();
    sha.update(b"tongjang account v1");
    sha.update(opened.id.bits().to_be_bytes());
    sha.update(opened.owner.bits().to_be_bytes());
    sha.update(opened.currency.bytes());
    sha.update(opened.opened_at.micros().to_be_bytes());
    let (bank, number) = match &opened.place {
        Some((bank, number)) => (bank.as_str(), number.as_str()),
        None => ("", ""),
    };
    for text in [bank, number] {
        let length = u8::try_from(text.len()).expect("40 characters have at most 160 bytes");
        sha.update([length]);
        sha.update(text);
    }
    Hash(sha.finalize().into())
}

/// The hash of `entry` of the transaction `id`, after an entry whose hash is `before`.
/// `entry.hash` does not go into it.
pub fn link(
    before: Hash,
    id: TransactionId,
    kind: Kind,
    booked_at: Timestamp,
    entry: &Entry,
) -> Hash {
    let mut fixed = [0u8; 114];
    let mut rest = fixed.as_mut_slice();
    let mut put = |bytes: &[u8]| {
        let (here, after) = std::mem::take(&mut rest)
            .split_at_mut_checked(bytes.len())
            .expect("the fields have 114 bytes together");
        here.copy_from_slice(bytes);
        rest = after;
    };
    put(before.bytes());
    put(&entry.number.get().to_be_bytes());
    put(&id.bits().to_be_bytes());
    put(&[kind.byte(), entry.direction.byte()]);
    put(&entry.amount.minor().to_be_bytes());
    put(&entry.balance.minor().to_be_bytes());
    put(&booked_at.micros().to_be_bytes());
    put(&entry.counterparty.map_or(0, AccountId::bits).to_be_bytes());
    let mut sha = Sha256::new();
    sha.update(fixed);
    sha.update(entry.memo.as_str());
    Hash(sha.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{amount, memo};
    use crate::{AccountNumber, Balance, Bank, Currency, Direction, EntryNumber, Memo, UserId};

    fn opened() -> Opened {
        Opened {
            id: "acc_000sg8y3jt800028t5cy4tqkff".parse().unwrap(),
            owner: "usr_000sg8y3g0000000000000005a".parse().unwrap(),
            currency: Currency::KRW,
            place: Some((Bank::new("088").unwrap(), AccountNumber::new("110-234-567890").unwrap())),
            opened_at: Timestamp::from_micros(1_795_338_000_000_000),
        }
    }

    fn entry() -> Entry {
        Entry {
            account: opened().id,
            number: EntryNumber::FIRST,
            direction: Direction::Credit,
            amount: amount(1000),
            balance: Balance::new(1000),
            memo: memo("급여"),
            counterparty: None,
            credit_count: 1,
            credit_total: Balance::new(1000),
            hash: Hash::default(),
        }
    }

    /// The vector of `docs/passbook-hash.md`, computed there by Python's hashlib.
    #[test]
    fn the_hashes_are_those_of_the_documented_passbook() {
        let opening = genesis(&opened());
        assert_eq!(
            opening.to_string(),
            "7482377bd50baaabd30dc4f31c9640bdfa9411a3d0d1e0cccf058a3b3fc68a21"
        );
        let id: TransactionId = "txn_000sgdkcxxwg0g000000000001".parse().unwrap();
        let first = link(opening, id, Kind::Deposit, id.booked_at(), &entry());
        assert_eq!(
            first.to_string(),
            "cb614ecff975f86d89fc910cbd003db31600243275664d30eb0e01068e4c2f70"
        );
        let id: TransactionId = "txn_000sgdkcyd4s00000000000002".parse().unwrap();
        let paid = Entry {
            number: EntryNumber::after(1),
            direction: Direction::Debit,
            amount: amount(300),
            balance: Balance::new(700),
            memo: Memo::EMPTY,
            counterparty: Some("acc_000sg8y3jt800zxq5tk1v58cgg".parse().unwrap()),
            ..entry()
        };
        assert_eq!(
            link(first, id, Kind::Transfer, id.booked_at(), &paid).to_string(),
            "22f95141d142840bde98ea0fc26ef10e694f9c1187c12d8464d40b4da279c2be"
        );
    }

    #[test]
    fn every_field_of_an_opening_and_of_an_entry_goes_into_its_hash() {
        let mut openings = vec![opened(); 7];
        openings[1].id = AccountId::from_bits(1);
        openings[2].owner = UserId::from_bits(1);
        openings[3].currency = Currency::new("USD").unwrap();
        openings[4].opened_at = openings[4].opened_at.next();
        openings[5].place = None;
        // The same letters, parted elsewhere.
        openings[6].place =
            Some((Bank::new("0881").unwrap(), AccountNumber::new("10-234-567890").unwrap()));
        distinct(openings.iter().map(genesis));

        let (before, id, at) =
            (genesis(&opened()), TransactionId::from_bits(9), opened().opened_at);
        let mut entries = vec![entry(); 7];
        entries[1].number = EntryNumber::after(1);
        entries[2].direction = Direction::Debit;
        entries[3].amount = amount(1001);
        entries[4].balance = Balance::new(-1000);
        entries[5].memo = memo("급여 ");
        entries[6].counterparty = Some(opened().id);
        let kind = Kind::Deposit;
        let linked = entries.iter().map(|entry| link(before, id, kind, at, entry));
        let around = [
            link(Hash::default(), id, kind, at, &entry()),
            link(before, TransactionId::from_bits(8), kind, at, &entry()),
            link(before, id, Kind::Adjustment, at, &entry()),
            link(before, id, kind, at.next(), &entry()),
        ];
        distinct(linked.chain(around));
    }

    fn distinct(hashes: impl Iterator<Item = Hash>) {
        let hashes: Vec<Hash> = hashes.collect();
        let different: std::collections::HashSet<&Hash> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
    }
}
