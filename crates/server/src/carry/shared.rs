//! Lines into a ledger that servers book on at the same time: so many at once are one transaction,
//! and where others came in between, all of them are decided again on what those left.
//!
//! What the lines touch is loaded before the first of them is decided, since it is locked in an
//! order that all tellers keep. Which accounts that are is known but for those that an earlier run
//! opened: their ids come with the keys, and then all is loaded once more.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tongjang_core::{
    AccountId, AccountNumber, Bank, Book, Command, Event, IdempotencyKey, Request, Status, UserId,
};
use tongjang_store::postgres::{PostgresReader, PostgresRehearsal, PostgresStore};
use tongjang_store::{Chance, Reader, Store, StoreError};

use super::import::{Import, Importing, Row, SCOPE, Tally};
use super::line::{Line, Named, Order};
use crate::problem::Problem;

/// How often rows are decided again because others came in between.
const AGAIN: u32 = 40;
/// How often they are tried again while the database cannot be reached: for about ten seconds.
const LATER: u32 = 15;

/// A store whose batch can be given up.
pub(crate) trait Abandon: Store {
    /// Ends the batch under way, if there is one, without a trace.
    fn abandon(&mut self);
}

impl Abandon for PostgresStore {
    fn abandon(&mut self) {
        PostgresStore::abandon(self);
    }
}

impl Abandon for PostgresRehearsal {
    /// What it has read does no harm.
    fn abandon(&mut self) {}
}

/// An import into a database, or the rehearsal of one.
pub(crate) struct SharedImport<S> {
    import: Import<S>,
    reader: PostgresReader,
}

impl<S: Abandon> SharedImport<S> {
    /// The same import where the store is shared. `reader` reads it, too.
    pub(crate) fn new(mut import: Import<S>, reader: PostgresReader) -> Self {
        import.is_shared = true;
        Self { import, reader }
    }

    /// Does the rows by one transaction. On an error nothing was done.
    fn attempt(
        &mut self,
        rows: &[Row],
        stop: bool,
    ) -> Result<Vec<Result<(), Problem>>, StoreError> {
        self.look_up_places(rows)?;
        self.load(rows)?;
        let done = self.import.rows(rows, stop)?;
        self.import.store.commit(Box::new(|_| ()))?;
        Ok(done)
    }

    /// Looks the banks and numbers up that lines name. An account never loses its number.
    fn look_up_places(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut wanted: Vec<(Bank, AccountNumber)> = Vec::new();
        for named in rows.iter().filter_map(Row::line).flat_map(names) {
            if let Named::Place(bank, number) = named
                && !self.import.places.contains_key(&(bank.clone(), number.bare()))
            {
                wanted.push((bank.clone(), number.clone()));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.reader.accounts_by_number(&wanted)?;
        for ((bank, number), id) in wanted.into_iter().zip(found) {
            self.import.places.extend(id.map(|id| ((bank, number.bare()), id)));
        }
        Ok(())
    }

    /// Begins a transaction and brings in what the rows touch.
    fn load(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        let mut openings = Vec::new();
        for (row, nth) in rows.iter().zip(self.import.tally.rows + 1..) {
            self.import.take_known(row);
            let Some(line) = row.line() else { continue };
            let key = self.import.key(nth, line);
            if let Order::Open { .. } = &line.order {
                openings.extend(key.clone());
            }
            requests.extend(self.requests(line, key));
        }
        let mut asked: HashSet<AccountId> = HashSet::new();
        loop {
            self.import.store.load(&requests.iter().collect::<Vec<_>>())?;
            let mut more = VecDeque::new();
            for key in &openings {
                let event = self.import.store.book().answered(SCOPE, key)?;
                let Some(Event::Opened(opening)) = event else { continue };
                let id = opening.account.id;
                if self.import.store.book().account(id).is_none() && asked.insert(id) {
                    more.push_back(id);
                }
            }
            if more.is_empty() {
                return Ok(());
            }
            self.import.store.abandon();
            for id in more {
                requests.push(self.touching(id, None));
            }
        }
    }

    /// Requests that touch what the line does.
    fn requests(&mut self, line: &Line, key: Option<IdempotencyKey>) -> Vec<Request> {
        if let Order::Open { .. } = &line.order
            && let Ok(command) = self.import.command(line)
        {
            return vec![self.import.request(command, key)];
        }
        let exported = line.identity.is_some();
        // Those that are not found are opened by lines above, or nowhere.
        let found: Vec<AccountId> =
            names(line).filter_map(|named| self.import.find(named, exported, "").ok()).collect();
        let nobody = AccountId::from_bits(0);
        let mut requests = vec![self.touching(nobody, key)];
        requests.extend(found.into_iter().map(|id| self.touching(id, None)));
        requests
    }

    fn touching(&self, account: AccountId, key: Option<IdempotencyKey>) -> Request {
        self.import.request(Command::ChangeStatus { account, status: Status::Open }, key)
    }
}

/// The accounts that a line names to book on.
fn names(line: &Line) -> impl Iterator<Item = &Named> {
    let (one, other) = match &line.order {
        Order::Open { .. } => (None, None),
        Order::Deposit { account, .. }
        | Order::Withdraw { account, .. }
        | Order::ChangeStatus { account, .. } => (Some(account), None),
        Order::Transfer { from, to, .. } => (Some(from), Some(to)),
    };
    one.into_iter().chain(other)
}

impl<S: Abandon> Importing for SharedImport<S> {
    const ROWS: usize = 512;

    fn rows(&mut self, rows: &[Row], stop: bool) -> Result<Vec<Result<(), Problem>>, StoreError> {
        let tally = self.import.tally;
        let (mut again, mut later) = (0, 0);
        loop {
            let error = match self.attempt(rows, stop) {
                Ok(done) => {
                    self.import.before.clear();
                    return Ok(done);
                }
                Err(error) => error,
            };
            self.import.undo(tally);
            self.import.store.abandon();
            match error.chance() {
                Chance::Again | Chance::Held if again < AGAIN => {
                    again += 1;
                    std::thread::sleep(Duration::from_millis(u64::from(again)));
                }
                // What was done after all is found by the keys.
                Chance::Unknown if !self.all_have_keys(rows) => return Err(error),
                Chance::Later | Chance::Unknown if later < LATER => {
                    std::thread::sleep(Duration::from_millis((20 << later).min(1_000)));
                    later += 1;
                }
                _ => return Err(error),
            }
        }
    }

    fn all_have_keys(&self, rows: &[Row]) -> bool {
        self.import.all_have_keys(rows)
    }

    fn tally(&self) -> Tally {
        self.import.tally
    }

    fn owners(&self) -> &HashSet<UserId> {
        self.import.owners()
    }

    fn known(&self, row: &Row) -> Vec<(String, AccountId)> {
        self.import.known(row)
    }

    fn finish(self) -> Result<Tally, StoreError> {
        self.import.finish()
    }
}
