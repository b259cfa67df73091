//! Through the records of the journal in the order in which they were written.
//!
//! Frames lie one behind the other, their headers between the records; a header's first four
//! bytes are larger than any record's length, so the two are told apart.

use tongjang_core::Timestamp;

use super::frame::{FRAME_HEADER, FRAME_MAGIC};
use super::log_reader::LogReader;
use super::record::{self, BadRecord, Facts, HEADER, LONGEST, Record};
use crate::StoreError;

const PIECE: usize = 64 * 1024;

/// A walk over the durable records.
pub(super) struct Scan<'a> {
    log: &'a LogReader,
    end: u64,
    position: u64,
    have: Vec<u8>,
    used: usize,
}

impl<'a> Scan<'a> {
    /// Begins at `position`, where a record or a frame begins, and goes up to `end`, where a frame
    /// ends. What is durable after that may name accounts that the view does not know yet.
    pub(super) fn new(log: &'a LogReader, position: u64, end: u64) -> Self {
        Self { log, end, position, have: Vec::new(), used: 0 }
    }

    /// The next record that is not a transaction booked before `time`; `None` at the end.
    pub(super) fn next_from(
        &mut self,
        time: Timestamp,
        facts: &impl Facts,
    ) -> Result<Option<Record>, StoreError> {
        loop {
            if self.position >= self.end {
                return Ok(None);
            }
            self.fill()?;
            let bytes = &self.have[self.used..];
            let Some(start) = bytes.first_chunk::<4>() else { return Ok(None) };
            if *start == FRAME_MAGIC {
                self.skip(FRAME_HEADER);
                continue;
            }
            if *start == [0; 4] {
                self.jump(self.log.next_segment(self.position));
                continue;
            }
            let bad = |bad: BadRecord| self.log.corrupt(self.position, bad.as_str());
            let span = record::span(bytes).map_err(bad)?;
            let early = record::booked_at(bytes).is_some_and(|booked_at| booked_at < time);
            let found = if early { None } else { Some(record::read(bytes, self.position, facts)) };
            let found = found.transpose().map_err(bad)?;
            self.skip(span);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.used += bytes;
        self.position += bytes as u64;
    }

    fn jump(&mut self, position: u64) {
        self.have.clear();
        self.used = 0;
        self.position = position;
    }

    /// Has a whole record at hand, or all that there is. At the end of a segment goes on to the
    /// next one.
    fn fill(&mut self) -> Result<(), StoreError> {
        let left = self.have.len().saturating_sub(self.used);
        if left >= LONGEST.max(HEADER) {
            return Ok(());
        }
        self.have.resize(PIECE, 0);
        self.used = 0;
        let mut some = self.log.read_some(self.position, &mut self.have)?;
        if some == 0 && self.log.next_segment(self.position) < self.log.durable_end() {
            self.position = self.log.next_segment(self.position);
            some = self.log.read_some(self.position, &mut self.have)?;
        }
        self.have.truncate(some);
        Ok(())
    }
}
