//! The store of one teller: a batch is one transaction of the database.
//!
//! `load` locks what the batch touches, in order, so that of two tellers one waits at most;
//! `commit` adds what it did and commits. A connection that breaks while the COMMIT is under way
//! leaves the question whether it was done; the next connection finds that out, by the same locks.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use tokio_postgres::error::Severity;
use tongjang_core::{AccountId, Command, Event, Request, Timestamp, Tried, UserId};

use super::book::PostgresBook;
use super::line::Line;
use super::loading::{Locks, Wanted};
use super::places::{Parts, Place, Places};
use super::refusals;
use super::rows::Rows;
use super::values::{Instant, Uuid};
use super::{Counters, Engine, Target};
use crate::{Release, Room, SharedStore, Store, StoreError};

/// The store of one teller on PostgreSQL.
pub struct PostgresStore {
    line: Line,
    parts: Parts,
    engine: Engine,
    places: Places,
    counters: Counters,
    book: PostgresBook,
    locks: Locks,
    /// Nothing that this teller decides is earlier.
    clock: Timestamp,
    in_a_hurry: bool,
}

/// Something that only a batch that was committed left behind.
enum Trace {
    Transaction(i16, u128),
    Account(i16, u128),
    Change(i16, u128, Timestamp),
    Refusal(i16, u128, String, Timestamp, String),
}

impl PostgresStore {
    /// A teller's store on the ledger at `target`, which is in `parts`. It connects when it is
    /// first asked.
    ///
    /// # Errors
    /// If the operating system refuses a runtime.
    pub(super) fn new(
        target: Target,
        parts: Parts,
        engine: Engine,
        places: Places,
        counters: Counters,
    ) -> Result<Self, StoreError> {
        let clock = Timestamp::EPOCH;
        Ok(Self {
            line: Line::new(target, engine, "tongjang teller")?,
            parts,
            engine,
            places,
            counters,
            book: PostgresBook::new(parts, clock),
            locks: Locks::new(),
            clock,
            in_a_hurry: false,
        })
    }

    fn begin(&mut self, requests: &[&Request]) -> Result<(), StoreError> {
        let Self { line, parts, places, in_a_hurry, .. } = self;
        let mut book = PostgresBook::new(*parts, self.clock);
        let wanted = Wanted::by(requests, *parts, *in_a_hurry);
        let locks = line.run(async |client, statements| {
            statements.loading.load(client, &wanted, *parts, places, &mut book).await
        })?;
        self.locks = locks;
        self.book = book;
        Ok(())
    }

    /// Adds what the batch did and commits. Where the database holds the batch together by itself,
    /// both are sent at once: what is locked waits for one way there and back less.
    fn write(&mut self) -> Result<(), StoreError> {
        let Self { line, parts, book, .. } = self;
        let rows = Rows::of(book, *parts);
        self.counters.batch(book.events.len());
        let (commit_is_out, is_undone) = (Cell::new(false), Cell::new(false));
        let failed = |attempt, error: tokio_postgres::Error| {
            is_undone.set(says_undone(&error));
            StoreError::database(attempt, error)
        };
        let committed = line.go_on(async |client, statements| {
            let writing = &statements.writing;
            let write = async {
                let written = writing.write(client, &rows).await;
                // A key, a number or a settlement account that somebody else was faster with is
                // there when the batch is decided again.
                written.map_err(|error| failed("book a batch", error).again_if_taken())
            };
            let commit = async {
                commit_is_out.set(true);
                let committed = client.batch_execute("COMMIT").await;
                committed.map_err(|error| failed("commit a batch", error))
            };
            if writing.is_held_together(&rows) {
                // The COMMIT is sent after all of the batch is. If the database refuses that, it
                // ends the transaction without a trace.
                let (written, ()) = tokio::try_join!(biased; write, commit)?;
                assert!(written.all_heads, "entries are not added without their accounts' heads");
                return Ok(());
            }
            if !write.await?.all_heads {
                return Err(StoreError::Damaged {
                    place: "tongjang.accounts".to_owned(),
                    what: "an account that was locked is not where it was".to_owned(),
                });
            }
            commit.await
        });
        match committed {
            Err(error) if commit_is_out.get() && !is_undone.get() => self.find_out(&error),
            other => other,
        }
    }

