//! Keys in runs on the disk: what becomes of them when a run is damaged or gone, and that
//! `verify` misses each one that is not where it should be.

use std::path::{Path, PathBuf};

use tongjang_core::Request;
use tongjang_sim::ask::{Desk, Keys, random_ask};
use tongjang_sim::crash::{DIR, check_reader};
use tongjang_sim::drive::serve;
use tongjang_sim::model::Model;
use tongjang_sim::random::Random;
use tongjang_store::disk::Disk;
use tongjang_store::faulty::{FaultyDisk, Operation};
use tongjang_store::journal::verify::verify;
use tongjang_store::journal::{Journal, JournalConfig, KeysConfig, Sealing};
use tongjang_store::teller::answer;
use tongjang_store::{Answer, Store, StoreError};

use crate::damage::snapshots;

fn config(disk: &FaultyDisk) -> JournalConfig {
    let keys = KeysConfig { window: 16, sealing: Sealing::Inline };
    JournalConfig { keys, ..tongjang_sim::crash::config(disk) }
}

/// A ledger that was closed three times, every request of it under a key of its own.
struct Closed {
    disk: FaultyDisk,
    requests: Vec<Request>,
    answers: Vec<Answer>,
    model: Model,
}

fn closed(seed: u64) -> Closed {
    let disk = FaultyDisk::new(seed);
    let (mut random, mut desk) = (Random::new(seed), Desk::new(Keys::Each));
    let (mut model, mut requests, mut answers) = (Model::default(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let (mut journal, ..) = Journal::open(config(&disk)).unwrap();
        for _ in 0..20 {
            let batch: Vec<Request> = (0..8)
                .map(|_| {
                    let request = desk.request(random_ask(&mut random));
                    desk.saw(&model.ask(&request).outcome);
                    request
                })
                .collect();
            serve(&mut journal, &batch, &mut answers).unwrap();
            requests.extend(batch);
        }
        journal.close().unwrap();
    }
    Closed { disk, requests, answers, model }
}

fn runs(disk: &FaultyDisk) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).unwrap().into_iter();
    names.filter(|name| name.starts_with("keys-")).map(|name| Path::new(DIR).join(name)).collect()
}

/// Asks for everything again. What was kept under its key is replayed, and nothing is booked.
fn ask_again(journal: &mut Journal, closed: &Closed) {
    let mut again = Vec::new();
    serve(journal, &closed.requests, &mut again).unwrap();
    for (nth, (again, first)) in again.iter().zip(&closed.answers).enumerate() {
        assert_eq!(again.outcome, first.outcome, "request {nth}");
    }
    let booked = again.iter().zip(&closed.answers);
    assert!(booked.filter(|(_, first)| first.outcome.is_ok()).all(|(again, _)| again.replayed));
}

#[test]
fn keys_are_answered_from_runs_after_a_restart() {
    let closed = closed(21);
    assert!(runs(&closed.disk).len() > 2);
    let (mut journal, reader, opening) = Journal::open(config(&closed.disk)).unwrap();
    assert!(opening.unusable.is_empty() && opening.snapshot.is_some());
    ask_again(&mut journal, &closed);
    check_reader(&reader, &closed.model);
}

#[test]
fn the_older_snapshot_has_its_runs_as_long_as_it_is_kept() {
    let closed = closed(28);
    let newest = snapshots(&closed.disk).pop().unwrap();
    closed.disk.take_away(&newest);
    let (mut journal, reader, opening) = Journal::open(config(&closed.disk)).unwrap();
    assert!(opening.unusable.is_empty() && opening.snapshot.is_some(), "{opening:?}");
    ask_again(&mut journal, &closed);
    check_reader(&reader, &closed.model);
}

#[test]
fn a_run_that_is_damaged_or_gone_is_made_anew_and_that_is_said() {
    let closed = closed(22);
    let mut fallen_back = 0;
    for (nth, path) in runs(&closed.disk).iter().enumerate() {
        for gone in [true, false] {
            let disk = closed.disk.copy();
            let length = disk.bytes(path).unwrap().len() as u64;
            match gone {
                true => disk.take_away(path),
                // In the lines, or in the header.
                false => disk.flip(path, if nth % 2 == 0 { length - 12 } else { 33 }, 3),
            }
            let (mut journal, reader, opening) = Journal::open(config(&disk)).unwrap();
            for error in &opening.unusable {
                assert!(error.to_string().contains("keys-"), "{error}");
            }
            fallen_back += usize::from(!opening.unusable.is_empty());
            ask_again(&mut journal, &closed);
            check_reader(&reader, &closed.model);
            journal.close().unwrap();
            verify(&config(&disk), |_| ()).unwrap();
            let (.., opening) = Journal::open(config(&disk)).unwrap();
            assert!(opening.unusable.is_empty(), "closing leaves a sound snapshot");
        }
    }
    assert!(fallen_back > 2, "{fallen_back}");
}

#[test]
fn a_snapshot_is_not_written_if_a_run_that_it_needs_is_gone() {
    let closed = closed(30);
    let (mut journal, ..) = Journal::open(config(&closed.disk)).unwrap();
    ask_again(&mut journal, &closed);
    let operations = closed.disk.operations();
    // The newest snapshot needs the newest run.
    closed.disk.take_away(&runs(&closed.disk).pop().unwrap());
    journal.close().unwrap();
    let log = closed.disk.operation_log();
    let begun = log[operations..].iter().any(|(_, path)| path.ends_with("snapshot.tmp"));
    let written =
        log[operations..].iter().any(|(operation, _)| matches!(operation, Operation::Rename));
    assert!(begun && !written);
}

