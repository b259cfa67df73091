//! The writer: makes frames durable, one write and one sync each.
//!
//! Frames come from [`Log::append`](super::log::Log::append): on a thread of their own, or on the
//! caller's. At most one is on its way to the disk at any moment; recovery relies on that.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Release};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::blocks::Blocks;
use super::frame::{FRAME_HEADER, FrameEvents, FrameHeader, Mark, Seal};
use super::log::{Done, Pool, Spares};
use super::log_reader::LogReader;
use super::poison::Poison;
use super::segment::{Layout, SEGMENT_HEADER, SegmentHeader, prepare, segment_path};
use crate::StoreError;
use crate::disk::{Disk, DiskFile, Lock};

/// So many buffers are kept: one being built, one handed over, one being written, one to spare.
const BUFFERS: usize = 4;
/// A larger buffer is not kept: few frames need one.
pub(super) const LARGEST_KEPT: usize = 8 << 20;

/// A segment that could not be prepared is tried again when such a part of one is written.
const RETRIES: u64 = 16;

/// A frame on its way.
pub(super) struct Job {
    pub(super) position: u64,
    pub(super) body: Vec<u8>,
    pub(super) events: FrameEvents,
    pub(super) done: Done,
}

/// What it takes to write. Whoever has its lock is the one who writes.
pub(super) struct Writer {
    pub(super) seal: Seal,
    pub(super) ledger_id: [u8; 16],
    pub(super) layout: Layout,
    /// The segment of the last frame, or the first one.
    pub(super) segment: Option<Numbered>,
    pub(super) blocks: Blocks,
    /// The place after the last durable frame.
    pub(super) end: Mark,
    pub(super) spares: SpareRoom,
    pub(super) poison: Poison,
    pub(super) reader: LogReader,
    pub(super) pool: Pool,
    /// How many frames were handed to the thread that are not written yet.
    pub(super) on_their_way: Arc<AtomicUsize>,
}

/// A segment's number and its file.
pub(super) type Numbered = (u64, Arc<dyn DiskFile>);

/// The segment in which the next frame goes, if it is in use already.
pub(super) fn current(
    disk: &dyn Disk,
    dir: &Path,
    layout: Layout,
    end: Mark,
) -> Result<Option<Numbered>, StoreError> {
    let number = layout.segment_of(end.position);
    let in_use = number == 0 || end.position != layout.first_frame_of(number);
    in_use.then(|| Ok((number, disk.open(&segment_path(dir, number))?))).transpose()
}

impl Writer {
    /// The thread: writes what comes until nothing more can come.
    pub(super) fn run(writer: &Mutex<Self>, jobs: &Receiver<Job>) {
        writer.lock().think_ahead();
        for job in jobs {
            writer.lock().perform(job, |writer| {
                // Before it is told: who hears of it may write the next one himself.
                writer.on_their_way.fetch_sub(1, Release);
            });
        }
        writer.lock().spares.close();
    }

    /// Makes a frame durable and says so, after `written` was called.
    pub(super) fn perform(&mut self, job: Job, written: impl FnOnce(&Self)) {
        // Inside the lock, so that nobody writes after a panic.
        let _guard = self.poison.guard("the journal's writer");
        let Job { position, mut body, events, done } = job;
        let result = self.poison.check().and_then(|()| self.write(position, &body, events));
        if let Err(error) = &result {
            self.poison.set(error.to_string());
        }
        body.clear();
        let mut pool = self.pool.lock();
        if (1..=LARGEST_KEPT).contains(&body.capacity()) && pool.len() < BUFFERS {
            pool.push(body);
        }
        drop(pool);
        written(self);
        done(result);
        self.think_ahead();
    }

    fn write(
        &mut self,
        position: u64,
        body: &[u8],
        events: FrameEvents,
    ) -> Result<Mark, StoreError> {
        if body.is_empty() {
            return Ok(self.end);
        }
        assert!(position == self.end.position, "frames are written where they were announced");
        let header = FrameHeader {
            body_len: u32::try_from(body.len()).expect("a segment has at most 1 GiB"),
            events,
            number: self.end.frame_number + 1,
            previous: self.end.checksum,
            body_checksum: self.seal.checksum(body),
        };
        let (header, checksum) = header.encode(self.seal);
        let file = match &self.segment {
            Some((number, file)) if *number == self.layout.segment_of(position) => {
                let offset = self.layout.offset_of(position);
                self.blocks.write(&**file, &[&header, body], offset)?;
                file
            }
            _ => self.begin_segment(position, &header, body)?,
        };
        file.sync()?;
        let bytes = position + (FRAME_HEADER + body.len()) as u64;
        self.end = Mark {
            position: self.layout.next_frame(bytes),
            frame_position: position,
            frame_number: self.end.frame_number + 1,
            checksum,
            next_event: events.first_event + u64::from(events.event_count),
            time: events.time,
        };
        self.reader.advance(position, &[&header, body]);
        Ok(self.end)
    }

    /// Writes a segment's header together with its first frame: both or neither count.
    fn begin_segment(
        &mut self,
        position: u64,
        frame: &[u8],
        body: &[u8],
    ) -> Result<&Arc<dyn DiskFile>, StoreError> {
        let number = self.layout.segment_of(position);
        assert!(
            self.layout.offset_of(position) == SEGMENT_HEADER as u64,
            "a segment's first frame follows its header"
        );
        let file = self.spares.take(number)?;
        let header = segment_header(self.ledger_id, self.layout, self.end).encode();
        self.blocks.write(&*file, &[&header[..], frame, body], 0)?;
        let (_, file) = self.segment.insert((number, file));
        Ok(file)
    }

