//! How a ledger is opened: the newest useful snapshot, led on by the journal after it.
//!
//! Called when a server or a command starts; after that [`Journal`] takes batches in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tongjang_core::Timestamp;

use super::book::{Durable, JournalBook};
use super::frame::{self, FrameInfo};
use super::keys::{KeyIndex, KeysConfig, Shelf};
use super::lock::lock;
use super::log::{Known, Log, Recovered};
use super::poison::Poison;
use super::reader::JournalReader;
use super::replay::{Keys, Replay};
use super::segment::{DecodedSegment, Layout, SEGMENT_HEADER, SegmentHeader, segment_path};
use super::view::View;
use super::{Journal, JournalConfig, snapshot};
use crate::StoreError;
use crate::disk::Disk;

/// In a shorter segment the room that is left for a frame may be too small for one event.
const SMALLEST_SEGMENT: u64 = 64 << 10;

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
        // First of all: the runs that a snapshot names are there only as long as nobody else
        // writes another one.
        let lock = lock(&*config.disk, &segments)?;
        let (ledger_id, layout) = identity(&*config.disk, &segments)?;
        let Loading { mut replay, known, next_event, snapshot, unusable } =
            Loading::begin(&config, ledger_id, || empty_index(&config, ledger_id))?;
        let each = |frame: FrameInfo, body: &[u8]| {
            let (path, offset) = layout.place(&segments, frame.body_position);
            replay
                .frame(&path, offset, frame.body_position, body, |_| Ok(()))
                .map_err(|error| led_on_from(snapshot.as_deref(), error))?;
            replay.keys_mut().into_iter().for_each(KeyIndex::tend_while_reading);
            Ok(())
        };
        let disk = config.disk.clone();
        let (log, recovered) = Log::open_locked(disk, &segments, lock, config.log, known, each)?;
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
        let mut journal = Self {
            book,
            pump,
            log,
            view,
            durable,
            config,
            end,
            handed_over,
            snapshot_at,
            told_almost_full: false,
            _guard,
        };
        // A full ledger can be read.
        journal.mind_the_room();
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
    pub(super) fn open_with_keys(
        config: &JournalConfig,
    ) -> Result<(JournalReader, KeyIndex, Timestamp), StoreError> {
        // Without an end of the window nothing is ever sealed, and so nothing written.
        let keys = KeysConfig { window: usize::MAX, ..config.keys };
        let config = JournalConfig { keys, ..config.clone() };
        let (reader, keys, earliest) =
            Self::look(&config, |ledger_id| empty_index(&config, ledger_id))?;
        Ok((reader, keys.expect("they were indexed"), earliest))
    }

    fn look(
        config: &JournalConfig,
        keys: impl Fn([u8; 16]) -> Keys,
    ) -> Result<(JournalReader, Option<KeyIndex>, Timestamp), StoreError> {
        let segments = config.segments();
        let (ledger_id, layout) = identity(&*config.disk, &segments)?;
        let Loading { mut replay, known, next_event, snapshot, .. } =
            Loading::begin(config, ledger_id, || keys(ledger_id))?;
        let each = |frame: FrameInfo, body: &[u8]| {
            let (path, offset) = layout.place(&segments, frame.body_position);
            replay
                .frame(&path, offset, frame.body_position, body, |_| Ok(()))
                .map_err(|error| led_on_from(snapshot.as_deref(), error))
        };
        let (log, recovered) = Log::read_only(config.disk.clone(), &segments, known, each)?;
        check_complete(&replay, next_event, layout.place(&segments, recovered.end.position))?;
        let register = replay.register();
        let start = replay.finish();
        let end = log.durable_end();
        let view = Arc::new(View::new(register, start.seats.into_iter(), start.marks, end));
        let reader = JournalReader { view, log, poison: Poison::default() };
        Ok((reader, start.keys, start.earliest))
    }
}

/// A ledger as its newest useful snapshot has it, to be led on by the journal.
pub(super) struct Loading {
    pub(super) replay: Replay,
    pub(super) known: Known,
    /// All events before this one were durable when the snapshot was finished.
    pub(super) next_event: u64,
    pub(super) snapshot: Option<PathBuf>,
    pub(super) unusable: Vec<StoreError>,
}

impl Loading {
    pub(super) fn begin(
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

/// An empty index of the keys of ledger `ledger_id`.
pub(super) fn empty_index(config: &JournalConfig, ledger_id: [u8; 16]) -> Keys {
    let shelf = Shelf::new(config.disk.clone(), config.dir.clone(), ledger_id, config.keys);
    Keys::Indexed(Box::new(KeyIndex::new(shelf, seed_of(ledger_id))))
}

/// Names the `snapshot` from which the journal was led on to `error`: it may be what is wrong.
fn led_on_from(snapshot: Option<&Path>, error: StoreError) -> StoreError {
    match (error, snapshot) {
        (StoreError::Corrupt { path, offset, what }, Some(snapshot)) => {
            let snapshot = snapshot.display();
            let what = format!(
                "{what}; this start began with {snapshot}, and without that file the next one \
                 begins with an older one or reads the whole journal"
            );
            StoreError::Corrupt { path, offset, what }
        }
        (error, _) => error,
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
pub(super) fn identity(disk: &dyn Disk, dir: &Path) -> Result<([u8; 16], Layout), StoreError> {
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
pub(super) fn seed_of(ledger_id: [u8; 16]) -> u64 {
    u64::from_le_bytes(*ledger_id.first_chunk().expect("an id has 16 bytes"))
}

/// Everything that the snapshot knew of must have come from the journal again.
pub(super) fn check_complete(
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
