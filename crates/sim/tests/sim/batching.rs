//! Any requests in any batches: the journal answers what the bare core does, event for event.

use std::sync::mpsc;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use tongjang_core::Request;
use tongjang_sim::ask::{Ask, Desk, Keys};
use tongjang_sim::crash::{check_reader, config};
use tongjang_sim::drive;
use tongjang_sim::model::Model;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::verify::verify;
use tongjang_store::journal::{Journal, JournalConfig};
use tongjang_store::{Answer, Reader, Store, Teller, TellerLimits};

use crate::cases;

/// What comes of `asks` on the bare core.
pub(crate) fn on_the_core(asks: &[Ask], keys: Keys) -> (Vec<Request>, Vec<Answer>, Model) {
    let (mut desk, mut model) = (Desk::new(keys), Model::default());
    let mut answers = Vec::new();
    let requests = asks.iter().map(|ask| {
        let request = desk.request(*ask);
        let answer = model.ask(&request);
        desk.saw(&answer.outcome);
        answers.push(answer);
        request
    });
    (requests.collect(), answers, model)
}

/// Puts `requests` into a teller's queue, so many at once, and waits for all answers.
fn through_a_teller(
    journal: Journal,
    requests: &[Request],
    limits: TellerLimits,
    at_once: usize,
) -> Vec<Answer> {
    let (teller, thread) = Teller::start(journal, limits).unwrap();
    let mut answers = Vec::new();
    for some in requests.chunks(at_once) {
        let (reply, told) = mpsc::channel();
        for request in some {
            let reply = reply.clone();
            let done = Box::new(move |answer: Result<Answer, _>| reply.send(answer).unwrap());
            teller.submit(request.clone(), done).unwrap();
        }
        drop(reply);
        // Answers come in the order of the requests.
        answers.extend(told.iter().map(|answer| answer.unwrap()));
    }
    thread.close().unwrap();
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(24)))]

    #[test]
    fn any_batching_gives_the_same_events(
        asks in vec(any::<[u8; 8]>(), 1..300),
        batch in 1..64usize,
        at_once in 1..200usize,
        segment in 16..64u64,
        cut in any::<prop::sample::Index>(),
    ) {
        let (requests, answers, model) = on_the_core(&asks, Keys::Few);
        model.add_up();
        let dir = TempDir::new().unwrap();
        let mut config = JournalConfig::new(dir.path(), [9; 16]);
        config.log.segment_bytes = segment * 4096;
        let limits = TellerLimits { batch, ..TellerLimits::default() };
        // A restart somewhere in the middle must not be noticed.
        let (before, after) = requests.split_at(cut.index(requests.len()));
        let mut got = Vec::new();
        for some in [before, after] {
            let (journal, ..) = Journal::open(config.clone()).unwrap();
            got.extend(through_a_teller(journal, some, limits, at_once));
        }
        prop_assert_eq!(got, answers);
        let (journal, reader, _) = Journal::open(config.clone()).unwrap();
        check_reader(&reader, &model);
        let verified = verify(&config, |_| ()).unwrap();
        prop_assert_eq!(verified.summary, model.add_up());
        drop(journal);
    }

    #[test]
    fn a_key_is_replayed_within_its_batch_after_it_and_after_a_restart(
        asks in vec(any::<[u8; 8]>(), 1..120),
        size in 1..40usize,
    ) {
        let (requests, answers, model) = on_the_core(&asks, Keys::Each);
        let disk = FaultyDisk::new(0);
        let again = |journal: &mut Journal| {
            for (requests, answers) in requests.chunks(size).zip(answers.chunks(size)) {
                let mut twice = requests.to_vec();
                twice.extend_from_slice(requests);
                let mut got = Vec::new();
                drive::serve(journal, &twice, &mut got).unwrap();
                let (first, second) = got.split_at(requests.len());
                for ((one, two), expected) in first.iter().zip(second).zip(answers) {
                    assert_eq!(one.outcome, expected.outcome);
                    assert_eq!(two.outcome, expected.outcome);
                }
            }
        };
        for _ in 0..2 {
            let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
            again(&mut journal);
            again(&mut journal);
            check_reader(&reader, &model);
            journal.close().unwrap();
        }
    }
}

#[test]
fn fifty_clients_with_one_key_get_one_booking_and_fifty_equal_answers() {
    let open = [0, 0, 1, 1, 0, 0, 0, 9];
    let (mut requests, _, model) = on_the_core(&[open, [3, 0, 0, 0, 99, 0, 0, 9]], Keys::Each);
    let account = model.accounts()[1].id();
    let deposit = requests.pop().unwrap();
    let disk = FaultyDisk::new(0);
    let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
    drive::serve(&mut journal, &requests, &mut Vec::new()).unwrap();
    let limits = TellerLimits { batch: 7, ..TellerLimits::default() };
    let (teller, thread) = Teller::start(journal, limits).unwrap();
    let (reply, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            let (teller, reply, deposit) = (teller.clone(), reply.clone(), deposit.clone());
            scope.spawn(move || {
                let done = Box::new(move |answer: Result<Answer, _>| reply.send(answer).unwrap());
                teller.submit(deposit, done).unwrap();
            });
        }
    });
    drop(reply);
    let answers: Vec<Answer> = told.iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(answers.len(), 50);
    assert!(answers.iter().all(|answer| answer.outcome == answers[0].outcome));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(reader.account(account).unwrap().unwrap().balance().minor(), 100);
    thread.close().unwrap();
}

#[test]
fn the_last_won_is_paid_out_once() {
    let open = [0, 0, 1, 1, 0, 0, 0, 9];
    let deposit = [3, 0, 0, 0, 0, 0, 0, 9];
    let withdraw = [9, 0, 0, 0, 0, 0, 0, 9];
    let (requests, _, model) = on_the_core(&[open, deposit, withdraw], Keys::Each);
    let account = model.accounts()[1].id();
    let disk = FaultyDisk::new(0);
    let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
    drive::serve(&mut journal, &requests[..2], &mut Vec::new()).unwrap();
    let (teller, thread) = Teller::start(journal, TellerLimits::default()).unwrap();
    let (reply, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for nonce in 0..20 {
            let (teller, reply) = (teller.clone(), reply.clone());
            let request = Request { key: None, nonce, ..requests[2].clone() };
            scope.spawn(move || {
                let done = Box::new(move |answer: Result<Answer, _>| reply.send(answer).unwrap());
                teller.submit(request, done).unwrap();
            });
        }
    });
    drop(reply);
    let paid = told.iter().filter(|answer| answer.as_ref().unwrap().outcome.is_ok()).count();
    assert_eq!(paid, 1);
    assert_eq!(reader.account(account).unwrap().unwrap().balance().minor(), 0);
    thread.close().unwrap();
}
