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

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tongjang_core::{Book, Request, Timestamp, Tried};

use self::book::Durable;
pub use self::book::JournalBook;
use self::frame::{FrameEvents, FrameInfo, Mark};
use self::keys::{Kept, KeyIndex, Shelf};
pub use self::keys::{KeysConfig, Sealing};
use self::log::{Known, Log, LogConfig, Recovered};
use self::log_reader::LogReader;
use self::poison::PanicGuard;
use self::pump::Pump;
pub use self::reader::JournalReader;
use self::record::{BadRecord, Facts, Record};
pub use self::rehearsal::{Rehearsal, RehearsalBook};
use self::replay::{Keys, Replay};
use self::segment::{DecodedSegment, Layout, SEGMENT_HEADER, SegmentHeader, segment_path};
use self::snapshot::SnapshotWriter;
use self::view::View;
use crate::disk::{Disk, RealDisk};
use crate::{Release, Room, Store, StoreError};

/// About a million transactions, which are read again in a second or two.
const SNAPSHOT_EVERY: u64 = 256 << 20;

/// In a shorter segment the room that is left for a frame may be too small for one event.
const SMALLEST_SEGMENT: u64 = 64 << 10;

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

    /// An empty index of the keys of ledger `ledger_id`.
    fn index(&self, ledger_id: [u8; 16]) -> Keys {
        let shelf = Shelf::new(self.disk.clone(), self.dir.clone(), ledger_id, self.keys);
        Keys::Indexed(Box::new(KeyIndex::new(shelf, seed_of(ledger_id))))
    }
}

/// What was found when a ledger was opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The snapshot that was used.
    pub snapshot: Option<PathBuf>,
    /// Snapshots that were of no use, and why.
    pub unusable: Vec<StoreError>,
    /// What was read of the journal.
    pub recovered: Recovered,
    /// How many accounts there are.
    pub accounts: u64,
}

/// The embedded store: what the teller owns.
pub struct Journal {
    book: JournalBook,
    log: Log,
    view: Arc<View>,
    durable: Arc<Durable>,
    config: JournalConfig,
    /// Where what is durable ends.
    end: Arc<Mutex<Mark>>,
    /// Where the last batch ends that was handed to the writer.
    handed_over: u64,
    /// The snapshot that is being written.
    pump: Option<Pump>,
    /// Where the journal stood when the last snapshot was begun.
    snapshot_at: u64,
    /// A panic between `load` and `commit` leaves a half batch in the book.
    _guard: PanicGuard,
}

impl Journal {
    /// Opens the ledger, or makes a new one where there is none.
    ///
    /// # Errors
    /// If another process has it, it is damaged, or the disk fails.
    ///
    /// # Panics
    /// If `config` asks for segments shorter than 64 KiB.
    pub fn open(config: JournalConfig) -> Result<(Self, JournalReader, Opening), StoreError> {
        let segments = config.segments();
        if !Log::exists(&*config.disk, &segments)? {
            assert!(config.log.segment_bytes >= SMALLEST_SEGMENT, "a segment has room for events");
            check_new(&config)?;
            config.disk.create_dir(&config.dir)?;
            if let Some(parent) = config.dir.parent().filter(|path| !path.as_os_str().is_empty()) {
                config.disk.sync_dir(parent)?;
            }
            let id = config.new_ledger_id;
            Log::create(config.disk.clone(), &segments, id, config.log)?.close()?;
        }
        let (ledger_id, layout) = identity(&*config.disk, &segments)?;
        let Loading { mut replay, known, next_event, snapshot, unusable } =
            Loading::begin(&config, ledger_id, || config.index(ledger_id))?;
        let each = |frame: FrameInfo, body: &[u8]| {
            let (path, offset) = layout.place(&segments, frame.body_position);
            replay.frame(&path, offset, frame.body_position, body, |_| Ok(()))?;
            // The log has its lock by now, so runs may be written.
            replay.keys_mut().into_iter().for_each(KeyIndex::tend_while_reading);
            Ok(())
        };
        let (log, recovered) = Log::open(config.disk.clone(), &segments, config.log, known, each)?;
        check_complete(&replay, next_event, layout.place(&segments, recovered.end.position))?;
        let register = replay.register();
        let mut start = replay.finish();
        let mut keys = start.keys.take().expect("the keys of a server's ledger are indexed");
        if let Err(error) = snapshot::sweep(&*config.disk, &config.dir, keys.shelf()) {
            tracing::warn!(%error, "runs that a crash left over were not removed");
        }
        let seats = start.seats.iter().cloned();
        let end = log.reader().durable_end();
        let view = Arc::new(View::new(register.clone(), seats, start.marks.clone(), end));
        let durable = Arc::new(Durable::new(end));
        let accounts = start.seats.len() as u64;
        keys.begin(durable.clone())?;
        let book = JournalBook::new(start, keys, register, durable.clone(), log.reader());
        let reader = JournalReader { view: view.clone(), log: log.reader(), poison: log.poison() };
        let snapshot_at = known.from.map_or(0, |mark| mark.position);
        let end = Arc::new(Mutex::new(recovered.end));
        let _guard = log.poison().guard("the teller");
        let pump = None;
        let handed_over = log.reader().durable_end();
        let mut journal =
            Self { book, log, view, durable, config, end, handed_over, pump, snapshot_at, _guard };
        journal.begin();
        Ok((journal, reader, Opening { snapshot, unusable, recovered, accounts }))
    }

    /// Opens the ledger only to look at it, without its lock and without changing anything, also
    /// while a server has it: what is seen is what was durable when it was opened.
    ///
    /// # Errors
    /// If there is no ledger, it is damaged, or the disk fails.
    pub fn open_to_read(config: &JournalConfig) -> Result<JournalReader, StoreError> {
        Self::look(config, |_| Keys::Ignored).map(|(reader, ..)| reader)
    }

