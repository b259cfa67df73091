//! A ledger's life on a disk that crashes or fails at any of its operations, and what must hold
//! for whoever opens it afterwards.
//!
//! Every request has a key. Decisions depend on nothing but the requests, so what a crash leaves
//! must be a beginning of one known sequence of events, at least as long as what was answered;
//! and asking everything again under the same keys must lead to the whole of that sequence.

use std::sync::Arc;

use tongjang_core::{AccountId, Request};
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::log::{LogConfig, Spares};
use tongjang_store::journal::verify::{Verified, verify};
use tongjang_store::journal::{Journal, JournalConfig, JournalReader, KeysConfig, Opening};
use tongjang_store::{Answer, EntryFilter, EntryQuery, Order, Reader, Row, Store, StoreError};

use crate::ask::{Desk, Keys, random_ask};
use crate::drive::serve;
use crate::model::Model;
use crate::random::Random;

/// Where the ledger is on its disk.
pub const DIR: &str = "/ledger";

/// A ledger on `disk`, in short segments that are prepared between two frames.
pub fn config(disk: &FaultyDisk) -> JournalConfig {
    JournalConfig {
        disk: Arc::new(disk.clone()),
        log: LogConfig {
            segment_bytes: 64 << 10,
            spares: Spares::Inline,
            // Some batches are written on the teller's thread, some on the writer's.
            inline_bytes: 2 << 10,
            ..LogConfig::default()
        },
        ..JournalConfig::new(DIR, [7; 16])
    }
}

/// What is done to a ledger, day by day, and what must come of it.
pub struct Scenario {
    /// Days, and the batches of each. Between two days the ledger is closed and opened again.
    days: Vec<Vec<Vec<Request>>>,
    /// The answer to each request.
    answers: Vec<Answer>,
    /// How many events there are after so many requests.
    events_after: Vec<usize>,
    model: Model,
    snapshot_every: u64,
    keys: KeysConfig,
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    /// How many requests were answered.
    pub answered: usize,
    /// What it ended with, unless it came to its end.
    pub error: Option<StoreError>,
}

impl Scenario {
    /// The scenario of `seed`, of at most so many days, batches a day and requests a batch.
    pub fn new(seed: u64, days: usize, batches: usize, requests: usize) -> Self {
        let mut random = Random::new(seed);
        let mut desk = Desk::new(Keys::Each);
        let (mut model, mut answers, mut events_after) = (Model::default(), Vec::new(), vec![0]);
        let mut asked: Vec<Request> = Vec::new();
        let mut next = |random: &mut Random| {
            // Now and then somebody asks again what was asked already.
            let again = random.below(12) == 0 && !asked.is_empty();
            let request = match again {
                true => asked[random.below(asked.len())].clone(),
                false => desk.request(random_ask(random)),
            };
            let answer = model.ask(&request);
            desk.saw(&answer.outcome);
            answers.push(answer);
            events_after.push(model.events.len());
            asked.push(request.clone());
            request
        };
        let days = (0..=random.below(days))
            .map(|_| {
                (0..=random.below(batches))
                    .map(|_| (0..=random.below(requests)).map(|_| next(&mut random)).collect())
                    .collect()
            })
            .collect();
        let (snapshot_every, keys) = (u64::MAX / 2, KeysConfig::default());
        Self { days, answers, events_after, model, snapshot_every, keys }
    }

    /// The same with snapshots while it goes on, each after so many bytes.
    #[must_use]
    pub fn with_snapshots_every(self, snapshot_every: u64) -> Self {
        Self { snapshot_every, ..self }
    }

    /// The same with an index of keys that is kept so.
    #[must_use]
    pub fn with_keys(self, keys: KeysConfig) -> Self {
        Self { keys, ..self }
    }

    /// How many days it has, and so how many snapshots of ledgers that were closed.
    pub fn days(&self) -> usize {
        self.days.len()
    }

