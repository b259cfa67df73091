//! A segment read from front to back in large pieces.
//!
//! Recovery looks at every frame header, so it reads ahead and not header by header.

use std::sync::Arc;

use crate::StoreError;
use crate::disk::DiskFile;

/// So much is read at once at least.
const AHEAD: usize = 1 << 20;

pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Result<Self, StoreError> {
        let len = file.len()?;
        Ok(Self { file, len, start: 0, bytes: Vec::new() })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// `want` bytes from `offset` on, or fewer where the file ends.
    pub(super) fn at(&mut self, offset: u64, want: usize) -> Result<&[u8], StoreError> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let had = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + want as u64 > had {
            self.bytes.clear();
            self.bytes.resize(want.max(AHEAD).min(left), 0);
            self.start = offset;
            if let Err(error) = self.file.read_at(&mut self.bytes, offset) {
                self.bytes.clear();
                return Err(error);
            }
        }
        let at = usize::try_from(offset - self.start).expect("a window fits into memory");
        Ok(&self.bytes[at..at + want])
    }
}
