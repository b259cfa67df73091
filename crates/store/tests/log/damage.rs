//! Damage is told from an unfinished write, and refused with the file and the place.
//!
//! Only the very last frame cannot be told apart by the log alone; a mark of it can.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tongjang_store::StoreError;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::frame::Mark;
use tongjang_store::journal::log::{Known, Log};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Answers, SMALL, append, body, dir, open, reopen, segment, written};

const FRAMES: u64 = 40;

fn refused(disk: &FaultyDisk, known: Known) -> StoreError {
    let opened = open(Arc::new(disk.clone()), &dir(), known);
    opened.map(|(_, recovered)| recovered).expect_err("it is refused")
}

/// Where the damage is said to be; the message names the way out.
fn place(error: StoreError) -> (PathBuf, u64) {
    let StoreError::Corrupt { path, offset, what } = error else { panic!("{error}") };
    assert!(what.contains("restore a backup, or run `tongjang verify`"), "{what}");
    (path, offset)
}

fn stands_at(position: u64) -> (PathBuf, u64) {
    (segment(position / SMALL.segment_bytes), position % SMALL.segment_bytes)
}

#[test]
fn a_flipped_bit_anywhere_in_a_frame_with_others_after_it_is_refused() {
    let (disk, marks) = written(FRAMES, SMALL);
    let opening = disk.operations();
    for (number, mark) in (1..FRAMES).zip(&marks) {
        let (path, offset) = stands_at(mark.frame_position);
        let length = 64 + body(number).len() as u64;
        for at in (0..64).chain((64..length).step_by(29)).chain([length - 1]) {
            let damaged = disk.copy();
            damaged.flip(&path, offset + at, (at % 8) as u32);
            let told = place(refused(&damaged, Known::default()));
            assert_eq!(told, (path.clone(), offset), "frame {number}, byte {at}");
            assert_eq!(damaged.operations(), 0, "nothing is changed where it is refused");
        }
    }
    assert_eq!(disk.operations(), opening);
}

#[test]
fn a_flipped_bit_in_a_segments_header_is_refused() {
    let (disk, marks) = written(FRAMES, SMALL);
    let segments = marks.last().unwrap().frame_position / SMALL.segment_bytes;
    assert!(segments >= 2);
    for number in 0..=segments {
        for at in (0..72).chain((72..4096).step_by(97)).chain(4088..4096) {
            let damaged = disk.copy();
            damaged.flip(&segment(number), at, (at % 8) as u32);
            assert_eq!(place(refused(&damaged, Known::default())), (segment(number), 0));
        }
    }
}

#[test]
fn the_header_of_an_empty_log_is_no_unfinished_write() {
    let (disk, _) = written(0, SMALL);
    for at in [0, 8, 12, 16, 100, 4095] {
        let damaged = disk.copy();
        damaged.flip(&segment(0), at, 0);
        assert_eq!(place(refused(&damaged, Known::default())), (segment(0), 0));
    }
}

#[test]
fn the_last_frame_is_cut_if_damaged_unless_it_is_known_to_have_been_durable() {
    let (disk, marks) = written(FRAMES, SMALL);
    let last = marks[FRAMES as usize - 1];
    let (path, offset) = stands_at(last.frame_position);
    disk.flip(&path, offset + 70, 3);
    for known in [
        Known { from: None, durable: Some(last) },
        Known { from: Some(marks[10]), durable: Some(last) },
        Known { from: Some(last), durable: None },
    ] {
        assert_eq!(place(refused(&disk, known)), (path.clone(), offset));
    }
    let (log, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.end.frame_number, FRAMES - 1);
    let torn = recovered.torn.unwrap();
    assert_eq!((torn.path, torn.offset), (path, offset));
    log.close().unwrap();
}

#[test]
fn a_segments_header_is_written_anew_if_its_first_frame_is_whole_and_the_last() {
    let (disk, mark) = up_to_the_first_frame_of_a_segment();
    disk.flip(&segment(1), 20, 0);
    let (log, recovered) = reopen(&disk).unwrap();
    assert_eq!((recovered.end, recovered.torn), (mark, None));
    log.close().unwrap();
    let (mut log, recovered) = reopen(&disk).unwrap();
    append(&mut log, recovered.end.frame_number + 1, &Answers::default()).unwrap();
    log.close().unwrap();
    assert_eq!(reopen(&disk).unwrap().1.end.frame_number, mark.frame_number + 1);
}

#[test]
fn a_damaged_first_frame_of_the_last_segment_is_cut_with_its_header() {
    let (disk, mark) = up_to_the_first_frame_of_a_segment();
    disk.flip(&segment(1), 4096 + 70, 0);
    let (log, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.end.frame_number, mark.frame_number - 1);
    let torn = recovered.torn.unwrap();
    assert_eq!((torn.path, torn.offset), (segment(1), 0));
    log.close().unwrap();
    assert!(disk.bytes(&segment(1)).unwrap().iter().all(|&byte| byte == 0));
}

/// A log that ends with the first frame of its second segment.
fn up_to_the_first_frame_of_a_segment() -> (FaultyDisk, Mark) {
    let (_, marks) = written(FRAMES, SMALL);
    let first = marks.iter().position(|mark| mark.frame_position > SMALL.segment_bytes).unwrap();
    let (disk, marks) = written(first as u64 + 1, SMALL);
    (disk, marks[first])
}

