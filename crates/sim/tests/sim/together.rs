//! Batches that are booked together or not at all: what the model says comes of them, and a crash
//! at any operation leaves all of a batch or nothing of it.

use std::path::Path;
use std::sync::{Arc, mpsc};

use proptest::prelude::*;
use tongjang_core::{Event, Request};
use tongjang_sim::ask::{Desk, Keys, random_ask};
use tongjang_sim::crash::{DIR, check_reader, config, open, verified};
use tongjang_sim::drive::{serve, serve_together};
use tongjang_sim::model::Model;
use tongjang_sim::random::Random;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::log::{Known, Log};
use tongjang_store::journal::{Journal, JournalConfig};
use tongjang_store::teller::Teller;
use tongjang_store::{Answer, BundleReply, Store, StoreError, TellerLimits, Together};

use crate::{seeds, with_seed};

/// Batches, of which each second one is booked together, and what must come of them.
struct Batches {
    batches: Vec<Vec<Request>>,
    /// What came of each that is booked together.
    together: Vec<Option<Together>>,
    /// How many events there are after so many batches.
    events_after: Vec<usize>,
    model: Model,
}

fn is_together(index: usize) -> bool {
    index % 2 == 1
}

impl Batches {
    fn new(seed: u64, batches: usize, requests: usize) -> Self {
        let mut random = Random::new(seed);
        let (mut desk, mut model) = (Desk::new(Keys::Each), Model::default());
        let mut all = Self {
            batches: Vec::new(),
            together: Vec::new(),
            events_after: vec![0],
            model: Model::default(),
        };
        for index in 0..batches {
            let mut batch = Vec::new();
            for _ in 0..=random.below(requests) {
                let request = desk.request(random_ask(&mut random));
                // Most of what is asked by chance is refused, and then a batch is as well.
                let mut trial = model.clone();
                batch.iter().for_each(|earlier| drop(trial.ask(earlier)));
                if !is_together(index)
                    || random.below(30) == 0
                    || trial.ask(&request).outcome.is_ok()
                {
                    batch.push(request);
                }
            }
            if is_together(index) {
                let together = model.ask_together(&batch);
                if let Together::All(answers) = &together {
                    answers.iter().for_each(|answer| desk.saw(&answer.outcome));
                }
                all.together.push(Some(together));
            } else {
                batch.iter().for_each(|request| desk.saw(&model.ask(request).outcome));
                all.together.push(None);
            }
            all.batches.push(batch);
            all.events_after.push(model.events.len());
        }
        all.model = model;
        all
    }

    /// Deposits, so many together that the rest of a segment cannot hold all of them.
    fn large() -> Self {
        let (mut desk, mut model) = (Desk::new(Keys::Each), Model::default());
        let (mut batches, mut together, mut events_after) = (Vec::new(), Vec::new(), vec![0]);
        for index in 0..18 {
            let deposit = |desk: &mut Desk| desk.request([3, 7, 0, 0, 1, 0, 4, 9]);
            let batch: Vec<Request> = match index {
                0 => vec![desk.request([0, 7, 0, 1, 0, 0, 0, 9])],
                _ if is_together(index) => (0..35).map(|_| deposit(&mut desk)).collect(),
                _ => vec![deposit(&mut desk)],
            };
            together.push(is_together(index).then(|| model.ask_together(&batch)));
            if !is_together(index) {
                batch.iter().for_each(|request| desk.saw(&model.ask(request).outcome));
            }
            batches.push(batch);
            events_after.push(model.events.len());
        }
        Self { batches, together, events_after, model }
    }

    /// Crashes at each operation in turn, and looks at what is left.
    fn crash_everywhere(&self, seed: u64) {
        let disk = FaultyDisk::new(seed);
        let (answered, error) = self.run(&disk);
        assert!(answered == self.batches.len() && error.is_none(), "{error:?}");
        for index in 0..disk.operations() {
            let disk = FaultyDisk::new(seed);
            disk.crash_at(index);
            let (answered, _) = self.run(&disk);
            for nth in 0..2 {
                let left = disk.survivor(seed ^ (index as u64 * 2 + nth));
                self.check(&left, answered);
            }
        }
    }

    /// Lives through it as far as the disk lets it: how many batches were answered.
    fn run(&self, disk: &FaultyDisk) -> (usize, Option<StoreError>) {
        let mut answered = 0;
        let lived = self.live(disk, &mut answered);
        (answered, lived.err())
    }

