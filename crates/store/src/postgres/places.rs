//! Which part of the ledger a thing is in.
//!
//! A user's accounts and keys are in one part, so that what he does for himself stays in it. The
//! number of parts is fixed when the ledger is made.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use sha2::{Digest, Sha256};
use tongjang_core::{AccountId, AccountNumber, Bank, Currency, Opened, UserId};

/// How a ledger is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts(u16);

impl Parts {
    /// How many a ledger is divided into if nobody says.
    pub const USUAL: Self = Self(16);

    /// So many parts, or `None` if there are none or more than 2^15 − 1.
    pub fn new(count: u16) -> Option<Self> {
        (1..=0x7fff).contains(&count).then_some(Self(count))
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.0
    }

    /// The part of the accounts and keys of `owner`: the lowest 16 bits of the id, modulo the
    /// number of parts. Those bits are random.
    pub(super) fn of_owner(self, owner: UserId) -> i16 {
        self.part(u16::try_from(owner.bits() & 0xffff).expect("16 bits"))
    }

    /// The part in which the number of an account is kept, so that no other account gets it: the
    /// first 16 bits of SHA-256 over bank, a zero byte and the bare number, modulo the number of
    /// parts.
    pub(super) fn of_number(self, bank: &Bank, number: &AccountNumber) -> i16 {
        let mut sha = Sha256::new();
        sha.update(bank.as_str());
        sha.update([0]);
        sha.update(number.bare());
        let hash = sha.finalize();
        self.part(u16::from_be_bytes([hash[0], hash[1]]))
    }

    /// The part of `owner`, and its own settlement account in `currency`.
    pub(super) fn settlement_of(self, currency: Currency, owner: UserId) -> (i16, AccountId) {
        let part = self.of_owner(owner);
        (part, AccountId::settlement(currency, part.unsigned_abs()))
    }

    /// The part of a settlement account, which its id names.
    pub(super) fn of_settlement(id: AccountId) -> i16 {
        i16::try_from((id.bits() >> 24) & 0x7fff).expect("15 bits")
    }

    fn part(self, bits: u16) -> i16 {
        i16::try_from(bits % self.0).expect("fewer than 2^15 parts")
    }
}

/// Where an account is and what it was opened as; neither ever changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) part: i16,
    pub(super) opened: Arc<Opened>,
}

/// At most so many accounts' places are remembered, in about 250 bytes each.
const REMEMBERED: usize = 1_000_000;

/// Where accounts are that were met before. Cloning it is cheap, and the clones are one.
#[derive(Clone, Default)]
pub(super) struct Places(Arc<RwLock<HashMap<AccountId, Place>>>);

impl Places {
    pub(super) fn get(&self, id: AccountId) -> Option<Place> {
        self.0.read().get(&id).cloned()
    }

    /// What all of `ids` were opened as, if all of them are remembered.
    pub(super) fn all(&self, ids: &[AccountId]) -> Option<Vec<Option<Arc<Opened>>>> {
        let known = self.0.read();
        ids.iter().map(|id| known.get(id).map(|place| Some(place.opened.clone()))).collect()
    }

    pub(super) fn put(&self, places: impl IntoIterator<Item = (AccountId, Place)>) {
        let mut known = self.0.write();
        if known.len() >= REMEMBERED {
            // They are looked up again as they are met.
            known.clear();
        }
        known.extend(places);
    }
}

#[cfg(test)]
mod tests {
    use tongjang_core::Currency;

    use super::*;

    #[test]
    fn a_settlement_account_names_its_part() {
        for part in [0, 1, 255, 256, 0x7fff] {
            let id = AccountId::settlement(Currency::KRW, part);
            assert_eq!(Parts::of_settlement(id), i16::try_from(part).unwrap());
        }
    }

    #[test]
    fn two_spellings_of_a_number_are_in_one_part() {
        let parts = Parts::new(64).unwrap();
        let bank = Bank::new("088").unwrap();
        let part = |number: &str| parts.of_number(&bank, &AccountNumber::new(number).unwrap());
        assert_eq!(part("110-234-a"), part("110234A"));
        // And the numbers of one bank are spread.
        let spread: std::collections::HashSet<_> =
            (0..100).map(|number| part(&format!("110-{number}"))).collect();
        assert!(spread.len() > 30);
    }

    #[test]
    fn there_is_at_least_one_part() {
        assert_eq!(Parts::new(0), None);
        assert_eq!(Parts::new(0x8000), None);
        assert_eq!(Parts::new(1).map(|parts| parts.of_owner(UserId::from_bits(7))), Some(0));
    }
}