#[test]
fn a_damaged_entry_is_found_by_verify_and_books_nothing_twice() {
    let closed = closed(23);
    let summary = verify(&config(&closed.disk), |_| ()).unwrap().summary;
    let mut found = 0;
    for path in runs(&closed.disk) {
        let disk = closed.disk.copy();
        disk.flip(&path, 4096 + 8 + 33, 1);
        match verify(&config(&disk), |_| ()) {
            Err(StoreError::Corrupt { path: at, .. }) if at == path => found += 1,
            Err(error) => panic!("{error}"),
            // Only the older snapshot names it.
            Ok(verified) => assert_eq!(verified.summary, summary),
        }
        let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
        for (request, first) in closed.requests.iter().zip(&closed.answers) {
            let mut again = Vec::new();
            // Where nobody can know whether it was booked, it is not booked.
            match serve(&mut journal, std::slice::from_ref(request), &mut again) {
                Ok(()) => assert_eq!(again[0].outcome, first.outcome),
                Err(error) => assert!(error.to_string().contains("keys-"), "{error}"),
            }
        }
        check_reader(&reader, &closed.model);
    }
    assert!(found > 0);
}

#[test]
fn who_only_looks_needs_no_keys() {
    let closed = closed(24);
    runs(&closed.disk).iter().for_each(|path| closed.disk.take_away(path));
    let reader = Journal::open_to_read(&config(&closed.disk)).unwrap();
    check_reader(&reader, &closed.model);
}

#[test]
fn a_whole_journal_is_read_back_with_few_keys_in_memory() {
    let closed = closed(25);
    for path in snapshots(&closed.disk).iter().chain(&runs(&closed.disk)) {
        closed.disk.take_away(path);
    }
    let (mut journal, reader, opening) = Journal::open(config(&closed.disk)).unwrap();
    assert!(opening.snapshot.is_none());
    let there = runs(&closed.disk).len();
    assert!((2..12).contains(&there), "{there} runs were made of a whole journal");
    ask_again(&mut journal, &closed);
    check_reader(&reader, &closed.model);
    journal.close().unwrap();
    verify(&config(&closed.disk), |_| ()).unwrap();
}

#[test]
fn a_crash_at_any_operation_of_reading_a_journal_back_loses_no_key() {
    let closed = closed(26);
    snapshots(&closed.disk).iter().for_each(|path| closed.disk.take_away(path));
    let trial = closed.disk.copy();
    drop(Journal::open(config(&trial)).unwrap());
    for crash in 0..trial.operations() {
        let disk = closed.disk.copy();
        disk.crash_at(crash);
        drop(Journal::open(config(&disk)));
        let left = disk.survivor(crash as u64);
        let (mut journal, ..) = Journal::open(config(&left)).unwrap();
        ask_again(&mut journal, &closed);
        journal.close().unwrap();
        verify(&config(&left), |_| ()).unwrap();
    }
}

/// An import loads each line and commits thousands of them together. What fills a window must not
/// be waited for before it is handed over.
#[test]
fn a_window_may_become_full_between_two_loads_of_one_batch() {
    for sealing in [Sealing::Inline, Sealing::Background] {
        let disk = FaultyDisk::new(29);
        let keys = KeysConfig { window: 4, sealing };
        let config = JournalConfig { keys, ..config(&disk) };
        let mut desk = Desk::new(Keys::Each);
        let (mut journal, ..) = Journal::open(config.clone()).unwrap();
        for nth in 0..20 {
            // An account, and then deposits.
            let ask = if nth == 0 { [0, 7, 0, 1, 0, 0, 0, 9] } else { [3, 7, 0, 0, 1, 0, 4, 9] };
            let request = desk.request(ask);
            journal.load(&[&request]).unwrap();
            let outcome = answer(journal.book(), &request).unwrap().outcome;
            assert!(outcome.is_ok(), "{outcome:?}");
            desk.saw(&outcome);
        }
        if sealing == Sealing::Background {
            // A line that cannot be looked up ends an import without a commit.
            drop(journal);
            continue;
        }
        journal.commit(Box::new(|durable| durable.unwrap())).unwrap();
        assert!(!runs(&disk).is_empty());
        journal.close().unwrap();
        verify(&config, |_| ()).unwrap();
    }
}

/// A snapshot is copied commit by commit. Meanwhile windows are full, and none may be frozen and
/// sealed before its last shard is copied: the snapshot would lack the rest.
#[test]
fn a_snapshot_beside_the_teller_has_every_key_though_windows_are_sealed_meanwhile() {
    let disk = FaultyDisk::new(27);
    let config = JournalConfig { snapshot_every: 16 << 10, ..config(&disk) };
    let (mut random, mut desk) = (Random::new(27), Desk::new(Keys::Each));
    let (mut model, mut requests, mut answers) = (Model::default(), Vec::new(), Vec::new());
    let (mut journal, ..) = Journal::open(config).unwrap();
    while snapshots(&disk).is_empty() {
        assert!(requests.len() < 50_000, "no snapshot was ever written");
        let batch: Vec<Request> = (0..8)
            .map(|_| {
                let request = desk.request(random_ask(&mut random));
                desk.saw(&model.ask(&request).outcome);
                request
            })
            .collect();
        serve(&mut journal, &batch, &mut answers).unwrap();
        requests.extend(batch);
    }
    let disk = disk.copy();
    assert!(!runs(&disk).is_empty());
    assert!(verify(&self::config(&disk), |_| ()).unwrap().snapshot.is_some());
    let (mut again, reader, opening) = Journal::open(self::config(&disk)).unwrap();
    assert!(opening.snapshot.is_some() && opening.unusable.is_empty());
    let closed = Closed { disk, requests, answers, model };
    ask_again(&mut again, &closed);
    check_reader(&reader, &closed.model);
}