    /// As [`open_to_read`](Self::open_to_read), with the idempotency keys and the earliest time at
    /// which something may happen next.
    fn open_with_keys(
        config: &JournalConfig,
    ) -> Result<(JournalReader, KeyIndex, Timestamp), StoreError> {
        // Without an end of the window nothing is ever sealed, and so nothing written.
        let keys = KeysConfig { window: usize::MAX, ..config.keys };
        let config = JournalConfig { keys, ..config.clone() };
        let (reader, keys, earliest) = Self::look(&config, |ledger_id| config.index(ledger_id))?;
        Ok((reader, keys.expect("they were indexed"), earliest))
    }

    fn look(
        config: &JournalConfig,
        keys: impl Fn([u8; 16]) -> Keys,
    ) -> Result<(JournalReader, Option<KeyIndex>, Timestamp), StoreError> {
        let segments = config.segments();
        let (ledger_id, layout) = identity(&*config.disk, &segments)?;
        let Loading { mut replay, known, next_event, .. } =
            Loading::begin(config, ledger_id, || keys(ledger_id))?;
        let each = |frame: FrameInfo, body: &[u8]| {
            let (path, offset) = layout.place(&segments, frame.body_position);
            replay.frame(&path, offset, frame.body_position, body, |_| Ok(()))
        };
        let (log, recovered) = Log::read_only(config.disk.clone(), &segments, known, each)?;
        check_complete(&replay, next_event, layout.place(&segments, recovered.end.position))?;
        let register = replay.register();
        let start = replay.finish();
        let end = log.durable_end();
        let view = Arc::new(View::new(register, start.seats.into_iter(), start.marks, end));
        let reader = JournalReader { view, log, poison: poison::Poison::default() };
        Ok((reader, start.keys, start.earliest))
    }

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
        let (end, reader, durable) = (self.end.clone(), self.log.reader(), self.durable.clone());
        let done = move |written: Result<Mark, StoreError>| {
            if let Ok(mark) = &written {
                *end.lock() = *mark;
            }
            durable.set(written.map(|_| reader.durable_end()));
        };
        self.log.append(body, events, Box::new(done))?;
        self.begin();
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
        Ok(())
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

/// A ledger as its newest useful snapshot has it, to be led on by the journal.
struct Loading {
    replay: Replay,
    known: Known,
    /// All events before this one were durable when the snapshot was finished.
    next_event: u64,
    snapshot: Option<PathBuf>,
    unusable: Vec<StoreError>,
}

impl Loading {
    fn begin(
        config: &JournalConfig,
        ledger_id: [u8; 16],
        keys: impl Fn() -> Keys,
    ) -> Result<Self, StoreError> {
        let seed = seed_of(ledger_id);
        let mut unusable = Vec::new();
        for name in snapshot::names(&*config.disk, &config.dir)?.iter().rev() {
            let path = config.dir.join(name);
            match snapshot::load(&*config.disk, &path, ledger_id, (seed, keys())) {
                Ok(snapshot::Loaded { replay, from, next_event }) => {
                    let known = Known { from: Some(from), durable: None };
                    return Ok(Self { replay, known, next_event, snapshot: Some(path), unusable });
                }
                Err(error) => unusable.push(error),
            }
        }
        Ok(Self {
            replay: Replay::new(seed, frame::FIRST_EVENT, keys()),
            known: Known { from: None, durable: None },
            next_event: frame::FIRST_EVENT,
            snapshot: None,
            unusable,
        })
    }
}

/// A snapshot without its journal is a ledger that lost it, and no place for a new one.
fn check_new(config: &JournalConfig) -> Result<(), StoreError> {
    if !config.disk.exists(&config.dir)? {
        return Ok(());
    }
    match snapshot::names(&*config.disk, &config.dir)?.pop() {
        None => Ok(()),
        Some(name) => Err(StoreError::Corrupt {
            path: segment_path(&config.segments(), 0),
            offset: 0,
            what: format!("the journal is missing that {name} is of; restore a backup"),
        }),
    }
}

/// Which ledger the journal in `dir` is, and how it is laid out.
fn identity(disk: &dyn Disk, dir: &Path) -> Result<([u8; 16], Layout), StoreError> {
    let path = segment_path(dir, 0);
    let mut bytes = [0; SEGMENT_HEADER];
    disk.open_to_read(&path)?.read_at(&mut bytes, 0)?;
    let header = match SegmentHeader::decode(&bytes) {
        DecodedSegment::Header(header) => Some(header),
        DecodedSegment::TooNew(found) => {
            return Err(StoreError::TooNew { path, found, known: frame::VERSION });
        }
        DecodedSegment::Nothing => None,
    };
    let known = header.and_then(|header| {
        Layout::new(header.segment_bytes).map(|layout| (header.ledger_id, layout))
    });
    let what = "this is no header of a segment; restore a backup".to_owned();
    known.ok_or(StoreError::Corrupt { path, offset: 0, what })
}

/// What seeds a ledger's hash tables.
fn seed_of(ledger_id: [u8; 16]) -> u64 {
    u64::from_le_bytes(*ledger_id.first_chunk().expect("an id has 16 bytes"))
}

/// Everything that the snapshot knew of must have come from the journal again.
fn check_complete(
    replay: &Replay,
    next_event: u64,
    (path, offset): (PathBuf, u64),
) -> Result<(), StoreError> {
    if replay.is_complete() && replay.next_event() >= next_event {
        return Ok(());
    }
    let what = "the journal ends before what a snapshot holds; restore a backup".to_owned();
    Err(StoreError::Corrupt { path, offset, what })
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
