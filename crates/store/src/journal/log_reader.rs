//! Reading the log by position, from any thread, while it grows.
//!
//! History pages read records this way; only bytes that are durable are ever given out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use parking_lot::RwLock;

use super::segment::{Layout, segment_path};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

/// So many segments are kept open at most, as a process may not open any number of files.
const OPEN_FILES: usize = 256;

/// Reads what is durable. Clones share the open files.
#[derive(Clone)]
pub struct LogReader(Arc<Shared>);

struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    layout: Layout,
    /// Where the last durable frame ends.
    durable: AtomicU64,
    files: RwLock<Files>,
}

#[derive(Default)]
struct Files {
    /// By segment number.
    open: Vec<Option<Arc<dyn DiskFile>>>,
    count: usize,
    /// Where the search for one to close goes on.
    hand: usize,
}

impl LogReader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path, layout: Layout, durable: u64) -> Self {
        let (dir, durable) = (dir.to_owned(), AtomicU64::new(durable));
        Self(Arc::new(Shared { disk, dir, layout, durable, files: RwLock::default() }))
    }

    /// Where the log's durable bytes end.
    pub fn durable_end(&self) -> u64 {
        self.0.durable.load(Acquire)
    }

    pub(super) fn advance(&self, end: u64) {
        self.0.durable.fetch_max(end, AcqRel);
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
        let readable = usize::try_from(self.readable(position)).unwrap_or(usize::MAX);
        let some = readable.min(bytes.len());
        self.read(position, &mut bytes[..some])?;
        Ok(some)
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

    fn beyond(&self, position: u64, len: usize) -> StoreError {
        let what = format!("{len} bytes were to be read from here, but not all are in the journal");
        self.corrupt(position, &what)
    }

    fn file(&self, segment: u64) -> Result<Arc<dyn DiskFile>, StoreError> {
        let index = usize::try_from(segment).expect("segments are fewer than bytes of memory");
        if let Some(Some(file)) = self.0.files.read().open.get(index) {
            return Ok(file.clone());
        }
        let file = self.0.disk.open_to_read(&segment_path(&self.0.dir, segment))?;
        self.0.files.write().keep(index, file.clone());
        Ok(file)
    }
}

impl Files {
    fn keep(&mut self, index: usize, file: Arc<dyn DiskFile>) {
        if self.open.len() <= index {
            self.open.resize(index + 1, None);
        }
        while self.count >= OPEN_FILES {
            self.hand = (self.hand + 1) % self.open.len();
            self.count -= usize::from(self.open[self.hand].take().is_some());
        }
        // Two threads may have opened the same segment at once.
        self.count += usize::from(self.open[index].replace(file).is_none());
    }
}
