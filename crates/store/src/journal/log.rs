//! The log: frames of opaque bytes, each durable before the next is written.
//!
//! The teller's thread builds a frame and hands it over; the [`writer`] writes and syncs it, a
//! large one meanwhile the next is built; [`LogReader`]s read what is durable.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Acquire, Ordering::Relaxed};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use super::blocks::Blocks;
use super::frame::{FRAME_HEADER, FrameEvents, FrameInfo, Mark, Seal};
use super::lock::lock;
use super::log_reader::LogReader;
use super::poison::Poison;
use super::recovery::{self, Manner};
use super::segment::{LONGEST_LOG, Layout, SEGMENT_BYTES, SegmentHeader, make, segment_number};
use super::writer::{self, Job, Writer};
use crate::StoreError;
use crate::disk::{Disk, Lock};

/// Called once with the place after the frame when that is durable, or with what went wrong.
pub type Done = Box<dyn FnOnce(Result<Mark, StoreError>) + Send>;

/// Buffers for bodies, given back by the writer so that no commit allocates.
pub(super) type Pool = Arc<Mutex<Vec<Vec<u8>>>>;

/// How a log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// How long the segments of a new log are: 16 KiB to 1 GiB, a multiple of 4096. A log that
    /// is opened keeps the length it was created with.
    pub segment_bytes: u64,
    /// Who prepares the segments.
    pub spares: Spares,
    /// A frame of so many bytes at most is written on the thread that hands it over if no other is
    /// on its way: to wake the writer's takes a good part of the time of a sync.
    pub inline_bytes: usize,
    /// How long the log may become, in bytes: [`LONGEST_LOG`], or less in a test.
    pub longest: u64,
}

/// Who prepares the next segment when the current one is half full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spares {
    /// A thread of its own, so that no commit waits for it.
    #[default]
    Background,
    /// The writer between two frames, so that a simulation does the same thing each time.
    Inline,
}

impl Default for LogConfig {
    fn default() -> Self {
        let spares = Spares::default();
        let (inline_bytes, longest) = (1 << 10, LONGEST_LOG);
        Self { segment_bytes: SEGMENT_BYTES, spares, inline_bytes, longest }
    }
}

/// What is known of a log before it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Begin reading here, as a snapshot covers what is before; at the beginning if `None`.
    /// Whoever has this mark had it when it was durable, so the log must reach it.
    pub from: Option<Mark>,
    /// A later mark that is known to have been durable. A log that ends before it is damaged.
    pub durable: Option<Mark>,
}

/// What was found when a log was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// The id that the ledger was given when it was created.
    pub ledger_id: [u8; 16],
    /// How many frames were read.
    pub frames: u64,
    /// How many events they hold.
    pub events: u64,
    /// The unfinished write at the end, if there was one; cut off, unless opened to read only.
    pub torn: Option<Torn>,
    /// Where the log ends.
    pub end: Mark,
}

/// A write that a crash interrupted. Its commit was never answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// The segment.
    pub path: PathBuf,
    /// Where in it the write began.
    pub offset: u64,
    /// How far what was written reaches.
    pub bytes: u64,
}

/// A log that is open to be written, by one process at a time.
pub struct Log {
    dir: PathBuf,
    layout: Layout,
    ledger_id: [u8; 16],
    /// Where the next frame begins; the frames before it may still be on their way.
    tail: u64,
    next_event: u64,
    inline_bytes: usize,
    longest: u64,
    writer: Arc<Mutex<Writer>>,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// How many frames the thread has that it has not written yet.
    on_their_way: Arc<AtomicUsize>,
    poison: Poison,
    reader: LogReader,
    pool: Pool,
}