    /// Has the next segment prepared when this one is half full.
    fn think_ahead(&mut self) {
        if self.poison.check().is_err() {
            return;
        }
        let next = self.end.position;
        let number = self.layout.segment_of(next);
        let patience = self.layout.segment_bytes() / RETRIES;
        if self.segment.as_ref().is_none_or(|(current, _)| *current != number) {
            self.spares.ask(number, next, patience);
        } else if self.layout.offset_of(next) >= self.layout.segment_bytes() / 2 {
            self.spares.ask(number + 1, next, patience);
        }
    }
}

/// The header of the segment whose first frame follows `before`.
pub(super) fn segment_header(ledger_id: [u8; 16], layout: Layout, before: Mark) -> SegmentHeader {
    SegmentHeader {
        ledger_id,
        segment_bytes: layout.segment_bytes(),
        number: layout.segment_of(before.position),
        first_frame: before.frame_number + 1,
        previous: before.checksum,
        first_event: before.next_event,
    }
}

type Prepared = Result<Arc<dyn DiskFile>, StoreError>;

/// Where segments are prepared, one ahead.
pub(super) struct SpareRoom {
    asked: Option<Asked>,
    /// What came of it, once that was heard.
    ready: Option<Prepared>,
    how: How,
}

/// A segment that is to be prepared.
struct Asked {
    number: u64,
    /// How long the log was when it was asked for.
    at: u64,
}

enum How {
    Background { ask: Sender<u64>, ready: Receiver<Prepared>, thread: JoinHandle<()> },
    Inline(SpareMaker),
    Closed,
}

/// Makes segments.
struct SpareMaker {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    layout: Layout,
    /// Held until the last write of the log is over, also when it is dropped and not closed.
    _lock: Lock,
}

impl SpareMaker {
    fn prepare(&self, number: u64) -> Prepared {
        prepare(&*self.disk, &self.dir, self.layout, number).inspect_err(|error| {
            tracing::error!(%error, "cannot prepare the journal's next segment");
        })
    }
}

impl SpareRoom {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        layout: Layout,
        spares: Spares,
        lock: Lock,
    ) -> Result<Self, StoreError> {
        let maker = SpareMaker { disk, dir: dir.to_owned(), layout, _lock: lock };
        let how = match spares {
            Spares::Inline => How::Inline(maker),
            Spares::Background => {
                let (ask, asked) = bounded::<u64>(1);
                let (hand_out, ready) = bounded(1);
                let thread = std::thread::Builder::new()
                    .name("journal-spares".into())
                    .spawn(move || {
                        for number in asked {
                            if hand_out.send(maker.prepare(number)).is_err() {
                                return;
                            }
                        }
                    })
                    .map_err(|source| StoreError::io("start a thread for", dir, source))?;
                How::Background { ask, ready, thread }
            }
        };
        Ok(Self { asked: None, ready: None, how })
    }

    /// Has segment `number` prepared, unless that was asked for already. The log is so long as
    /// `at` says. What could not be prepared is asked for again when it is longer by `patience`.
    fn ask(&mut self, number: u64, at: u64, patience: u64) {
        if let Some(asked) = self.asked.as_ref().filter(|asked| asked.number == number) {
            if at < asked.at + patience {
                return;
            }
            if let (None, How::Background { ready, .. }) = (&self.ready, &self.how) {
                self.ready = ready.try_recv().ok();
            }
            if !matches!(self.ready, Some(Err(_))) {
                return;
            }
        }
        self.asked = Some(Asked { number, at });
        self.begin(number);
    }

    fn begin(&mut self, number: u64) {
        self.ready = None;
        match &mut self.how {
            // The answer to `take` says it if the thread is gone.
            How::Background { ask, .. } => drop(ask.send(number)),
            How::Inline(maker) => self.ready = Some(maker.prepare(number)),
            How::Closed => {}
        }
    }

    /// Segment `number`, prepared; waits for it where it is not.
    fn take(&mut self, number: u64) -> Prepared {
        if self.asked.take().is_none_or(|asked| asked.number != number) {
            self.begin(number);
        }
        if let Ok(file) = self.wait() {
            return Ok(file);
        }
        // That may have been long ago: a disk that was full may have room again.
        self.begin(number);
        self.wait()
    }

    fn wait(&mut self) -> Prepared {
        let prepared = self.ready.take().or_else(|| match &self.how {
            How::Background { ready, .. } => ready.recv().ok(),
            How::Inline(_) | How::Closed => None,
        });
        prepared.unwrap_or_else(|| {
            Err(StoreError::Poisoned { cause: "no segment can be prepared any more".into() })
        })
    }

    /// Ends the thread, and gives the directory free. Nothing can be prepared after that.
    pub(super) fn close(&mut self) {
        if let How::Background { ask, ready, thread } =
            std::mem::replace(&mut self.how, How::Closed)
        {
            drop((ask, ready));
            // A panic there was reported by the runtime, and no frame depends on it any more.
            let _ = thread.join();
        }
    }
}
