//! A copy of another ledger: its events as they are, added by the statements of every batch.
//!
//! How many are there stands in `tongjang.copies`, which the transaction moves on that adds them.
//! So a copy that was broken off at any moment goes on with the next event.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio_postgres::Client;
use tongjang_core::apply::apply;
use tongjang_core::{AccountId, Book, Event, Opened, Timestamp};

use super::book::PostgresBook;
use super::line::{Line, Statements};
use super::loading::Locks;
use super::places::{Parts, Places};
use super::rows::Rows;
use super::values::Uuid;
use super::{Postgres, columns};
use crate::StoreError;

/// A copy of another ledger, on its way into this one.
pub struct Copying {
    line: Line,
    parts: Parts,
    places: Places,
    source: u128,
    /// The source's own settlement accounts.
    settlements: HashSet<AccountId>,
    done: i64,
    is_finished: bool,
}

/// Whether a ledger is copied or copied into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It is copied.
    From,
    /// It is copied into.
    Into,
}

/// Whether anything at all was put into a ledger.
const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM tongjang.accounts)
    OR EXISTS (SELECT 1 FROM tongjang.keys) OR EXISTS (SELECT 1 FROM tongjang.users)
    OR EXISTS (SELECT 1 FROM tongjang.secrets) OR EXISTS (SELECT 1 FROM tongjang.copies)";

/// Connections of others that may write: servers and commands, but no other copy.
const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND application_name LIKE 'tongjang%' AND application_name <> 'tongjang copy'";

impl Copying {
    /// The name of its connections.
    pub const APPLICATION: &str = "tongjang copy";

    /// Begins the copy of the ledger `source`, which has these settlement accounts, or goes on
    /// with it.
    ///
    /// # Errors
    /// If anything else is in `ledger`, or the database fails, and nothing is changed then. If
    /// somebody has connected meanwhile, the copy counts as begun.
    pub fn begin(
        ledger: &Postgres,
        source: u128,
        settlements: HashSet<AccountId>,
    ) -> Result<Self, StoreError> {
        let unfit = |what: String| Err(StoreError::Unfit { what });
        let parts = ledger.parts;
        let beyond = settlements.iter().map(|id| Parts::of_settlement(*id).unsigned_abs()).max();
        if let Some(part) = beyond.filter(|part| *part >= parts.count()) {
            let (least, has) = (part + 1, parts.count());
            return unfit(format!(
                "the ledger to be copied has settlement accounts of {least} parts, and this one is \
                 in {has}; make it anew with `tongjang migrate --parts {least}` or more"
            ));
        }
        let mut line = Line::new(ledger.target.clone(), ledger.engine, Self::APPLICATION)?;
        let attempt = |error| StoreError::database("begin a copy", error);
        let found = line.run(async |client, _| {
            client.batch_execute("BEGIN").await.map_err(attempt)?;
            // A copy that was killed may still be at its last batch; this waits for that.
            let sql = "SELECT source, events, finished_at IS NOT NULL FROM tongjang.copies
                FOR UPDATE";
            let found = client.query_opt(sql, &[]).await.map_err(attempt)?;
            if let Some(row) = found {
                let (Uuid(of), events, is_finished) = (row.get(0), row.get(1), row.get(2));
                client.batch_execute("COMMIT").await.map_err(attempt)?;
                return Ok((of == source).then_some((events, is_finished)));
            }
            let used: bool = client.query_one(IS_USED, &[]).await.map_err(attempt)?.get(0);
            if used {
                client.batch_execute("ROLLBACK").await.map_err(attempt)?;
                return Ok(None);
            }
            let sql = "INSERT INTO tongjang.copies (source) VALUES ($1)";
            client.execute(sql, &[&Uuid(source)]).await.map_err(attempt)?;
            client.batch_execute("COMMIT").await.map_err(attempt)?;
            // Whoever starts from now on sees that row. Who started before it is connected.
            check_alone(client).await?;
            Ok(Some((0, false)))
        })?;
        let Some((done, is_finished)) = found else {
            return unfit(
                "it holds something already that is no part of this copy; copy into a new \
                 database, of which only `tongjang migrate` was run"
                    .to_owned(),
            );
        };
        let places = Places::default();
        Ok(Self { line, parts, places, source, settlements, done, is_finished })
    }

    /// How many events of the source are there.
    pub fn done(&self) -> u64 {
        self.done.unsigned_abs()
    }

