//! The two faces of a store: the one that the teller owns, and the one that queries use.

use std::collections::BTreeSet;
use std::sync::Arc;

use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, Book, EntryNumber, Opened, Request, Timestamp,
    Transaction, TransactionId, Tried, UserId,
};

use crate::StoreError;
use crate::query::{EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Row, Summary};

/// Called once when a batch is durable, or with the error that kept it from being so.
pub type Release = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Whether events that belong together have room in the commit that is being filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// They have.
    Here,
    /// What the batch did so far must be committed first; then ask again.
    AfterCommit,
    /// No commit can ever hold all of them.
    Never,
}

/// What the teller needs of a store. A batch is: `load`, then any number of `decide` and `apply`
/// on the book, then `commit`.
pub trait Store: Send + 'static {
    /// The book that this store lends. Its `note` takes an event into the batch.
    type Book: Book<Error = StoreError>;

    /// Brings in what `requests` touch, as of the last commit, and begins a batch.
    fn load(&mut self, requests: &[&Request]) -> Result<(), StoreError>;

    /// Waits until a commit would be begun at once. The teller does so while his batch is small:
    /// what comes meanwhile joins it, and one commit does the work of two.
    ///
    /// # Errors
    /// What the commits under way failed at.
    fn settle(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Told before each few requests of the batch are decided: `next` come next. A store that
    /// keeps its accounts in memory may have them at hand by then.
    fn warm(&mut self, next: &[&Request]) {
        let _ = next;
    }

    /// The book, with what the batch did so far.
    fn book(&mut self) -> &mut Self::Book;

    /// Whether the batch has no room for a further event and should be committed first.
    fn is_full(&self) -> bool;

    /// Sees to it that one commit will hold all that is new in `tried`, which is to be applied
    /// next. Until then nothing else may be.
    ///
    /// # Errors
    /// What the store failed at.
    fn room_for(&mut self, tried: &[Tried]) -> Result<Room, StoreError>;

    /// Makes durable all that the book noted since `load`, and then calls `release`, now or
    /// later, from any thread, in the order of the batches. A batch without events is released
    /// when those before it are durable.
    ///
    /// # Errors
    /// After any error the store is poisoned, and `release` was called with it.
    fn commit(&mut self, release: Release) -> Result<(), StoreError>;

    /// Waits until everything is durable and leaves the store so that it opens fast again.
    fn close(self) -> Result<(), StoreError>;
}

/// A store that other tellers write to at the same time, here or on other machines.
///
/// `load` keeps them from what the batch touches until its end, and `commit` makes all of it
/// durable before it returns, or none of it. After an error of either the batch is over; the error
/// tells whether it may be loaded and decided [again](StoreError::chance). The store is not
/// poisoned.
pub trait SharedStore: Store {
    /// The parts of the ledger that each of `requests` touches, if a commit that keeps to one part
    /// costs less than one over several; `None` if that makes no difference.
    ///
    /// # Errors
    /// What the store failed at; nothing was begun.
    fn touched(&mut self, requests: &[&Request]) -> Result<Option<Vec<BTreeSet<i16>>>, StoreError> {
        let _ = requests;
        Ok(None)
    }

    /// Whether, from now on, what somebody else holds is waited for no longer than it takes another
    /// teller to commit.
    fn hurry(&mut self, hurry: bool) {
        let _ = hurry;
    }
}

/// What an error of a [`SharedStore`] leaves to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chance {
    /// Others came in between and nothing was done: decide again.
    Again,
    /// Somebody holds what the batch needs, for longer than is waited, and nothing was done: the
    /// others need not suffer for it.
    Held,
    /// The store cannot be reached for now and nothing was done: decide again in a while.
    Later,
    /// The store will refuse this batch for ever, and nothing was done.
    Never,
    /// Whether the batch was made durable cannot be found out.
    Unknown,
}

/// What queries need of a store. Everything seen is durable; nothing waits for the teller.
///
/// A call may read from a disk or wait for a database, so it is made off the async threads;
/// `account` and `account_by_number` are answered from memory where the store has them there, and
/// `ready` always is.
pub trait Reader: Clone + Send + Sync + 'static {
    /// The account `id`, where it stands now.
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError>;

    /// The account with this number in this bank, hyphens and case aside.
    fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<AccountId>, StoreError>;

    /// The accounts `ids`, each in its place. A store that must ask for them elsewhere asks once.
    fn accounts_by_id(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        ids.iter().map(|id| self.account(*id)).collect()
    }

    /// The accounts with these numbers in these banks, each in its place, in the same way.
    fn accounts_by_number(
        &self,
        places: &[(Bank, AccountNumber)],
    ) -> Result<Vec<Option<AccountId>>, StoreError> {
        places.iter().map(|(bank, number)| self.account_by_number(bank, number)).collect()
    }

    /// What the accounts `ids` were opened as, each in its place. That never changes, so a store
    /// may remember it.
    fn openings(&self, ids: &[AccountId]) -> Result<Vec<Option<Arc<Opened>>>, StoreError> {
        let accounts = self.accounts_by_id(ids)?;
        let opened = |account: Account| account.opened().clone();
        Ok(accounts.into_iter().map(|account| account.map(opened)).collect())
    }

    /// The same if all of it is in memory; `None` if the store has to be asked.
    fn openings_at_hand(&self, ids: &[AccountId]) -> Option<Vec<Option<Arc<Opened>>>> {
        let _ = ids;
        None
    }

    /// At most `limit` accounts of `owner` (of everybody, if `None`; settlement accounts only in
    /// that case) in the order of their opening, after the account `after`. That is the order of
    /// their ids, too, but for a settlement account, which stands before its currency's first one.
    fn accounts(
        &self,
        owner: Option<UserId>,
        order: Order,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError>;

    /// The transaction `id`.
    fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, StoreError>;

    /// Entry `number` of `account`.
    fn entry(&self, account: AccountId, number: EntryNumber) -> Result<Option<Row>, StoreError>;

    /// How many entries of `account` were booked before `time`; that is the number of the last of
    /// them, or 0. An account that does not exist has none.
    fn entries_before(&self, account: AccountId, time: Timestamp) -> Result<u64, StoreError>;

    /// A page of an account's entries; no rows if there is no such account.
    fn entries(&self, query: &EntryQuery) -> Result<EntryPage, StoreError>;

    /// Count and sums of the entries of `filter`, or `None` if more than `scan_limit` entries
    /// would have to be looked at one by one.
    fn summary(
        &self,
        filter: &EntryFilter,
        scan_limit: usize,
    ) -> Result<Option<Summary>, StoreError>;

    /// The whole ledger, a row a currency, in the order of their codes.
    fn totals(&self) -> Result<Vec<LedgerTotals>, StoreError>;

    /// Whether a commit can be expected to succeed; the error that poisoned the store, if not.
    fn ready(&self) -> Result<(), StoreError>;
}
