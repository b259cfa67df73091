//! A rehearsal: requests are decided against a ledger as they would be, and nothing is written.
//!
//! It takes no lock, so it may run beside a server; it then goes by what was durable when it was
//! opened. In memory it has the accounts that the requests touch, on top of what any reader has.

use std::collections::HashMap;
use std::sync::Arc;

use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, Book, Command, Currency, Event, IdempotencyKey,
    Opened, Request, Timestamp, Tried, UserId,
};

use super::keys::KeyIndex;
use super::log::Log;
use super::record::Record;
use super::{Journal, JournalConfig, JournalReader, read_record};
use crate::{Reader, Release, Room, Store, StoreError};

/// A store that only seems to be one: what it commits is forgotten with it.
pub struct Rehearsal(RehearsalBook);

/// The accounts as the requests so far would leave them.
pub struct RehearsalBook {
    /// What is really there; nothing, if no ledger was made yet.
    kept: Option<Kept>,
    accounts: HashMap<AccountId, Account>,
    numbers: HashMap<(Bank, String), AccountId>,
    earliest: Timestamp,
}

/// A ledger as it was found.
struct Kept {
    reader: JournalReader,
    keys: KeyIndex,
}

impl Rehearsal {
    /// A rehearsal on the ledger in `config.dir`, or on an empty one where there is none.
    ///
    /// # Errors
    /// If the ledger is damaged or the disk fails.
    pub fn open(config: &JournalConfig) -> Result<Self, StoreError> {
        let (kept, earliest) = if Log::exists(&*config.disk, &config.segments())? {
            let (reader, keys, earliest) = Journal::open_with_keys(config)?;
            (Some(Kept { reader, keys }), earliest)
        } else {
            (None, Timestamp::EPOCH)
        };
        let (accounts, numbers) = (HashMap::new(), HashMap::new());
        Ok(Self(RehearsalBook { kept, accounts, numbers, earliest }))
    }
}

impl RehearsalBook {
    fn bring_in(&mut self, id: AccountId) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        if !self.accounts.contains_key(&id)
            && let Some(account) = kept.reader.account(id)?
        {
            self.accounts.insert(id, account);
        }
        Ok(())
    }
}

impl Store for Rehearsal {
    type Book = RehearsalBook;

    fn load(&mut self, requests: &[&Request]) -> Result<(), StoreError> {
        for request in requests {
            for id in request.command.accounts().into_iter().flatten() {
                self.0.bring_in(id)?;
                let found = self.0.account(id).map(|account| (account.currency(), account.owner()));
                if let Some((currency, owner)) = found {
                    self.0.bring_in(self.0.settlement(currency, owner))?;
                }
            }
            if let Command::Open { currency, owner, .. } = request.command {
                self.0.bring_in(self.0.settlement(currency, owner))?;
            }
        }
        Ok(())
    }

    fn book(&mut self) -> &mut RehearsalBook {
        &mut self.0
    }

    fn is_full(&self) -> bool {
        false
    }

    fn room_for(&mut self, _: &[Tried]) -> Result<Room, StoreError> {
        Ok(Room::Here)
    }

    fn commit(&mut self, release: Release) -> Result<(), StoreError> {
        release(Ok(()));
        Ok(())
    }

    fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Book for RehearsalBook {
    type Error = StoreError;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(&id)
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        if let Some((bank, number)) = &opened.place {
            self.numbers.insert((bank.clone(), number.bare()), opened.id);
        }
        let before = self.accounts.insert(opened.id, Account::open(opened));
        assert!(before.is_none(), "an account is opened once");
    }

    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId> {
        let made = self.numbers.get(&(bank.clone(), number.bare())).copied();
        let kept = || {
            let kept = self.kept.as_ref()?;
            let found = kept.reader.account_by_number(bank, number);
            found.expect("a journal has its numbers in memory")
        };
        made.or_else(kept)
    }

    fn settlement(&self, currency: Currency, _: UserId) -> AccountId {
        let first = |kept: &Kept| kept.reader.view.register.settlement(currency);
        self.kept.as_ref().map_or_else(|| AccountId::settlement(currency, 0), first)
    }

    /// What is kept under the key. Keys of the rehearsal itself are not: there may be any number
    /// of them, so a key that is used twice in one rehearsal is not noticed.
    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, StoreError> {
        let Some(Kept { reader, keys }) = &self.kept else { return Ok(None) };
        for position in keys.candidates(keys.hash(scope, key))? {
            let Record::Event(event) = read_record(&reader.log, position, &*reader.view)? else {
                continue;
            };
            if event.key().is_some_and(|used| used.scope == scope && used.key == *key) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn earliest(&self) -> Timestamp {
        self.earliest
    }

    fn note(&mut self, event: &Event) {
        self.earliest = self.earliest.max(event.at().next());
    }
}