    /// Whether the batch at whose end the connection broke was committed after all. The locks of
    /// the batch are taken again: who gets them comes after its end, whatever that was.
    fn find_out(&mut self, broken: &StoreError) -> Result<(), StoreError> {
        self.counters.broken();
        self.line.hang_up();
        let Some(trace) = self.trace() else {
            // Nothing was booked, so nothing is unknown.
            return Err(broken.clone());
        };
        let unknown = |error: &StoreError| StoreError::Unknown {
            attempt: "commit a batch",
            cause: error.to_string().into(),
        };
        // Without a lock nothing holds this up until the end of the other.
        if self.locks.is_empty() {
            return Err(unknown(broken));
        }
        let Self { line, locks, engine, .. } = self;
        let mut last = unknown(broken);
        for pause in [0, 50, 200, 500, 1_000, 1_000, 1_000] {
            std::thread::sleep(std::time::Duration::from_millis(pause));
            let found = line.run(async |client, statements| {
                let attempt = |error| StoreError::database("find out about a commit", error);
                client.batch_execute(engine.begin(false)).await.map_err(attempt)?;
                let held = statements.loading.lock_again(client, locks).await.map_err(attempt)?;
                let left = trace.is_there(client).await.map_err(attempt)?;
                // Locks are written down, so this commit waits until a standby has all before it.
                client.batch_execute("COMMIT").await.map_err(attempt)?;
                Ok((held, left))
            });
            match found {
                Ok((_, true)) => return Ok(()),
                // Of what the batch had locked nothing can be missing.
                Ok((held, false)) if held >= locks.len() => return Err(StoreError::Overtaken),
                Ok((_, false)) => return Err(unknown(broken)),
                Err(error) => {
                    last = unknown(&error);
                    line.give_up();
                }
            }
        }
        Err(last)
    }

    fn trace(&self) -> Option<Trace> {
        let part_in = |id: AccountId| self.book.held.get(&id).map_or(0, |held| held.part);
        self.book.events.first().map(|event| match event {
            Event::Booked(booked) => {
                let transaction = &booked.transaction;
                let part = transaction.entries.first().map_or(0, |entry| part_in(entry.account));
                Trace::Transaction(part, transaction.id.bits())
            }
            Event::Opened(opening) => {
                let id = opening.account.id;
                Trace::Account(part_in(id), id.bits())
            }
            Event::StatusChanged(change) => {
                Trace::Change(part_in(change.account), change.account.bits(), change.at)
            }
            Event::Refused(refused) => {
                let scope: UserId = refused.key.scope;
                let key = refused.key.key.as_str().to_owned();
                let told = refusals::write(&refused.rejection, &refused.command);
                Trace::Refusal(self.parts.of_owner(scope), scope.bits(), key, refused.at, told)
            }
        })
    }

    /// Ends the batch under way, if there is one, without a trace.
    pub fn abandon(&mut self) {
        drop(self.taken());
    }

    /// Ends the batch under way without a trace, and gives what it has brought in.
    pub(super) fn taken(&mut self) -> PostgresBook {
        self.line.give_up();
        std::mem::replace(&mut self.book, PostgresBook::new(self.parts, self.clock))
    }
}

