//! Reading the log by position, from any thread, while it grows.
//!
//! History pages read records this way; only bytes that are durable are ever given out.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use parking_lot::RwLock;

use super::recent::Recent;
use super::segment::{Layout, segment_path};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// What lies between two places to be read is read too if it has no more bytes than this: a call
/// costs as much as copying some hundreds.
const GAP: u64 = 512;
/// But no more than about so much is read in one piece.
const LONGEST_RUN: u64 = 64 << 10;
/// So many are expected to read at once, and together they hold no more files than are kept.
const READERS: usize = 64;
/// No reader holds more files than this at once; most of them are those that are kept.
const FILES_AT_ONCE: usize = 32;

/// Reads what is durable. Clones share the open files.
#[derive(Clone)]
pub struct LogReader(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    layout: Layout,
    /// Where the last durable frame ends.
    durable: AtomicU64,
    recent: Recent,
    files: RwLock<Files>,
    /// How many files a reader may hold at once.
    at_once: usize,
}

/// The open segments. So many are kept at most, as a process may not open any number of files.
struct Files {
    most: usize,
    /// By segment number.
    open: Vec<Option<Arc<dyn DiskFile>>>,
    count: usize,
    /// Where the search for one to close goes on.
    hand: usize,
}

impl LogReader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, layout: Layout, durable: u64) -> Self {
        let (dir, durable) = (dir.to_owned(), AtomicU64::new(durable));
        let most = disk.open_files().max(1);
        let at_once = (most / READERS).clamp(1, FILES_AT_ONCE);
        let files = Files { most, open: Vec::new(), count: 0, hand: 0 };
        let (recent, files) = (Recent::default(), RwLock::new(files));
        Self(Arc::new(Shared { disk, dir, layout, durable, recent, files, at_once }))
    }

    /// Where the log's durable bytes end.
    pub fn durable_end(&self) -> u64 {
        self.0.durable.load(Acquire)
    }

    /// A frame of these `parts` is durable at `position`, and so is all before its end.
    pub(super) fn advance(&self, position: u64, parts: &[&[u8]]) {
        self.0.recent.keep(position, parts);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.0.durable.fetch_max(position + length as u64, AcqRel);
    }

    /// Fills `bytes` from `position` on.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if not all of them are durable bytes of one segment: then the
    /// position was wrong. Otherwise the disk's.
    pub fn read(&self, position: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        if self.readable(position) < bytes.len() as u64 {
            return Err(self.beyond(position, bytes.len()));
        }
        if self.0.recent.read(position, bytes) {
            return Ok(());
        }
        let segment = self.0.layout.segment_of(position);
        self.file(segment)?.read_at(bytes, self.0.layout.offset_of(position))
    }

    /// Reads `len` bytes from `position` on into `bytes`, in place of what is there.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_into(
        &self,
        position: u64,
        len: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        bytes.resize(len, 0);
        self.read(position, bytes)
    }

    /// Reads as far as there are durable bytes in that segment, but at most `bytes`. Says how
    /// many those were: none only if `position` is not durable.
    ///
    /// # Errors
    /// The disk's.
    pub fn read_some(&self, position: u64, bytes: &mut [u8]) -> Result<usize, StoreError> {
        let some = self.readable_of(position, bytes.len());
        self.read(position, &mut bytes[..some])?;
        Ok(some)
    }

    /// Reads what begins at each of `positions`, which ascend, into `bytes`: as far as there are
    /// durable bytes in that segment, and `len` of each at least. Says where in `bytes` each is.
    /// What is not in memory is fetched from the disk all at the same time.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn read_each(
        &self,
        positions: &[u64],
        len: usize,
        bytes: &mut Vec<u8>,
    ) -> Result<Vec<Range<usize>>, StoreError> {
        let (runs, places) = self.plan(positions, len);
        bytes.resize(runs.last().map_or(0, |run| run.span().end), 0);
        let mut missing: Vec<&Run> = runs.iter().collect();
        missing.retain(|run| !self.0.recent.read(run.position, &mut bytes[run.span()]));
        // The disk is told of all before the first is waited for.
        let mut waiting = Vec::new();
        self.with_files(&missing, |run, file, offset| {
            if !file.read_at_once(&mut bytes[run.span()], offset)? {
                file.will_read(offset, run.span().len());
                waiting.push(run);
            }
            Ok(())
        })?;
        self.with_files(&waiting, |run, file, offset| {
            file.read_at(&mut bytes[run.span()], offset)
        })?;
        // Where neighbours came along, a record that is longer than most is there to its end.
        Ok(places.into_iter().map(|(run, at)| at..runs[run].span().end).collect())
    }

    /// In which pieces to read what begins at each of `positions`, and for each of them in which
    /// piece it is and where it begins among the bytes of all.
    fn plan(&self, positions: &[u64], len: usize) -> (Vec<Run>, Vec<(usize, usize)>) {
        let mut runs: Vec<Run> = Vec::with_capacity(positions.len());
        let mut places = Vec::with_capacity(positions.len());
        for position in positions {
            let some = self.readable_of(*position, len);
            let end = position + some as u64;
            let at = match runs.last_mut() {
                Some(run) if some > 0 && self.joins(run, *position) => {
                    run.end = run.end.max(end);
                    run.at + (position - run.position) as usize
                }
                last => {
                    let at = last.map_or(0, |run| run.span().end);
                    runs.push(Run { position: *position, end, at });
                    at
                }
            };
            places.push((runs.len() - 1, at));
        }
        (runs, places)
    }

    /// Tells that `len` bytes from each of `positions` on will be read.
    pub(super) fn will_read(&self, positions: &[u64], len: usize) -> Result<(), StoreError> {
        for position in positions {
            let file = self.file(self.0.layout.segment_of(*position))?;
            let offset = self.0.layout.offset_of(*position);
            file.will_read(offset, self.readable_of(*position, len));
        }
        Ok(())
    }

    /// As [`read_some`](Self::read_some), if that need not wait for the disk.
    pub(super) fn read_at_once(
        &self,
        position: u64,
        bytes: &mut [u8],
    ) -> Result<Option<usize>, StoreError> {
        let some = self.readable_of(position, bytes.len());
        if self.0.recent.read(position, &mut bytes[..some]) {
            return Ok(Some(some));
        }
        let file = self.file(self.0.layout.segment_of(position))?;
        let offset = self.0.layout.offset_of(position);
        Ok(file.read_at_once(&mut bytes[..some], offset)?.then_some(some))
    }

    /// Where the first frame of the segment after that of `position` begins.
    pub(super) fn next_segment(&self, position: u64) -> u64 {
        self.0.layout.first_frame_of(self.0.layout.segment_of(position) + 1)
    }

    /// `position`, or where the first frame of its segment begins if it is in the header before.
    pub(super) fn after_header(&self, position: u64) -> u64 {
        let layout = self.0.layout;
        position.max(layout.first_frame_of(layout.segment_of(position)))
    }

    /// The error that says what is wrong at `position`.
    pub(super) fn corrupt(&self, position: u64, what: &str) -> StoreError {
        let (path, offset) = self.0.layout.place(&self.0.dir, position);
        StoreError::Corrupt { path, offset, what: what.into() }
    }

    /// How many durable bytes there are from `position` to the end of its segment.
    fn readable(&self, position: u64) -> u64 {
        let layout = self.0.layout;
        let left = layout.segment_bytes() - layout.offset_of(position);
        self.durable_end().saturating_sub(position).min(left)
    }

    /// As [`readable`](Self::readable), but at most `most`.
    fn readable_of(&self, position: u64, most: usize) -> usize {
        usize::try_from(self.readable(position)).unwrap_or(usize::MAX).min(most)
    }

    fn beyond(&self, position: u64, len: usize) -> StoreError {
        let what = format!("{len} bytes were to be read from here, but not all are in the journal");
        self.corrupt(position, &what)
    }

    /// Whether what stands at `position` is so near that it costs less to read what is between.
    fn joins(&self, run: &Run, position: u64) -> bool {
        let layout = self.0.layout;
        layout.segment_of(run.position) == layout.segment_of(position)
            && position >= run.position
            && position <= run.end + GAP
            && position - run.position < LONGEST_RUN
    }

    /// Calls `each` for every one of `runs`, which ascend, with its file and where in it the run
    /// begins. Few files are held at once: pages whose rows are far apart come through hundreds.
    fn with_files<'a>(
        &self,
        runs: &[&'a Run],
        mut each: impl FnMut(&'a Run, &dyn DiskFile, u64) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let layout = self.0.layout;
        let segment = |run: &Run| layout.segment_of(run.position);
        let by_file: Vec<_> = runs.chunk_by(|one, two| segment(one) == segment(two)).collect();
        for few in by_file.chunks(self.0.at_once) {
            let files = self.files(few.iter().map(|runs| segment(runs[0])))?;
            for (runs, file) in few.iter().zip(files) {
                for run in *runs {
                    each(run, &*file, layout.offset_of(run.position))?;
                }
            }
        }
        Ok(())
    }

    /// The files of `segments`; those that are open are looked up under one lock.
    fn files(
        &self,
        segments: impl Iterator<Item = u64> + Clone,
    ) -> Result<Vec<Arc<dyn DiskFile>>, StoreError> {
        let known: Vec<Option<Arc<dyn DiskFile>>> = {
            let files = self.0.files.read();
            segments.clone().map(|segment| files.get(segment).cloned()).collect()
        };
        let opened =
            |(file, segment): (Option<_>, u64)| file.map_or_else(|| self.file(segment), Ok);
        known.into_iter().zip(segments).map(opened).collect()
    }

    fn file(&self, segment: u64) -> Result<Arc<dyn DiskFile>, StoreError> {
        if let Some(file) = self.0.files.read().get(segment) {
            return Ok(file.clone());
        }
        let file = self.0.disk.open_to_read(&segment_path(&self.0.dir, segment))?;
        file.will_jump();
        self.0.files.write().keep(segment, file.clone());
        Ok(file)
    }
}

/// Bytes that are read in one piece.
struct Run {
    /// Where they stand in the log.
    position: u64,
    /// Where they end there.
    end: u64,
    /// Where they begin in what was read.
    at: usize,
}

impl Run {
    fn span(&self) -> Range<usize> {
        self.at..self.at + (self.end - self.position) as usize
    }
}

impl Files {
    fn get(&self, segment: u64) -> Option<&Arc<dyn DiskFile>> {
        self.open.get(usize::try_from(segment).ok()?)?.as_ref()
    }

    fn keep(&mut self, segment: u64, file: Arc<dyn DiskFile>) {
        let index = usize::try_from(segment).expect("segments are fewer than bytes of memory");
        if self.open.len() <= index {
            self.open.resize(index + 1, None);
        }
        while self.count >= self.most {
            self.hand = (self.hand + 1) % self.open.len();
            self.count -= usize::from(self.open[self.hand].take().is_some());
        }
        // Two threads may have opened the same segment at once.
        self.count += usize::from(self.open[index].replace(file).is_none());
    }
}
