//! What is written is read back, by position and by replay, whatever the sizes.
//!
//! Also on the real disk, with the thread that prepares segments, and with a lock.

use std::sync::Arc;

use proptest::prelude::*;
use tongjang_store::StoreError;
use tongjang_store::disk::RealDisk;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::frame::{FIRST_EVENT, FrameEvents};
use tongjang_store::journal::log::{Known, Log, LogConfig, Spares};

use crate::{Answers, LEDGER, SMALL, append, body, create, dir, open, reopen, written};

#[test]
fn frames_of_all_sizes_are_read_back_over_many_segments() {
    for spares in [Spares::Inline, Spares::Background] {
        let (disk, marks) = written(200, LogConfig { spares, ..SMALL });
        let (log, recovered) = reopen(&disk).unwrap();
        assert_eq!(recovered.end, *marks.last().unwrap());
        assert!(recovered.end.position / SMALL.segment_bytes > 5, "several segments were used");
        assert_eq!(recovered.torn, None);
        log.close().unwrap();
    }
}

#[test]
fn a_frame_stands_where_it_was_said_to_stand_before_its_body_was_built() {
    let disk = FaultyDisk::new(1);
    let mut log = create(&disk, SMALL).unwrap();
    let (answers, mut positions) = (Answers::default(), Vec::new());
    for number in 1..=100 {
        assert!(log.room() >= 1984);
        positions.push(log.next_body_position());
        append(&mut log, number, &answers).unwrap();
    }
    let reader = log.reader();
    log.close().unwrap();
    let mut bytes = Vec::new();
    for (number, position) in (1..).zip(positions) {
        reader.read_into(position, body(number).len(), &mut bytes).unwrap();
        assert_eq!(bytes, body(number));
    }
}

#[test]
fn a_log_may_be_opened_again_after_every_frame() {
    let disk = FaultyDisk::new(1);
    create(&disk, SMALL).unwrap().close().unwrap();
    for number in 1..=60 {
        let (mut log, recovered) = reopen(&disk).unwrap();
        assert_eq!(recovered.end.frame_number, number - 1);
        append(&mut log, number, &Answers::default()).unwrap();
        log.close().unwrap();
    }
}

#[test]
fn reading_may_begin_at_any_mark() {
    let (disk, marks) = written(60, SMALL);
    for from in marks {
        let known = Known { from: Some(from), durable: None };
        let (log, recovered) = open(Arc::new(disk.clone()), &dir(), known).unwrap();
        assert_eq!((recovered.end.frame_number, recovered.frames), (60, 60 - from.frame_number));
        log.close().unwrap();
    }
}

#[test]
fn a_frame_may_fill_its_room_to_the_last_byte() {
    let disk = FaultyDisk::new(1);
    let mut log = create(&disk, SMALL).unwrap();
    let mut bodies = Vec::new();
    for short in [0, 1, 8, 63, 2047, 2048, 0, 2049, 0] {
        let body = vec![7; log.room() - short];
        let events = FrameEvents { first_event: FIRST_EVENT, ..FrameEvents::default() };
        log.append(body.clone(), events, Box::new(|done| assert!(done.is_ok()))).unwrap();
        bodies.push(body);
    }
    log.close().unwrap();
    let mut read = Vec::new();
    let disk = Arc::new(disk);
    let (log, _) = Log::open(disk, &dir(), SMALL, Known::default(), |_, body| {
        read.push(body.to_vec());
        Ok(())
    })
    .unwrap();
    log.close().unwrap();
    assert!(read == bodies);
}

#[test]
fn an_empty_body_is_answered_in_turn_and_written_nowhere() {
    let disk = FaultyDisk::new(1);
    let mut log = create(&disk, SMALL).unwrap();
    let answers = Answers::default();
    append(&mut log, 1, &answers).unwrap();
    let (position, later) = (log.next_body_position(), answers.clone());
    let done = Box::new(move |answer| later.lock().push((0, answer)));
    log.append(Vec::new(), FrameEvents::default(), done).unwrap();
    assert_eq!(log.next_body_position(), position);
    append(&mut log, 2, &answers).unwrap();
    log.close().unwrap();
    let answers: Vec<_> =
        answers.lock().iter().map(|(n, answer)| (*n, answer.clone().unwrap())).collect();
    assert_eq!(answers.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 0, 2]);
    assert_eq!(answers[0].1, answers[1].1, "the empty frame ends where the one before it does");
    assert_eq!(reopen(&disk).unwrap().1.end.frame_number, 2);
}

