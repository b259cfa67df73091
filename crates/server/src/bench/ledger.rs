//! A ledger in process: what the teller would do, without its queue.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::Context;
use tongjang_core::apply::apply;
use tongjang_core::{AccountId, Book, Decision, Event, Request, decide};
use tongjang_store::disk::RealDisk;
use tongjang_store::journal::{Journal, JournalConfig};
use tongjang_store::{Store, StoreError};

use super::lean_book::LeanBook;
use super::workload::Workload;

/// How many requests make up a batch where nothing else is said: the most that the teller takes.
pub(crate) const BATCH: usize = 8192;

/// The journal is told of so many requests at once before they are decided, as by the teller.
const FEW: usize = 512;

/// A journal with its commits on their way.
pub(crate) struct Ledger {
    journal: Journal,
    done: Sender<Result<(), StoreError>>,
    durable: Receiver<Result<(), StoreError>>,
    on_their_way: usize,
}

impl Ledger {
    /// Opens the ledger in `dir`, or makes a new one.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        Self::open_on(RealDisk::default(), dir)
    }

    /// The same on a disk that writes in its own way.
    pub(crate) fn open_on(disk: RealDisk, dir: &Path) -> anyhow::Result<Self> {
        let mut config = JournalConfig::new(dir, *b"a bench's ledger");
        config.disk = Arc::new(disk);
        let (journal, _, _) = Journal::open(config)?;
        let (done, durable) = channel();
        Ok(Self { journal, done, durable, on_their_way: 0 })
    }

    /// How many bytes of the journal are used.
    pub(crate) fn length(&self) -> u64 {
        self.journal.length()
    }

    /// Decides a batch and hands it over; the accounts that it opened, in order. It need not be
    /// durable yet.
    pub(crate) fn commit(&mut self, batch: &[Request]) -> anyhow::Result<Vec<AccountId>> {
        let batch: Vec<&Request> = batch.iter().collect();
        let mut opened = Vec::new();
        self.journal.load(&batch)?;
        for few in batch.chunks(FEW) {
            self.journal.warm(few);
            for request in few {
                if self.journal.is_full() {
                    self.hand_over()?;
                }
                let book = self.journal.book();
                match decide(book, request)? {
                    Decision::New(event) => {
                        apply(book, &event);
                        if let Event::Opened(opening) = &event {
                            opened.push(opening.account.id);
                        }
                    }
                    other => anyhow::bail!("every request of a measurement succeeds: {other:?}"),
                }
            }
        }
        self.hand_over()?;
        Ok(opened)
    }

    fn hand_over(&mut self) -> anyhow::Result<()> {
        let done = self.done.clone();
        self.journal.commit(Box::new(move |result| {
            // Nobody waits any more after a failure.
            let _ = done.send(result);
        }))?;
        self.on_their_way += 1;
        while let Ok(result) = self.durable.try_recv() {
            result?;
            self.on_their_way -= 1;
        }
        Ok(())
    }

    /// Waits until all is durable.
    pub(crate) fn settle(&mut self) -> anyhow::Result<()> {
        while self.on_their_way > 0 {
            self.durable.recv().context("the journal answers")??;
            self.on_their_way -= 1;
        }
        Ok(())
    }

    /// Commits all, `batch` at a time, and waits until the last is durable. Batches of one come
    /// one after the other: the next request when this one is answered.
    pub(crate) fn commit_all(&mut self, requests: &[Request], batch: usize) -> anyhow::Result<()> {
        for chunk in requests.chunks(batch) {
            self.commit(chunk)?;
            if batch == 1 {
                self.settle()?;
            }
        }
        self.settle()
    }

    /// Opens so many accounts and puts money into each, in `rules` too if they are given; from
    /// then on they take part in the workload.
    pub(crate) fn open_accounts(
        &mut self,
        workload: &mut Workload,
        accounts: usize,
        mut rules: Option<&mut LeanBook>,
    ) -> anyhow::Result<()> {
        let mut ids = Vec::with_capacity(accounts);
        while ids.len() < accounts {
            let count = BATCH.min(accounts - ids.len());
            let openings: Vec<Request> = (0..count).map(|_| workload.open()).collect();
            let opened = self.commit(&openings)?;
            let endowments: Vec<Request> = opened.iter().map(|id| workload.endow(*id)).collect();
            self.commit(&endowments)?;
            if let Some(rules) = &mut rules {
                decide_all(*rules, &openings);
                decide_all(*rules, &endowments);
            }
            ids.extend(opened);
        }
        workload.take_part(ids.into());
        self.settle()
    }

    /// Leaves the ledger so that it opens fast again.
    pub(crate) fn close(mut self) -> anyhow::Result<()> {
        self.settle()?;
        Ok(self.journal.close()?)
    }
}

/// Decides all in a book and folds it in; nothing becomes durable.
pub(crate) fn decide_all<B: Book>(book: &mut B, requests: &[Request])
where
    B::Error: std::fmt::Debug,
{
    for request in requests {
        match decide(book, request).expect("a key can be looked up") {
            Decision::New(event) => apply(book, &event),
            other => panic!("every request of a measurement succeeds: {other:?}"),
        }
    }
}