    /// All that is asked for, in order.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.days.iter().flatten().flatten()
    }

    /// Lives through it on `disk`, as far as that lets it.
    pub fn run(&self, disk: &FaultyDisk) -> Run {
        let mut run = Run { answered: 0, error: None };
        for day in &self.days {
            if let Err(error) = self.live(disk, day, &mut run) {
                run.error = Some(error);
                break;
            }
        }
        run
    }

    fn live(
        &self,
        disk: &FaultyDisk,
        day: &[Vec<Request>],
        run: &mut Run,
    ) -> Result<(), StoreError> {
        let snapshot_every = self.snapshot_every;
        let config = JournalConfig { snapshot_every, keys: self.keys, ..config(disk) };
        let (mut journal, reader, _) = Journal::open(config)?;
        for batch in day {
            let mut answered = Vec::new();
            let served = serve(&mut journal, batch, &mut answered);
            let expected = &self.answers[run.answered..][..answered.len()];
            assert_eq!(answered, expected, "the store answers what the bare core does");
            run.answered += answered.len();
            if let Err(error) = served {
                self.check_poisoned(disk, &mut journal, &reader, batch);
                return Err(error);
            }
        }
        journal.close()
    }

    /// After a failure nothing more is taken in, and the store says so.
    fn check_poisoned(
        &self,
        disk: &FaultyDisk,
        journal: &mut Journal,
        reader: &JournalReader,
        batch: &[Request],
    ) {
        assert!(disk.has_crashed() || reader.ready().is_err(), "a failure was forgotten");
        let mut answered = Vec::new();
        assert!(serve(journal, batch, &mut answered).is_err());
        assert!(answered.is_empty(), "a success after a failure");
    }

    /// Opens what a crash left, and checks all of it. `answered` requests had an answer.
    ///
    /// # Panics
    /// If something that was answered is lost or changed, or something is there in part or twice.
    pub fn check(&self, disk: &FaultyDisk, answered: usize) {
        let config = JournalConfig { keys: self.keys, ..config(disk) };
        let opened = || Journal::open(config.clone()).unwrap_or_else(|error| panic!("{error}"));
        let (mut journal, reader, opening) = opened();
        let there = verified(disk).summary.events as usize;
        assert!(
            there >= self.events_after[answered],
            "of {} answered events {there} are there",
            self.events_after[answered]
        );
        assert!(there <= self.model.events.len(), "there is more than was ever asked for");
        check_reader(&reader, &Model::after(&self.model.events[..there]));
        drop(opening);
        // Everybody asks again. What is there is replayed, and the rest is done once.
        let requests: Vec<Request> = self.requests().cloned().collect();
        let mut answers = Vec::new();
        serve(&mut journal, &requests, &mut answers).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(answers.len(), requests.len());
        for (index, (answer, first)) in answers.iter().zip(&self.answers).enumerate() {
            assert_eq!(answer.outcome, first.outcome, "request {index} has another outcome");
            let kept = self.events_after[index] < self.events_after[index + 1];
            let was_there = kept && self.events_after[index] < there;
            assert_eq!(answer.replayed, first.replayed || was_there, "request {index}");
        }
        check_reader(&reader, &self.model);
        journal.close().unwrap_or_else(|error| panic!("{error}"));
        let verified = verified(disk);
        assert_eq!(verified.summary, self.model.add_up());
        assert_eq!(verified.recovered.torn, None, "the torn write was not cut off");
        let (_journal, reader, opening) = opened();
        assert!(opening.unusable.is_empty() && opening.snapshot.is_some());
        check_reader(&reader, &self.model);
    }
}

/// Opens the ledger on `disk`.
///
/// # Panics
/// If it cannot be opened.
pub fn open(disk: &FaultyDisk) -> (Journal, JournalReader, Opening) {
    Journal::open(config(disk)).unwrap_or_else(|error| panic!("{error}"))
}

/// Verifies the ledger on `disk`.
///
/// # Panics
/// If there is a fault in it.
pub fn verified(disk: &FaultyDisk) -> Verified {
    verify(&config(disk), |_| ()).unwrap_or_else(|error| panic!("{error}"))
}

/// All rows of `account`, the oldest first.
///
/// # Errors
/// What kept them from being read.
pub fn rows(reader: &impl Reader, account: AccountId) -> Result<Vec<Row>, StoreError> {
    let (filter, order, after) = (EntryFilter::all(account), Order::Asc, None);
    let (limit, scan_limit) = (usize::MAX, usize::MAX);
    Ok(reader.entries(&EntryQuery { filter, order, after, offset: 0, limit, scan_limit })?.rows)
}

/// Compares everything that a reader sees with the model.
///
/// # Panics
/// At the first difference.
pub fn check_reader(reader: &impl Reader, model: &Model) {
    let sound = |error| panic!("{error}");
    let accounts = reader.accounts(None, Order::Asc, None, usize::MAX).unwrap_or_else(sound);
    assert_eq!(accounts, model.accounts());
    for account in &accounts {
        let rows = rows(reader, account.id()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rows, model.rows(account.id()));
    }
    let totals = reader.totals().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(totals, model.totals());
}
