//! A panic of the teller in the middle of a batch: half of the batch is never there.

use std::sync::mpsc;

use tongjang_core::{Request, Tried};
use tongjang_sim::ask::{Ask, Keys, random_ask};
use tongjang_sim::crash::{check_reader, config, open, verified};
use tongjang_sim::drive;
use tongjang_sim::model::Model;
use tongjang_sim::random::Random;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::{Journal, JournalBook};
use tongjang_store::{
    Answer, Reader, Refusal, Release, Room, Store, StoreError, Teller, TellerLimits,
};

use crate::batching::on_the_core;
use crate::{seeds, with_seed};

/// A journal that panics when its book is asked for the `left`th time, which is once a request.
struct Panicky {
    journal: Journal,
    left: usize,
}

impl Store for Panicky {
    type Book = JournalBook;

    fn load(&mut self, requests: &[&Request]) -> Result<(), StoreError> {
        self.journal.load(requests)
    }

    fn book(&mut self) -> &mut JournalBook {
        self.left -= 1;
        assert!(self.left > 0, "this test's panic");
        self.journal.book()
    }

    fn is_full(&self) -> bool {
        self.journal.is_full()
    }

    fn room_for(&mut self, tried: &[Tried]) -> Result<Room, StoreError> {
        self.journal.room_for(tried)
    }

    fn commit(&mut self, release: Release) -> Result<(), StoreError> {
        self.journal.commit(release)
    }

    fn close(self) -> Result<(), StoreError> {
        self.journal.close()
    }
}

#[test]
fn a_panic_in_a_batch_poisons_and_leaves_nothing_of_it() {
    for seed in seeds(6) {
        with_seed(seed, || {
            let mut random = Random::new(seed);
            let asks: Vec<Ask> = (0..120).map(|_| random_ask(&mut random)).collect();
            let (requests, answers, model) = on_the_core(&asks, Keys::Each);
            let disk = FaultyDisk::new(seed);
            let (journal, reader, _) = Journal::open(config(&disk)).unwrap();
            let left = 2 + random.below(requests.len() - 1);
            let limits = TellerLimits { batch: 1 + random.below(40), ..TellerLimits::default() };
            let (teller, thread) = Teller::start(Panicky { journal, left }, limits).unwrap();
            let (reply, told) = mpsc::channel();
            for request in &requests {
                let reply = reply.clone();
                let done = Box::new(move |answer: Result<Answer, _>| reply.send(answer).unwrap());
                // The teller may be gone already.
                if teller.submit(request.clone(), done) == Err(Refusal::Unavailable) {
                    break;
                }
            }
            drop(reply);
            let told: Vec<Answer> = told.iter().map_while(Result::ok).collect();
            assert!(told.len() < left);
            assert_eq!(told, answers[..told.len()]);
            assert!(thread.close().is_err());
            assert!(reader.ready().is_err(), "a server that nobody serves in is not ready");
            let late = teller.submit(requests[0].clone(), Box::new(|_| ()));
            assert!(late.is_err());
            // What had been handed to the disk may come to it, and no more than that.
            let left = disk.copy();
            let (mut journal, reader, _) = open(&left);
            let there = verified(&left).summary.events as usize;
            check_reader(&reader, &Model::after(&model.events[..there]));
            let mut again = Vec::new();
            drive::serve(&mut journal, &requests, &mut again).unwrap();
            assert!(again.iter().zip(&answers).all(|(one, other)| one.outcome == other.outcome));
            check_reader(&reader, &model);
        });
    }
}