    fn live(&self, disk: &FaultyDisk, answered: &mut usize) -> Result<(), StoreError> {
        let (mut journal, ..) = Journal::open(config(disk))?;
        for (batch, expected) in self.batches.iter().zip(&self.together) {
            match expected {
                Some(expected) => assert_eq!(serve_together(&mut journal, batch)?, *expected),
                None => serve(&mut journal, batch, &mut Vec::new())?,
            }
            *answered += 1;
        }
        journal.close()
    }

    /// Opens what a crash left: it is what some of the batches lead to, and at least those that
    /// were answered. Only the parts of a batch that is not booked together may be there alone.
    fn check(&self, disk: &FaultyDisk, answered: usize) {
        let (mut journal, reader, _) = open(disk);
        let there = verified(disk).summary.events as usize;
        assert!(there >= self.events_after[answered], "something answered is lost");
        let inside =
            self.events_after.windows(2).position(|pair| pair[0] < there && there < pair[1]);
        assert!(inside.is_none_or(|index| !is_together(index)), "a part of batch {inside:?}");
        check_reader(&reader, &Model::after(&self.model.events[..there]));
        for (batch, expected) in self.batches.iter().zip(&self.together) {
            match expected {
                Some(Together::All(answers)) => {
                    let again = serve_together(&mut journal, batch).unwrap();
                    let Together::All(again) = again else { panic!("{again:?}") };
                    assert_eq!(outcomes(&again), outcomes(answers));
                }
                Some(_) => {}
                None => serve(&mut journal, batch, &mut Vec::new()).unwrap(),
            }
        }
        check_reader(&reader, &self.model);
        journal.close().unwrap();
        assert_eq!(verified(disk).summary, self.model.add_up());
    }
}

fn outcomes(answers: &[Answer]) -> Vec<Event> {
    answers.iter().map(|answer| answer.outcome.clone().unwrap()).collect()
}

/// How many frames fill the rest of a segment with nothing.
fn fillers(disk: &FaultyDisk) -> usize {
    let (dir, mut fillers) = (Path::new(DIR).join("journal"), 0);
    Log::read_only(Arc::new(disk.clone()), &dir, Known::default(), |frame, _| {
        fillers += usize::from(frame.events.event_count == 0);
        Ok(())
    })
    .unwrap();
    fillers
}

#[test]
fn a_crash_at_any_operation_leaves_all_of_a_batch_or_nothing() {
    for seed in seeds(2) {
        with_seed(seed, || {
            let batches = Batches::new(seed, 12, 60);
            let booked = batches.together.iter().flatten();
            let all = booked.filter(|together| matches!(together, Together::All(_))).count();
            assert!(all > 1, "hardly a batch is booked");
            batches.crash_everywhere(seed);
        });
    }
}

#[test]
fn a_crash_where_a_segment_is_filled_up_leaves_all_of_a_batch_or_nothing() {
    let batches = Batches::large();
    let disk = FaultyDisk::new(1);
    batches.run(&disk);
    assert!(fillers(&disk) > 0, "no batch was too long for the rest of a segment");
    batches.crash_everywhere(1);
}

/// A batch of so many deposits into one account.
fn deposits(desk: &mut Desk, model: &mut Model, count: usize) -> Vec<Request> {
    let batch: Vec<Request> = (0..count).map(|_| desk.request([3, 7, 0, 0, 1, 0, 4, 9])).collect();
    assert!(matches!(model.ask_together(&batch), Together::All(_)));
    batch
}

#[test]
fn a_batch_that_the_rest_of_its_segment_cannot_hold_begins_the_next_one() {
    let disk = FaultyDisk::new(1);
    let (mut desk, mut model) = (Desk::new(Keys::Each), Model::default());
    let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
    let first = desk.request([0, 7, 0, 1, 0, 0, 0, 9]);
    desk.saw(&model.ask(&first).outcome);
    serve(&mut journal, &[first], &mut Vec::new()).unwrap();
    for _ in 0..16 {
        let batch = deposits(&mut desk, &mut model, 35);
        let before = journal.length();
        let booked = serve_together(&mut journal, &batch).unwrap();
        assert!(matches!(booked, Together::All(_)), "{booked:?}");
        assert!(journal.length() > before);
    }
    assert!(journal.length() > 2 * (64 << 10), "segments were filled up: {}", journal.length());
    check_reader(&reader, &model);
    let transaction = model.events.last().and_then(|event| match event {
        Event::Booked(booked) => Some(&booked.transaction),
        _ => None,
    });
    let transaction = transaction.unwrap();
    let found = tongjang_store::Reader::transaction(&reader, transaction.id).unwrap();
    assert_eq!(found.as_ref(), Some(transaction), "the search passes over fillers");

    // More than any segment holds is refused, and changes nothing.
    let before = model.clone();
    let batch = deposits(&mut desk, &mut model, 200);
    assert_eq!(serve_together(&mut journal, &batch).unwrap(), Together::TooLarge);
    check_reader(&reader, &before);
    journal.close().unwrap();
    assert_eq!(verified(&disk).summary, before.add_up());
    let (_journal, reader, _) = open(&disk);
    check_reader(&reader, &before);
}