#[test]
fn segments_that_are_missing_cut_short_or_mixed_up_are_refused() {
    let (disk, marks) = written(FRAMES, SMALL);
    let refused_after = |change: &dyn Fn(&FaultyDisk)| {
        let damaged = disk.copy();
        change(&damaged);
        place(refused(&damaged, Known::default()))
    };
    assert_eq!(refused_after(&|disk| disk.take_away(&segment(0))), (segment(0), 0));
    assert_eq!(refused_after(&|disk| disk.take_away(&segment(1))), (segment(1), 0));
    for (number, length) in [(0, 5000), (1, 5000), (1, 16 << 10 >> 1), (2, 4096), (2, 100)] {
        let cut = |disk: &FaultyDisk| {
            let mut bytes = disk.bytes(&segment(number)).unwrap();
            bytes.truncate(length);
            disk.put(&segment(number), bytes);
        };
        assert_eq!(refused_after(&cut), (segment(number), length as u64), "{number} {length}");
    }
    let exchange = |disk: &FaultyDisk| {
        disk.put(&segment(1), disk.bytes(&segment(2)).unwrap());
    };
    assert_eq!(refused_after(&exchange), (segment(1), 0));
    // The last segment is gone with all its frames: only a mark can know.
    let shorter = disk.copy();
    shorter.take_away(&segment(2));
    let known = Known { from: None, durable: marks.last().copied() };
    assert_eq!(place(refused(&shorter, known)), (segment(2), 4096));
    assert!(reopen(&shorter).is_ok());
}

#[test]
fn a_segment_that_is_no_spare_is_never_zeroed() {
    let (disk, _) = written(5, SMALL);
    let (other, _) = written(FRAMES, SMALL);
    let stranger = FaultyDisk::new(1);
    let mut log =
        Log::create(Arc::new(stranger.clone()), &dir(), [9; 16], SMALL).expect("it is created");
    for number in 1..=FRAMES {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    for bytes in [other.bytes(&segment(1)), stranger.bytes(&segment(1))] {
        let damaged = disk.copy();
        damaged.put(&segment(1), bytes.clone().unwrap());
        assert_eq!(place(refused(&damaged, Known::default())).0, segment(0));
        assert_eq!(damaged.bytes(&segment(1)), bytes);
    }
}

#[test]
fn an_older_state_of_a_segment_does_not_pass_for_the_newer() {
    let (disk, marks) = written(FRAMES, SMALL);
    let (older, _) = written(5, SMALL);
    disk.put(&segment(0), older.bytes(&segment(0)).unwrap());
    assert_eq!(place(refused(&disk, Known::default())), stands_at(marks[4].position));
}

#[test]
fn a_frame_of_another_ledger_with_the_same_number_does_not_pass() {
    let (disk, marks) = written(FRAMES, SMALL);
    let other = FaultyDisk::new(1);
    let mut log = Log::create(Arc::new(other.clone()), &dir(), [9; 16], SMALL).unwrap();
    for number in 1..=FRAMES {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    let (from, to) = (marks[3].frame_position as usize, marks[4].frame_position as usize);
    let mut bytes = disk.bytes(&segment(0)).unwrap();
    bytes[from..to].copy_from_slice(&other.bytes(&segment(0)).unwrap()[from..to]);
    disk.put(&segment(0), bytes);
    assert_eq!(place(refused(&disk, Known::default())), (segment(0), from as u64));
}

#[test]
fn a_mark_of_another_history_is_refused() {
    let (disk, marks) = written(FRAMES, SMALL);
    let wrong = Mark { checksum: 1, ..marks[20] };
    for known in [
        Known { from: Some(wrong), durable: None },
        // Nothing follows the last frame that would not follow from a wrong mark either.
        Known { from: Some(Mark { checksum: 1, ..marks[FRAMES as usize - 1] }), durable: None },
        Known { from: None, durable: Some(wrong) },
        Known { from: Some(Mark { frame_position: 1 << 40, ..marks[20] }), durable: None },
        Known { from: Some(Mark { next_event: 1, ..marks[20] }), durable: None },
    ] {
        place(refused(&disk, known));
    }
    let right = Known { from: Some(marks[10]), durable: Some(marks[20]) };
    assert!(open(Arc::new(disk), &dir(), right).is_ok());
}

#[test]
fn a_later_version_is_told_and_not_taken_for_damage() {
    let (disk, _) = written(3, SMALL);
    let mut bytes = disk.bytes(&segment(0)).unwrap();
    bytes[8] = 3;
    let checksum = xxh3_64(&bytes[..4088]);
    bytes[4088..4096].copy_from_slice(&checksum.to_le_bytes());
    disk.put(&segment(0), bytes);
    let error = refused(&disk, Known::default());
    assert!(matches!(error, StoreError::TooNew { found: 3, known: 2, .. }), "{error}");
}

#[test]
fn a_replay_that_fails_ends_the_opening() {
    let (disk, _) = written(3, SMALL);
    let mut read = 0;
    let opened = Log::open(Arc::new(disk.clone()), &dir(), SMALL, Known::default(), |_, _| {
        read += 1;
        Err(StoreError::InUse { path: Path::new("the test's own").to_owned() })
    });
    assert!(matches!(opened.map(|_| ()), Err(StoreError::InUse { .. })));
    assert_eq!((read, disk.operations()), (1, written(3, SMALL).0.operations()));
}
