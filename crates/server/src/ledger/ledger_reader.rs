//! The reader of whichever store the server runs on: each question goes to the one that is there.

use std::sync::Arc;

use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, EntryNumber, Opened, Timestamp, Transaction,
    TransactionId, UserId,
};
use tongjang_store::journal::JournalReader;
use tongjang_store::postgres::PostgresReader;
use tongjang_store::{
    EntryFilter, EntryPage, EntryQuery, LedgerTotals, Order, Reader, Row, StoreError, Summary,
};

/// The reader of the store that this server runs on. Cloning it is cheap.
#[derive(Clone)]
pub enum LedgerReader {
    /// Of a journal.
    Journal(JournalReader),
    /// Of a database.
    Postgres(PostgresReader),
}

impl LedgerReader {
    /// Whether every account and number is in memory, so that to ask for one waits for nothing.
    pub(super) fn has_accounts_in_memory(&self) -> bool {
        match self {
            Self::Journal(_) => true,
            Self::Postgres(_) => false,
        }
    }
}

/// Asks the reader that is there: a store more is a line more here.
macro_rules! ask {
    ($ledger:expr, $reader:ident => $question:expr) => {
        match $ledger {
            LedgerReader::Journal($reader) => $question,
            LedgerReader::Postgres($reader) => $question,
        }
    };
}

impl Reader for LedgerReader {
    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        ask!(self, reader => reader.account(id))
    }

    fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<AccountId>, StoreError> {
        ask!(self, reader => reader.account_by_number(bank, number))
    }

    fn accounts_by_id(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        ask!(self, reader => reader.accounts_by_id(ids))
    }

    fn openings(&self, ids: &[AccountId]) -> Result<Vec<Option<Arc<Opened>>>, StoreError> {
        ask!(self, reader => reader.openings(ids))
    }

    fn openings_at_hand(&self, ids: &[AccountId]) -> Option<Vec<Option<Arc<Opened>>>> {
        ask!(self, reader => reader.openings_at_hand(ids))
    }

    fn accounts_by_number(
        &self,
        places: &[(Bank, AccountNumber)],
    ) -> Result<Vec<Option<AccountId>>, StoreError> {
        ask!(self, reader => reader.accounts_by_number(places))
    }

    fn accounts(
        &self,
        owner: Option<UserId>,
        order: Order,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        ask!(self, reader => reader.accounts(owner, order, after, limit))
    }

    fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, StoreError> {
        ask!(self, reader => reader.transaction(id))
    }

    fn entry(&self, account: AccountId, number: EntryNumber) -> Result<Option<Row>, StoreError> {
        ask!(self, reader => reader.entry(account, number))
    }

    fn entries_before(&self, account: AccountId, time: Timestamp) -> Result<u64, StoreError> {
        ask!(self, reader => reader.entries_before(account, time))
    }

    fn entries(&self, query: &EntryQuery) -> Result<EntryPage, StoreError> {
        ask!(self, reader => reader.entries(query))
    }

    fn summary(
        &self,
        filter: &EntryFilter,
        scan_limit: usize,
    ) -> Result<Option<Summary>, StoreError> {
        ask!(self, reader => reader.summary(filter, scan_limit))
    }

    fn totals(&self) -> Result<Vec<LedgerTotals>, StoreError> {
        ask!(self, reader => reader.totals())
    }

    fn ready(&self) -> Result<(), StoreError> {
        ask!(self, reader => reader.ready())
    }
}