impl Log {
    /// Whether `dir` holds a log, or at least a part of one.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn exists(disk: &dyn Disk, dir: &Path) -> Result<bool, StoreError> {
        let names = if disk.exists(dir)? { disk.list(dir)? } else { Vec::new() };
        Ok(names.iter().any(|name| segment_number(name).is_some()))
    }

    /// Creates the log of the ledger `ledger_id` in `dir`. A crash leaves all of it or none.
    ///
    /// # Errors
    /// If there is one already, another process is there, or the disk fails.
    ///
    /// # Panics
    /// If no segment can be as long as `config` says.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        ledger_id: [u8; 16],
        config: LogConfig,
    ) -> Result<Self, StoreError> {
        let layout = Layout::new(config.segment_bytes).expect("segments have a possible length");
        disk.create_dir(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_dir(parent)?;
        }
        let lock = lock(&*disk, dir)?;
        if Self::exists(&*disk, dir)? {
            let there = std::io::ErrorKind::AlreadyExists.into();
            return Err(StoreError::io("create a journal in", dir, there));
        }
        let start = layout.start();
        let header = first_header(ledger_id, layout, start).encode();
        make(&*disk, dir, layout, 0, |file| file.write_at(&[IoSlice::new(&header[..])], 0))?;
        Self::start(disk, dir, lock, config, Begin { layout, ledger_id, end: start, bytes: 0 })
    }

    /// Opens the log in `dir`, gives every frame after `known.from` to `replay`, and cuts off a
    /// write that a crash interrupted.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it holds anything else that does not check, `InUse`, `TooNew`,
    /// whatever `replay` answers, or the disk's.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        config: LogConfig,
        known: Known,
        replay: impl FnMut(FrameInfo, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(Self, Recovered), StoreError> {
        let lock = lock(&*disk, dir)?;
        Self::open_locked(disk, dir, lock, config, known, replay)
    }

    /// As [`open`](Self::open), but the caller has locked `dir` already.
    ///
    /// # Errors
    /// As [`open`](Self::open), but never `InUse`.
    pub fn open_locked(
        disk: Arc<dyn Disk>,
        dir: &Path,
        lock: Lock,
        config: LogConfig,
        known: Known,
        replay: impl FnMut(FrameInfo, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(Self, Recovered), StoreError> {
        let found = recovery::walk(&*disk, dir, known, Manner::Alone, replay)?;
        recovery::settle(&*disk, dir, &found)?;
        if let Some(Torn { path, offset, bytes }) = &found.recovered.torn {
            let path = path.display();
            tracing::warn!(%path, offset, bytes, "cut off a write that a crash interrupted");
        }
        let recovered = found.recovered;
        let begin = Begin {
            layout: found.layout,
            ledger_id: recovered.ledger_id,
            end: recovered.end,
            bytes: found.end_of_bytes,
        };
        Ok((Self::start(disk, dir, lock, config, begin)?, recovered))
    }

    /// Reads the log in `dir` without a lock and without changing anything, also while a server
    /// writes to it: it ends at the last whole frame.
    ///
    /// # Errors
    /// As [`open`](Self::open), but never `InUse`.
    pub fn read_only(
        disk: Arc<dyn Disk>,
        dir: &Path,
        known: Known,
        replay: impl FnMut(FrameInfo, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(LogReader, Recovered), StoreError> {
        let found = recovery::walk(&*disk, dir, known, Manner::Beside, replay)?;
        Ok((LogReader::new(disk, dir, found.layout, found.end_of_bytes), found.recovered))
    }

    fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        lock: Lock,
        config: LogConfig,
        begin: Begin,
    ) -> Result<Self, StoreError> {
        let Begin { layout, ledger_id, end, bytes } = begin;
        let reader = LogReader::new(disk.clone(), dir, layout, bytes);
        let poison = Poison::default();
        let pool = Pool::default();
        // No place in the channel: one frame is being written, and one stands at the door.
        let (jobs, at_the_door) = bounded(0);
        let spares = writer::SpareRoom::new(disk.clone(), dir, layout, config.spares, lock)?;
        let segment = writer::current(&*disk, dir, layout, end)?;
        let blocks = match &segment {
            Some((_, file)) => Blocks::after(&**file, layout.offset_of(end.position))?,
            None => Blocks::default(),
        };
        let on_their_way = Arc::new(AtomicUsize::new(0));
        let writer = Arc::new(Mutex::new(Writer {
            seal: Seal::of(&ledger_id),
            ledger_id,
            layout,
            segment,
            blocks,
            end,
            spares,
            poison: poison.clone(),
            reader: reader.clone(),
            pool: pool.clone(),
            on_their_way: on_their_way.clone(),
        }));
        let its_own = writer.clone();
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || Writer::run(&its_own, &at_the_door))
            .map_err(|source| StoreError::io("start a thread for", dir, source))?;
        Ok(Self {
            dir: dir.to_owned(),
            layout,
            ledger_id,
            tail: end.position,
            next_event: end.next_event,
            inline_bytes: config.inline_bytes,
            longest: config.longest.min(LONGEST_LOG),
            writer,
            jobs: Some(jobs),
            thread: Some(thread),
            on_their_way,
            poison,
            reader,
            pool,
        })
    }

    /// The id that the ledger was given when it was created.
    pub fn ledger_id(&self) -> [u8; 16] {
        self.ledger_id
    }

    /// Where the body of the next frame will begin.
    pub fn next_body_position(&self) -> u64 {
        self.tail + FRAME_HEADER as u64
    }

    /// How many bytes the body of the next frame may have.
    pub fn room(&self) -> usize {
        self.layout.room_at(self.tail)
    }

    /// Whether there is room for a further frame, whatever it holds.
    ///
    /// # Errors
    /// [`StoreError::Full`] if the log cannot become longer.
    pub fn check_room(&self) -> Result<(), StoreError> {
        // What the rest of a segment has no room for goes into the next one.
        let segments = self.layout.segment_of(self.tail) + 2;
        if segments * self.layout.segment_bytes() <= self.longest {
            return Ok(());
        }
        Err(StoreError::Full { path: self.dir.clone(), longest: self.longest })
    }

    /// Whether four fifths of the longest log are written.
    pub fn is_almost_full(&self) -> bool {
        self.tail / 4 >= self.longest / 5
    }

    /// How many bytes the body of a segment's first frame may have: no other may have more.
    pub fn largest_room(&self) -> usize {
        self.layout.room_at(self.layout.first_frame_of(0))
    }

    /// The number that the next event must have.
    pub fn next_event(&self) -> u64 {
        self.next_event
    }

    /// An empty buffer for a body, with the memory of an earlier one where there is one.
    pub fn buffer(&self) -> Vec<u8> {
        self.pool.lock().pop().unwrap_or_default()
    }

    /// Hands a frame to the writer: at once if that is idle, otherwise as soon as it is done
    /// with the frame before. `done` is called, in the order of the calls, when the frame is
    /// durable: on the writer's thread, or for a [small](LogConfig::inline_bytes) frame perhaps
    /// on this one before this returns. An empty body is not written, and `done` is called when
    /// all before it is durable.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after any failure; `done` is then called with an error, too.
    ///
    /// # Panics
    /// If the body is larger than [`room`](Self::room), its first event is not the next one, or
    /// the log would become too [long](Self::check_room).
    pub fn append(
        &mut self,
        body: Vec<u8>,
        events: FrameEvents,
        done: Done,
    ) -> Result<(), StoreError> {
        assert!(body.len() <= self.room(), "a frame fits into the room there is");
        let position = self.tail;
        if !body.is_empty() {
            assert!(events.first_event == self.next_event, "events are numbered without a gap");
            let end = position + (FRAME_HEADER + body.len()) as u64;
            assert!(end <= self.longest, "a log is asked for its room before a frame is filled");
            self.tail = self.layout.next_frame(end);
            self.next_event += u64::from(events.event_count);
        }
        let job = Job { position, body, events, done };
        if job.body.len() <= self.inline_bytes && self.on_their_way.load(Acquire) == 0 {
            self.writer.lock().perform(job, |_| ());
            return self.poison.check();
        }
        let jobs = self.jobs.as_ref().expect("the writer's door is open until the log is closed");
        self.on_their_way.fetch_add(1, Relaxed);
        if let Err(refused) = jobs.send(job) {
            self.poison.set("the journal's writer is gone");
            let error = self.poison.check().expect_err("it was poisoned on the line above");
            (refused.0.done)(Err(error.clone()));
            return Err(error);
        }
        self.poison.check()
    }

    /// What tells whether the log still takes frames. It outlives the log.
    pub fn poison(&self) -> Poison {
        self.poison.clone()
    }

    /// A reader of what is durable. It outlives the log.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// Waits until everything handed over is durable, and gives the directory free.
    ///
    /// # Errors
    /// What the log failed at, now or earlier.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.stop();
        self.poison.check()
    }

    fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked it has poisoned the log.
            let _ = thread.join();
        }
        // Then it did not do this itself.
        self.writer.lock().spares.close();
    }
}

/// Also a log that is not closed gives its directory free only after its last write.
impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where a log begins to be written.
struct Begin {
    layout: Layout,
    ledger_id: [u8; 16],
    end: Mark,
    bytes: u64,
}

/// The header of segment 0, which is written when the log is created, and durable ever after.
pub(super) fn first_header(ledger_id: [u8; 16], layout: Layout, start: Mark) -> SegmentHeader {
    SegmentHeader {
        ledger_id,
        segment_bytes: layout.segment_bytes(),
        number: 0,
        first_frame: start.frame_number + 1,
        previous: start.checksum,
        first_event: start.next_event,
    }
}
