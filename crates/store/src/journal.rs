//! The journal store: an append-only log of frames that is the history and its index at once.
//!
//! `log` and what is under it know bytes only. Above it, `record` says what the bytes mean, `book`
//! is what the teller decides against, `view` what is durable, and `history` leads through an
//! account's entries.

mod blocks;
mod book;
mod bytes;
pub mod chronicle;
pub mod frame;
mod history;
mod keys;
pub mod lock;
pub mod log;
pub mod log_reader;
mod opening;
pub mod origin;
pub mod poison;
mod pump;
mod reader;
mod recent;
mod record;
pub mod recovery;
mod register;
mod rehearsal;
mod replay;
mod row;
mod scan;
pub mod segment;
mod snapshot;
mod tail;
mod trail;
pub mod verify;
mod view;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tongjang_core::{Book, Request, Timestamp, Tried};

use self::book::Durable;
pub use self::book::JournalBook;
use self::frame::{FrameEvents, Mark};
use self::keys::{Kept, KeyIndex};
pub use self::keys::{KeysConfig, Sealing};
use self::log::{Log, LogConfig};
use self::log_reader::LogReader;
pub use self::opening::Opening;
use self::poison::PanicGuard;
use self::pump::Pump;
pub use self::reader::JournalReader;
use self::record::{BadRecord, Facts, Record};
pub use self::rehearsal::{Rehearsal, RehearsalBook};
use self::segment::LONGEST_LOG;
use self::snapshot::SnapshotWriter;
use self::view::View;
use crate::disk::{Disk, RealDisk};
use crate::{Release, Room, Store, StoreError};

/// About a million transactions, which are read again in a second or two.
const SNAPSHOT_EVERY: u64 = 256 << 20;

/// From so many requests on it pays to touch all that they need before the first is decided.
const WORTH_WARMING: usize = 16;

/// Where a journal is and how it is kept.
#[derive(Clone)]
pub struct JournalConfig {
    /// The disk that it is on.
    pub disk: Arc<dyn Disk>,
    /// The folder of the ledger. The segments are in `journal` below it.
    pub dir: PathBuf,
    /// How the log of a new ledger is cut into segments, of at least 64 KiB here.
    pub log: LogConfig,
    /// How much is written to the journal between two snapshots, in bytes.
    pub snapshot_every: u64,
    /// How the index of idempotency keys is kept.
    pub keys: KeysConfig,
    /// The id that a new ledger gets: random, and secret enough to seed its hash tables.
    pub new_ledger_id: [u8; 16],
}

impl JournalConfig {
    /// A journal in `dir` on the machine's own disk.
    pub fn new(dir: impl Into<PathBuf>, new_ledger_id: [u8; 16]) -> Self {
        let (disk, log) = (Arc::new(RealDisk::default()), LogConfig::default());
        let (dir, keys) = (dir.into(), KeysConfig::default());
        Self { disk, dir, log, snapshot_every: SNAPSHOT_EVERY, keys, new_ledger_id }
    }

    fn segments(&self) -> PathBuf {
        self.dir.join("journal")
    }
}

/// The embedded store: what the teller owns.
pub struct Journal {
    book: JournalBook,
    /// The snapshot that is being written. It ends before the log gives the folder free.
    pump: Option<Pump>,
    log: Log,
    view: Arc<View>,
    durable: Arc<Durable>,
    config: JournalConfig,
    /// Where what is durable ends.
    end: Arc<Mutex<Mark>>,
    /// Where the last batch ends that was handed to the writer.
    handed_over: u64,
    /// Where the journal stood when the last snapshot was begun.
    snapshot_at: u64,
    told_almost_full: bool,
    /// A panic between `load` and `commit` leaves a half batch in the book.
    _guard: PanicGuard,
}

impl Journal {
    /// How many bytes of the journal are used, the frame that is being filled not counted.
    pub fn length(&self) -> u64 {
        self.log.next_body_position()
    }

    fn begin(&mut self) {
        let (base, room) = (self.log.next_body_position(), self.log.room());
        self.book.begin(base, room, self.log.buffer(), self.view.blank());
    }

    /// Fills the rest of the segment with nothing, so that the next frame begins the next one. The
    /// batch that is being filled must be empty.
    fn turn_over(&mut self) -> Result<(), StoreError> {
        let mut body = self.log.buffer();
        record::put_filler(&mut body, self.log.room());
        let last = self.book.earliest().micros().saturating_sub(1);
        let time = Timestamp::from_micros(last);
        let events = FrameEvents { first_event: self.log.next_event(), event_count: 0, time };
        let (end, reader) = (self.end.clone(), self.log.reader());
        let durable = Unsettled(self.durable.clone());
        let done = move |written: Result<Mark, StoreError>| {
            if let Ok(mark) = &written {
                *end.lock() = *mark;
            }
            durable.0.set(written.map(|_| reader.durable_end()));
        };
        self.log.append(body, events, Box::new(done))?;
        self.book.move_on(self.log.next_body_position(), self.log.room());
        Ok(())
    }

    /// Goes on with the snapshot that is being written, or begins one if it is time. The batch
    /// taken out of the book last ends at `end`.
    fn pump(&mut self, end: u64, events: u32) {
        if let Some(pump) = &mut self.pump {
            if pump.step(&self.book, end, events) {
                self.pump = None;
            }
            return;
        }
        if end < self.snapshot_at + self.config.snapshot_every {
            return;
        }
        self.snapshot_at = end;
        let place = pump::Place {
            disk: self.config.disk.clone(),
            ledger_id: self.log.ledger_id(),
            view: self.view.clone(),
            durable: self.durable.clone(),
        };
        let from = *self.end.lock();
        match Pump::begin(place, &self.config.dir, from, &self.book) {
            Ok(pump) => self.pump = Some(pump),
            Err(error) => tracing::warn!(%error, "a snapshot was not begun"),
        }
    }