#[test]
fn only_what_is_durable_can_be_read() {
    let (disk, marks) = written(3, SMALL);
    let (log, recovered) = reopen(&disk).unwrap();
    let reader = log.reader();
    let last = marks[2].frame_position + 64;
    let length = body(3).len();
    assert_eq!(reader.durable_end(), last + length as u64);
    let mut bytes = vec![0; length + 1];
    let beyond = reader.read(last, &mut bytes).unwrap_err();
    assert!(matches!(beyond, StoreError::Corrupt { .. }), "{beyond}");
    assert_eq!(reader.read_some(last, &mut bytes).unwrap(), length);
    assert_eq!(bytes[..length], body(3));
    assert_eq!(reader.read_some(recovered.end.position, &mut bytes).unwrap(), 0);
    assert!(reader.read(u64::MAX, &mut bytes).is_err());
}

#[test]
fn a_log_on_the_real_disk_is_read_back_and_kept_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let config = LogConfig { spares: Spares::Background, ..SMALL };
    let disk = || Arc::new(RealDisk::default());
    assert!(!Log::exists(&RealDisk::default(), &dir).unwrap());
    let mut log = Log::create(disk(), &dir, LEDGER, config).unwrap();
    assert!(Log::exists(&RealDisk::default(), &dir).unwrap());
    let again = open(disk(), &dir, Known::default()).map(|_| ()).unwrap_err();
    assert!(matches!(again, StoreError::InUse { .. }), "{again}");
    for number in 1..=100 {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    let (log, recovered) = open(disk(), &dir, Known::default()).unwrap();
    assert_eq!(recovered.end.frame_number, 100);
    let mut bytes = Vec::new();
    log.reader().read_into(4096 + 64, body(1).len(), &mut bytes).unwrap();
    assert_eq!(bytes, body(1));
    log.close().unwrap();
    let there = Log::create(disk(), &dir, LEDGER, config).map(|_| ()).unwrap_err();
    assert!(matches!(there, StoreError::Io { .. }), "{there}");
}

#[test]
fn a_log_that_is_dropped_finishes_its_frame_and_gives_the_directory_free() {
    let disk = FaultyDisk::new(1);
    let mut log = create(&disk, SMALL).unwrap();
    let (told, answer) = crossbeam_channel::bounded(1);
    let done = Box::new(move |done: Result<_, _>| told.send(done.is_ok()).unwrap());
    let events = FrameEvents { first_event: FIRST_EVENT, ..FrameEvents::default() };
    log.append(vec![1; 100], events, done).unwrap();
    drop(log);
    assert!(answer.recv().unwrap());
    let reopened = std::iter::repeat_with(|| {
        std::thread::yield_now();
        Log::open(Arc::new(disk.clone()), &dir(), SMALL, Known::default(), |_, _| Ok(()))
    })
    .find_map(Result::ok);
    assert_eq!(reopened.unwrap().1.frames, 1);
}

#[test]
fn a_stale_spare_is_zeroed_and_taken_again() {
    let (disk, _) = written(5, SMALL);
    let garbage = (0..SMALL.segment_bytes).map(|n| (n % 251) as u8).collect();
    disk.put(&crate::segment(1), garbage);
    let (mut log, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.torn, None, "a spare is nobody's write");
    for number in 6..=30 {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    let (log, recovered) = reopen(&disk).unwrap();
    assert_eq!((recovered.end.frame_number, recovered.torn), (30, None));
    assert_eq!(recovered.end.position / SMALL.segment_bytes, 1, "it ends in what was the spare");
    log.close().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bodies_come_back_in_any_segment_length(
        pages in 4u64..20,
        fills in prop::collection::vec((any::<u16>(), any::<u8>()), 1..60),
    ) {
        let config = LogConfig { segment_bytes: pages * 4096, ..LogConfig::default() };
        let disk = FaultyDisk::new(1);
        let mut log = create(&disk, config).unwrap();
        let mut bodies = Vec::new();
        for (size, fill) in fills {
            let body = vec![fill; 1 + usize::from(size) % log.room()];
            let events = FrameEvents { first_event: FIRST_EVENT, ..FrameEvents::default() };
            log.append(body.clone(), events, Box::new(|done| assert!(done.is_ok()))).unwrap();
            bodies.push(body);
        }
        log.close().unwrap();
        let mut read = Vec::new();
        Log::read_only(Arc::new(disk), &dir(), Known::default(), |_, body| {
            read.push(body.to_vec());
            Ok(())
        }).unwrap();
        prop_assert!(read == bodies);
    }
}