    /// Whether nothing is left to be done.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Adds the next events of the source by one transaction.
    ///
    /// # Errors
    /// If they do not follow from what is there, or the database fails; none of them is there
    /// then, unless the connection broke in its last moment. [`begin`](Self::begin) finds that out.
    pub fn add(&mut self, events: Vec<Event>) -> Result<(), StoreError> {
        let Self { line, parts, places, source, settlements, done, .. } = self;
        let batch = Batch { parts: *parts, places, settlements };
        let (before, after) = (*done, *done + columns::bigint(events.len() as u64));
        let added = line.run(async |client, statements| {
            let attempt = |error| StoreError::database("copy events", error);
            client.batch_execute("BEGIN").await.map_err(attempt)?;
            let book = batch.book(client, statements, events).await?;
            let rows = Rows::of(&book, batch.parts);
            let written = statements.writing.write(client, &rows).await.map_err(attempt)?;
            let sql = "UPDATE tongjang.copies SET events = $1 WHERE source = $2 AND events = $3";
            let moved = client.execute(sql, &[&after, &Uuid(*source), &before]).await;
            if !written.all_heads || moved.map_err(attempt)? != 1 {
                return Err(StoreError::Overtaken);
            }
            client.batch_execute("COMMIT").await.map_err(attempt)?;
            Ok(book)
        });
        match added {
            Ok(book) => {
                places.put(book.opened());
                self.done = after;
                self.line.wrote(book.events.len());
                Ok(())
            }
            Err(error) => {
                self.line.give_up();
                Err(error)
            }
        }
    }
}

/// What a batch of a copy is made with.
struct Batch<'a> {
    parts: Parts,
    places: &'a Places,
    settlements: &'a HashSet<AccountId>,
}

impl Batch<'_> {
    /// The book after `events`, whose accounts are locked.
    async fn book(
        &self,
        client: &Client,
        statements: &Statements,
        events: Vec<Event>,
    ) -> Result<PostgresBook, StoreError> {
        let (mut opened, mut touched, mut own) = (HashSet::new(), BTreeSet::new(), BTreeSet::new());
        for event in &events {
            match event {
                Event::Opened(opening) => {
                    opened.extend(opening.settlement.iter().map(|settlement| settlement.id));
                    opened.insert(opening.account.id);
                    own.insert(self.own_settlement(&opening.account));
                }
                Event::Booked(booked) => {
                    touched.extend(booked.transaction.entries.iter().map(|entry| entry.account));
                }
                Event::StatusChanged(change) => _ = touched.insert(change.account),
                Event::Refused(_) => {}
            }
        }
        touched.retain(|id| !opened.contains(id));
        let loading = &statements.loading;
        let found = loading.places_of(client, &touched, self.places).await?;
        let own = loading.places_of(client, &own, self.places).await?;
        if let Some(missing) = touched.iter().find(|id| !found.contains_key(id)) {
            return Err(StoreError::Damaged {
                place: format!("account {missing}"),
                what: "the source books on it, and its opening was not copied".to_owned(),
            });
        }
        let locks: Locks = found.iter().map(|(id, at)| (at.part, Uuid(id.bits()))).collect();
        let mut book = PostgresBook::new(self.parts, Timestamp::EPOCH);
        loading.hold(client, &locks, &mut book).await?;
        for mut event in events {
            if let Event::Opened(opening) = &mut event {
                // Each part books on a settlement account of its own, which comes along with an
                // account that brings no other. Until then another part's stands in for it.
                let id = self.own_settlement(&opening.account);
                let is_there = own.contains_key(&id) || book.account(id).is_some();
                if !is_there && opening.settlement.is_none() && !self.settlements.contains(&id) {
                    let Opened { currency, opened_at, .. } = *opening.account;
                    let settlement = Opened::settlement(id, currency, opened_at);
                    opening.settlement = Some(Arc::new(settlement));
                }
            }
            apply(&mut book, &event);
        }
        Ok(book)
    }

    /// The settlement account of the part that `account` is in.
    fn own_settlement(&self, account: &Opened) -> AccountId {
        self.parts.settlement_of(account.currency, account.owner).1
    }
}

/// Refuses a database to which somebody else is connected who may write.
pub(super) async fn check_alone(client: &Client) -> Result<(), StoreError> {
    let attempt = |error| StoreError::database("see who is connected", error);
    let count: i64 = client.query_one(OTHERS, &[]).await.map_err(attempt)?.get(0);
    if count == 0 {
        return Ok(());
    }
    Err(StoreError::Unfit {
        what: format!(
            "servers or commands of Tongjang are connected to it ({count} connections); stop them \
             first, so that nothing is booked while it is copied"
        ),
    })
}
