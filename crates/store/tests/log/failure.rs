//! A disk that refuses: every write and sync in turn fails once, and the log takes nothing more.
//!
//! After a failed sync the page cache shows what the disk may not hold, so a restart without a
//! crash is tried too, and a crash after that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use tongjang_store::StoreError;
use tongjang_store::faulty::{FaultyDisk, Operation};
use tongjang_store::journal::frame::{FIRST_EVENT, FrameEvents};
use tongjang_store::journal::log::{Log, LogConfig};

use crate::crash::answered;
use crate::{Answers, INLINE, SMALL, append, create, dir, reopen, segment};

const FRAMES: u64 = 40;

#[test]
fn a_failed_write_or_sync_is_never_followed_by_a_success() {
    for config in [SMALL, INLINE] {
        fail_at_each_operation(config);
    }
}

fn fail_at_each_operation(config: LogConfig) {
    let (disk, mut log) = fresh(config);
    for number in 1..=FRAMES {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    let writes = disk.operation_log();
    let mut tried = 0;
    let preparing: Vec<usize> = (0..writes.len())
        .filter(|&index| writes[index].0 == Operation::Create)
        .flat_map(|created| created..created + 5)
        .collect();
    for (index, (operation, _)) in writes.iter().enumerate() {
        let (disk, mut log) = fresh(config);
        if index < disk.operations() {
            continue;
        }
        disk.fail_at(index);
        let answers = Answers::default();
        let mut refused = false;
        for number in 1..=FRAMES {
            refused |= append(&mut log, number, &answers).is_err();
        }
        let (poison, told) = (log.poison(), format!("{config:?}, {operation:?} {index}"));
        let closed = log.close().err();
        // A segment is created, written, synced, renamed, and its folder synced, before a frame
        // comes to need it; what failed is done once more, and is none of the log's.
        if preparing.contains(&index) {
            assert!(closed.is_none() && answered(&answers) == FRAMES, "{told}");
            continue;
        }
        assert!(matches!(closed, Some(StoreError::Poisoned { .. })), "{told}: {closed:?}");
        assert!(matches!(poison.check(), Err(StoreError::Poisoned { .. })), "{told}");
        let good = answered(&answers);
        assert!(good < FRAMES, "{told}");
        assert!(refused || good + 1 >= FRAMES - 1, "{told}: append says it, too");
        let answers = answers.lock();
        assert_eq!(answers.len() as u64, FRAMES, "{told}: each was answered");
        let first = answers[good as usize].1.as_ref().unwrap_err();
        assert!(matches!(first, StoreError::Io { .. }), "{told}: {first:?}");
        let cause = poison.check().unwrap_err().to_string();
        assert!(cause.contains(&first.to_string()), "{told}: {cause}");
        tried += 1;
    }
    assert_eq!(tried, 2 * FRAMES, "each frame was written and synced");
}

#[test]
fn what_is_answered_after_a_restart_stands_on_nothing_that_only_the_cache_held() {
    let (disk, mut log) = fresh(SMALL);
    for number in 1..=FRAMES {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    for index in 0..disk.operations() {
        let disk = FaultyDisk::new(index as u64);
        disk.fail_at(index);
        let answers = Answers::default();
        if let Ok(mut log) = create(&disk, SMALL) {
            let _ = (1..=FRAMES).try_for_each(|number| append(&mut log, number, &answers));
            let _ = log.close();
        }
        let before = answered(&answers);
        // The process is started anew, and the machine runs on: the cache is as it was.
        if !Log::exists(&disk, &dir()).unwrap() {
            assert_eq!(before, 0);
            create(&disk, SMALL).unwrap().close().unwrap();
        }
        let (mut log, recovered) = reopen(&disk).unwrap();
        let last = recovered.end.frame_number;
        assert!(last == before || last == before + 1, "operation {index}");
        let answers = Answers::default();
        for number in last + 1..=last + 3 {
            append(&mut log, number, &answers).unwrap();
        }
        log.close().unwrap();
        assert_eq!(answered(&answers), 3);
        disk.crash();
        for seed in 0..8 {
            let reopened = reopen(&disk.survivor(seed));
            let (log, recovered) =
                reopened.unwrap_or_else(|error| panic!("operation {index}, seed {seed}: {error}"));
            assert_eq!(recovered.end.frame_number, last + 3, "operation {index}, seed {seed}");
            log.close().unwrap();
        }
    }
}

#[test]
fn a_recovery_that_fails_can_be_tried_again() {
    let (disk, mut log) = fresh(SMALL);
    append(&mut log, 1, &Answers::default()).unwrap();
    append(&mut log, 2, &Answers::default()).unwrap();
    log.close().unwrap();
    let last = 4096 + 64;
    disk.flip(&segment(0), last + crate::body(1).len() as u64 + 64, 0);
    let whole = disk.copy();
    reopen(&whole).unwrap().0.close().unwrap();
    for index in 0..whole.operations() {
        let disk = disk.copy();
        disk.fail_at(index);
        let failed = reopen(&disk).and_then(|(log, _)| log.close());
        assert!(matches!(failed, Err(StoreError::Io { .. })), "operation {index}: {failed:?}");
        let (log, recovered) = reopen(&disk).unwrap();
        assert_eq!(recovered.end.frame_number, 1);
        log.close().unwrap();
        disk.crash();
        for seed in 0..8 {
            assert_eq!(reopen(&disk.survivor(seed)).unwrap().1.end.frame_number, 1);
        }
    }
}

#[test]
fn a_panic_on_the_writers_thread_poisons_the_log() {
    let (_, mut log) = fresh(SMALL);
    let events = FrameEvents { first_event: FIRST_EVENT, ..FrameEvents::default() };
    // This call may return before the panic or after it.
    let _ = log.append(vec![1], events, Box::new(|_| panic!("this panic belongs to the test")));
    let answers = Answers::default();
    let refused = std::iter::repeat_with(|| {
        let answers = answers.clone();
        let done = Box::new(move |answer| answers.lock().push((0, answer)));
        log.append(vec![2], events, done)
    })
    .find_map(Result::err);
    assert!(refused.unwrap().to_string().contains("the journal's writer panicked"));
    assert!(answers.lock().iter().all(|(_, answer)| answer.is_err()));
    assert!(log.poison().check().is_err());
    assert!(log.close().is_err());
}

#[test]
fn a_panic_of_who_writes_a_frame_himself_poisons_the_log() {
    let (_, mut log) = fresh(INLINE);
    let events = FrameEvents { first_event: FIRST_EVENT, ..FrameEvents::default() };
    let done = Box::new(|_| panic!("this panic belongs to the test"));
    let panicked = catch_unwind(AssertUnwindSafe(|| log.append(vec![1], events, done)));
    assert!(panicked.is_err());
    let answers = Answers::default();
    assert!(append(&mut log, 1, &answers).is_err());
    assert!(matches!(answers.lock()[..], [(1, Err(StoreError::Poisoned { .. }))]));
    assert!(log.close().unwrap_err().to_string().contains("the journal's writer panicked"));
}

#[test]
fn a_segment_that_cannot_be_made_is_noticed_when_it_is_needed_and_not_before() {
    let run = |disk: &FaultyDisk| {
        let mut log = create(disk, SMALL).unwrap();
        let answers = Answers::default();
        let _ = (1..=FRAMES).try_for_each(|number| append(&mut log, number, &answers));
        let _ = log.close();
        answers
    };
    let disk = FaultyDisk::new(1);
    run(&disk);
    let is_made = |(operation, path): &(Operation, PathBuf)| {
        *operation == Operation::Create && path.with_extension("") == segment(1)
    };
    let made = disk.operation_log().iter().position(is_made).unwrap();
    let disk = FaultyDisk::new(1);
    disk.fail_at(made);
    assert_eq!(answered(&run(&disk)), FRAMES, "it was made when it was tried again");
    // Each attempt fails.
    let mut failing = vec![made];
    let (disk, good) = loop {
        let disk = FaultyDisk::new(1);
        failing.iter().for_each(|made| disk.fail_at(*made));
        let good = answered(&run(&disk));
        if good < FRAMES {
            break (disk, good);
        }
        let attempts = disk.operation_log();
        let next = attempts.iter().skip(failing[failing.len() - 1] + 1).position(is_made);
        failing.push(next.unwrap() + failing[failing.len() - 1] + 1);
    };
    assert!(failing.len() > 4, "{failing:?}");
    let (_, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.end.frame_number, good);
    assert_eq!(recovered.end.position, SMALL.segment_bytes + 4096, "the first segment is full");
}

fn fresh(config: LogConfig) -> (FaultyDisk, Log) {
    let disk = FaultyDisk::new(1);
    let log = create(&disk, config).unwrap();
    (disk, log)
}
