//! The log of frames: what it keeps through reopening, crashes, failures and damage.
//!
//! Each file is a chapter; here is what they share: a scripted run on a disk, and its check.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod beside;
mod crash;
mod damage;
mod failure;
mod golden;
mod round_trip;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tongjang_core::Timestamp;
use tongjang_store::StoreError;
use tongjang_store::disk::Disk;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::frame::{FIRST_EVENT, FrameEvents, FrameInfo, Mark};
use tongjang_store::journal::log::{Known, Log, LogConfig, Recovered, Spares};
use tongjang_store::journal::segment::LONGEST_LOG;

const LEDGER: [u8; 16] = *b"the test's own..";
/// Short segments, all written by the writer's thread.
const SMALL: LogConfig = LogConfig {
    segment_bytes: 16 << 10,
    spares: Spares::Inline,
    inline_bytes: 0,
    longest: LONGEST_LOG,
};
/// The same, but that frames are written by who hands them over.
const INLINE: LogConfig = LogConfig { inline_bytes: 16 << 10, ..SMALL };

fn dir() -> PathBuf {
    PathBuf::from("/ledger/journal")
}

/// The body of frame `number`: as long as a small generator says, and unlike any other.
fn body(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = match next() % 8 {
        0 => 1,
        1..=4 => 1 + next() % 300,
        5 | 6 => 1 + next() % 1500,
        // The most that fits everywhere, so that segments end in all kinds of places.
        _ => 1984,
    };
    (0..length).map(|_| next() as u8).collect()
}

fn events(number: u64) -> FrameEvents {
    // Frame n has n % 4 events, so some have none.
    let before = (1..number).map(|number| number % 4).sum::<u64>();
    FrameEvents {
        first_event: FIRST_EVENT + before,
        event_count: (number % 4) as u32,
        time: Timestamp::from_micros(number.cast_signed() * 1000),
    }
}

/// What `done` was called with, by frame, in the order of the calls.
type Answers = Arc<Mutex<Vec<(u64, Result<Mark, StoreError>)>>>;

fn append(log: &mut Log, number: u64, answers: &Answers) -> Result<(), StoreError> {
    let mut bytes = log.buffer();
    assert!(bytes.is_empty(), "a buffer that is given out is empty");
    bytes.extend(body(number));
    let answers = answers.clone();
    let done = Box::new(move |answer| answers.lock().push((number, answer)));
    log.append(bytes, events(number), done)
}

fn create(disk: &FaultyDisk, config: LogConfig) -> Result<Log, StoreError> {
    Log::create(Arc::new(disk.clone()), &dir(), LEDGER, config)
}

/// Opens the log, checks that every frame read is the one that was appended under its number,
/// and that none is missing from `known.from` on.
fn open(disk: Arc<dyn Disk>, dir: &Path, known: Known) -> Result<(Log, Recovered), StoreError> {
    let mut next = known.from.map_or(1, |mark| mark.frame_number + 1);
    let first = next;
    let (log, recovered) = Log::open(disk, dir, SMALL, known, |info, bytes| {
        check_frame(info, bytes, &mut next);
        Ok(())
    })?;
    assert_eq!(recovered.end.frame_number, next - 1);
    assert_eq!(recovered.frames, next - first);
    assert_eq!(recovered.events, (first..next).map(|number| number % 4).sum::<u64>());
    assert_eq!(recovered.ledger_id, LEDGER);
    assert_eq!(log.next_event(), events(next).first_event);
    Ok((log, recovered))
}

fn check_frame(info: FrameInfo, bytes: &[u8], next: &mut u64) {
    assert_eq!(info.number, *next, "frames are gapless");
    assert!(bytes == body(info.number), "frame {} has its bytes", info.number);
    assert_eq!(info.events, events(info.number));
    assert_eq!(info.body_len as usize, bytes.len());
    *next += 1;
}

fn reopen(disk: &FaultyDisk) -> Result<(Log, Recovered), StoreError> {
    open(Arc::new(disk.clone()), &dir(), Known::default())
}

/// A log of `frames` frames on a disk of its own, closed, and the marks after each of them.
fn written(frames: u64, config: LogConfig) -> (FaultyDisk, Vec<Mark>) {
    let disk = FaultyDisk::new(1);
    let mut log = create(&disk, config).unwrap();
    let answers = Answers::default();
    for number in 1..=frames {
        append(&mut log, number, &answers).unwrap();
    }
    log.close().unwrap();
    let marks = answers.lock().drain(..).map(|(_, answer)| answer.unwrap()).collect();
    (disk, marks)
}

fn segment(number: u64) -> PathBuf {
    dir().join(format!("{number:08}.seg"))
}