/// Runs `batches` through a teller, and gives the answers of each.
fn through_a_teller(batches: &[(bool, Vec<Request>)], limits: TellerLimits) -> Vec<Together> {
    let disk = FaultyDisk::new(3);
    let (journal, ..) = Journal::open(JournalConfig { ..config(&disk) }).unwrap();
    let (teller, thread) = Teller::start(journal, limits).unwrap();
    let (tell, told) = mpsc::channel();
    for (index, (together, batch)) in batches.iter().enumerate() {
        let tell = tell.clone();
        if *together {
            let reply = Box::new(move |answer: Result<_, _>| {
                tell.send((index, answer.unwrap())).unwrap();
            });
            teller.submit_together(batch.clone(), reply).unwrap();
        } else {
            let reply = Box::new(move |answers: Vec<Result<Answer, StoreError>>| {
                let answers = answers.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
                tell.send((index, Together::All(answers))).unwrap();
            });
            teller.submit_bundle(batch.clone(), BundleReply::Whole(reply)).unwrap();
        }
    }
    thread.close().unwrap();
    drop(tell);
    let answers: Vec<(usize, Together)> = told.iter().collect();
    assert!(answers.is_sorted_by_key(|(index, _)| *index), "bundles are answered in their order");
    assert_eq!(answers.len(), batches.len());
    answers.into_iter().map(|(_, answer)| answer).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bundles_through_a_teller_do_what_the_model_says(
        asks in prop::collection::vec(
            (any::<bool>(), prop::collection::vec(any::<[u8; 8]>(), 1..12)), 1..24),
        batch in 1..40usize,
    ) {
        let (mut desk, mut model) = (Desk::new(Keys::Few), Model::default());
        let (mut batches, mut expected) = (Vec::new(), Vec::new());
        for (together, asks) in asks {
            let requests: Vec<Request> = asks
                .into_iter()
                .map(|mut ask| {
                    ask[1] = if ask[1] % 4 > 0 { 7 } else { ask[1] };
                    if desk.accounts().is_empty() {
                        ask[0] = 0;
                    }
                    desk.request(ask)
                })
                .collect();
            let answer = match together {
                true => model.ask_together(&requests),
                false => Together::All(requests.iter().map(|asked| model.ask(asked)).collect()),
            };
            if let Together::All(answers) = &answer {
                answers.iter().for_each(|answer| desk.saw(&answer.outcome));
            }
            expected.push(answer);
            batches.push((together, requests));
        }
        let limits = TellerLimits { batch, ..TellerLimits::default() };
        prop_assert_eq!(through_a_teller(&batches, limits), expected);
    }
}

#[test]
fn bundles_wait_in_a_bounded_room_and_leave_the_other_one_free() {
    let disk = FaultyDisk::new(4);
    let (journal, ..) = Journal::open(config(&disk)).unwrap();
    let (mut desk, mut model) = (Desk::new(Keys::Each), Model::default());
    let first = desk.request([0, 7, 0, 1, 0, 0, 0, 9]);
    desk.saw(&model.ask(&first).outcome);
    // The teller is held up by whoever gives out the first answer.
    let (hold, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let messenger: tongjang_store::Messenger = Arc::new(move |deliver| {
        let _ = held.lock().unwrap().recv();
        deliver();
    });
    let limits = TellerLimits { queue: 8, batch: 1 };
    let (teller, thread) = Teller::start_with(journal, limits, messenger).unwrap();
    teller.submit(first, Box::new(|_| ())).unwrap();
    let bundle = |desk: &mut Desk, count| {
        (0..count).map(|_| desk.request([3, 7, 0, 0, 1, 0, 4, 9])).collect()
    };
    let mut taken = 0;
    // Some may be in the teller's hands; then at most eight requests wait.
    while teller.submit_bundle(bundle(&mut desk, 3), BundleReply::Brief(Box::new(|_| ()))).is_ok() {
        taken += 1;
        assert!(taken < 20, "bundles wait without a bound");
    }
    let none = BundleReply::Brief(Box::new(|_| ()));
    let full = teller.submit_bundle(bundle(&mut desk, 3), none);
    assert_eq!(full, Err(tongjang_store::Refusal::Overloaded));
    let single = desk.request([3, 7, 0, 0, 1, 0, 4, 9]);
    teller.submit(single, Box::new(|_| ())).unwrap();
    drop(hold);
    thread.close().unwrap();
}