    /// Hands the batch to the writer, and begins the next one.
    fn hand_over(&mut self, release: Release) -> Result<(), StoreError> {
        let filled = self.book.take();
        let events = FrameEvents {
            first_event: filled.first_event,
            event_count: filled.events,
            time: filled.time,
        };
        let (view, end, reader) = (self.view.clone(), self.end.clone(), self.log.reader());
        let durable = Unsettled(self.durable.clone());
        let done = move |written: Result<Mark, StoreError>| {
            if let Ok(mark) = &written {
                view.publish(filled.publication, reader.durable_end());
                *end.lock() = *mark;
            }
            durable.0.set(written.clone().map(|_| reader.durable_end()));
            release(written.map(|_| ()));
        };
        let end = self.log.next_body_position() + filled.body.len() as u64;
        self.log.append(filled.body, events, Box::new(done))?;
        self.begin();
        if filled.events > 0 {
            self.handed_over = end;
            self.pump(end, filled.events);
        }
        self.mind_the_room();
        Ok(())
    }

    /// Takes nothing more in if the journal cannot become longer.
    fn mind_the_room(&mut self) {
        if let Err(full) = self.log.check_room() {
            self.log.poison().set(full.to_string());
        } else if self.log.is_almost_full() && !self.told_almost_full {
            self.told_almost_full = true;
            tracing::warn!(longest = LONGEST_LOG, "the journal is almost as long as one can be");
        }
    }

    /// Writes a snapshot of all that is durable. Nothing may be on its way.
    fn snapshot(&self) -> Result<PathBuf, StoreError> {
        let from = *self.end.lock();
        let Self { book, config, .. } = self;
        assert!(from.next_event == book.next_event(), "accounts are as of where the journal ends");
        let id = self.log.ledger_id();
        let earliest = book.earliest();
        let disk = config.disk.clone();
        let Kept { runs, .. } = book.keys().kept();
        let runs = (book.keys().shelf().clone(), &runs[..]);
        let mut writer = SnapshotWriter::begin(disk, &config.dir, id, from, earliest, runs)?;
        let mut piece = Vec::new();
        for seat in book.seats() {
            snapshot::put_account(&mut piece, seat, from.next_event);
            writer.write_if_large(&mut piece)?;
        }
        for window in book.keys().windows() {
            for shard in 0..KeyIndex::SHARDS {
                snapshot::put_keys(&mut piece, window, shard);
                writer.write_if_large(&mut piece)?;
            }
        }
        writer.write(&piece)?;
        writer.finish(&self.view.marks(), from.next_event)
    }
}

impl Store for Journal {
    type Book = JournalBook;

    fn load(&mut self, _: &[&Request]) -> Result<(), StoreError> {
        self.log.check_room()?;
        self.log.poison().check()
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        self.durable.wait_until(self.handed_over)
    }

    fn warm(&mut self, next: &[&Request]) {
        if next.len() >= WORTH_WARMING {
            self.book.warm(next);
        }
    }

    fn book(&mut self) -> &mut JournalBook {
        &mut self.book
    }

    fn is_full(&self) -> bool {
        self.book.is_full()
    }

    fn room_for(&mut self, tried: &[Tried]) -> Result<Room, StoreError> {
        let new = tried.iter().filter(|tried| !tried.replayed);
        let need: usize = new.map(|tried| record::at_most(&tried.event)).sum();
        let (length, left) = self.book.filled();
        if need <= left {
            return Ok(Room::Here);
        }
        if length > 0 {
            return Ok(Room::AfterCommit);
        }
        if need > self.log.largest_room() {
            return Ok(Room::Never);
        }
        self.turn_over()?;
        Ok(Room::Here)
    }

    fn commit(&mut self, release: Release) -> Result<(), StoreError> {
        self.hand_over(release)?;
        let copied = self.pump.as_ref().is_none_or(Pump::has_keys);
        self.book.keys_mut().tend(copied, self.handed_over);
        Ok(())
    }

    fn close(mut self) -> Result<(), StoreError> {
        let (all, written) = crossbeam_channel::bounded(1);
        self.hand_over(Box::new(move |durable| {
            // Nobody else waits for this.
            let _ = all.send(durable);
        }))?;
        // If it was dropped, nobody knows whether the batch is durable, and how far the view is.
        let dropped = || StoreError::Poisoned { cause: "the journal's writer panicked".into() };
        written.recv().unwrap_or_else(|_| Err(dropped()))?;
        if let Some(pump) = self.pump.take() {
            pump.finish();
        }
        self.book.keys_mut().rest();
        // All is durable; without a snapshot the next start takes longer, and nothing else.
        if let Err(error) = self.snapshot() {
            tracing::warn!(%error, "the ledger was closed without a snapshot");
        }
        self.log.close()
    }
}

/// A batch on its way. Should it be dropped by a panic, who waits for it is told.
struct Unsettled(Arc<Durable>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set(Err(StoreError::Poisoned { cause: "the journal's writer panicked".into() }));
        }
    }
}

/// The record at `position`, which must be durable.
fn read_record(log: &LogReader, position: u64, facts: &impl Facts) -> Result<Record, StoreError> {
    let mut usual = [0; record::USUAL];
    let some = log.read_some(position, &mut usual)?;
    let read = match record::read(&usual[..some], position, facts) {
        Err(BadRecord::Short(length)) if some == usual.len() => {
            let mut whole = Vec::new();
            log.read_into(position, length, &mut whole)?;
            record::read(&whole, position, facts)
        }
        read => read,
    };
    read.map_err(|bad| log.corrupt(position, bad.as_str()))
}