impl Trace {
    async fn is_there(
        &self,
        client: &tokio_postgres::Client,
    ) -> Result<bool, tokio_postgres::Error> {
        let found = match self {
            Self::Transaction(part, id) => {
                let sql = "SELECT 1 FROM tongjang.entries
                    WHERE part = $1 AND transaction_id = $2 AND booked_at IS NOT NULL LIMIT 1";
                client.query_opt(sql, &[part, &Uuid(*id)]).await?
            }
            Self::Account(part, id) => {
                let sql = "SELECT 1 FROM tongjang.accounts WHERE part = $1 AND id = $2";
                client.query_opt(sql, &[part, &Uuid(*id)]).await?
            }
            // What others did to the same account has another time, and what they were refused
            // under the same key is the same, if it has this time and these words.
            Self::Change(part, id, at) => {
                let sql = "SELECT 1 FROM tongjang.status_changes
                    WHERE part = $1 AND account_id = $2 AND changed_at = $3 LIMIT 1";
                client.query_opt(sql, &[part, &Uuid(*id), &Instant(*at)]).await?
            }
            Self::Refusal(part, scope, key, at, told) => {
                let sql = "SELECT 1 FROM tongjang.keys WHERE part = $1 AND scope = $2 AND key = $3
                    AND happened_at = $4 AND refusal = $5";
                let at = Instant(*at);
                client.query_opt(sql, &[part, &Uuid(*scope), key, &at, told]).await?
            }
        };
        Ok(found.is_some())
    }
}

impl Store for PostgresStore {
    type Book = PostgresBook;

    fn load(&mut self, requests: &[&Request]) -> Result<(), StoreError> {
        self.begin(requests)
            .inspect_err(|error| {
                self.counters.failed(error);
            })
            .inspect_err(|_| self.line.give_up())
    }

    fn book(&mut self) -> &mut PostgresBook {
        &mut self.book
    }

    fn is_full(&self) -> bool {
        false
    }

    fn room_for(&mut self, _: &[Tried]) -> Result<Room, StoreError> {
        Ok(Room::Here)
    }

    fn commit(&mut self, release: Release) -> Result<(), StoreError> {
        let committed = self.write();
        match &committed {
            Ok(()) => {
                self.clock = self.clock.max(self.book.earliest);
                self.places.put(self.book.opened());
                self.line.wrote(self.book.events.len());
            }
            Err(error) => {
                self.counters.failed(error);
                self.line.give_up();
            }
        }
        release(committed.clone());
        committed
    }

    fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl SharedStore for PostgresStore {
    fn touched(&mut self, requests: &[&Request]) -> Result<Option<Vec<BTreeSet<i16>>>, StoreError> {
        if !self.engine.is_distributed() {
            return Ok(None);
        }
        let Self { line, parts, places, .. } = self;
        let named = requests.iter().flat_map(|request| request.command.accounts());
        let named = named.flatten().collect();
        let found = line.run(async |client, statements| {
            statements.loading.places_of(client, &named, places).await
        });
        let found = found.inspect_err(|_| self.line.give_up())?;
        let touched = requests.iter().map(|request| touched(request, *parts, &found));
        Ok(Some(touched.collect()))
    }

    fn hurry(&mut self, hurry: bool) {
        self.in_a_hurry = hurry;
    }
}

/// Whether the database says that nothing was done: by an error that leaves the session as it is,
/// and that is none of a connection further on (class 08, 40003).
fn says_undone(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|told| {
        let code = told.code().code();
        told.parsed_severity() == Some(Severity::Error)
            && !code.starts_with("08")
            && code != "40003"
    })
}

/// The parts of the accounts, the key and the number of a request.
fn touched(request: &Request, parts: Parts, found: &HashMap<AccountId, Place>) -> BTreeSet<i16> {
    let Request { caller, key, command, .. } = request;
    let accounts = command.accounts().into_iter().flatten();
    let mut touched: BTreeSet<i16> =
        accounts.filter_map(|id| found.get(&id)).map(|place| place.part).collect();
    if let Command::Open { owner, bank, number, .. } = command {
        touched.extend([parts.of_owner(*owner), parts.of_number(bank, number)]);
    }
    // Where nothing else is found there is nothing to touch.
    if key.is_some() || touched.is_empty() {
        touched.insert(parts.of_owner(caller.user));
    }
    touched
}
