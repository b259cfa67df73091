//! Through the records of the journal in the order in which they were written.
//!
//! Frames lie one behind the other, their headers between the records; a header's first four
//! bytes are larger than any record's length, so the two are told apart.

use tongjang_core::{Event, Timestamp};

use super::bytes::Take;
use super::frame::{FRAME_HEADER, FRAME_MAGIC};
use super::log_reader::LogReader;
use super::record::{self, BadRecord, Facts, LONGEST, Record};
use super::trail::Block;
use crate::StoreError;

/// So much is read at once: a transaction is half as far from a mark as marks are apart.
const PIECE: usize = 32 * 1024;
/// So much is asked of the disk at once, as what is asked for is no farther from a mark.
const AHEAD: usize = 64 * 1024;

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

    /// The next event that is not a transaction booked before `time`; `None` at the end.
    pub(super) fn next_from(
        &mut self,
        time: Timestamp,
        facts: &impl Facts,
    ) -> Result<Option<Event>, StoreError> {
        while self.find_record()? {
            let bytes = &self.have[self.used..];
            let bad = |bad: BadRecord| self.log.corrupt(self.position, bad.as_str());
            let span = record::span(bytes).map_err(bad)?;
            let early = record::booked_at(bytes).is_some_and(|booked_at| booked_at < time);
            let passed = early || is_block(bytes);
            let found = if passed { None } else { Some(record::read(bytes, self.position, facts)) };
            let found = found.transpose().map_err(bad)?;
            if found == Some(Record::Filler) {
                self.jump(self.log.next_segment(self.position));
                continue;
            }
            self.skip(span);
            if let Some(Record::Event(event)) = found {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The next block of the account at `slot`, if it begins before `limit`.
    pub(super) fn next_block(
        &mut self,
        slot: u32,
        limit: u64,
        facts: &impl Facts,
    ) -> Result<Option<Block>, StoreError> {
        while self.position < limit && self.find_record()? {
            let bytes = &self.have[self.used..];
            let bad = |bad: BadRecord| self.log.corrupt(self.position, bad.as_str());
            let span = record::span(bytes).map_err(bad)?;
            let found = if is_block_of(bytes, slot) {
                Some(record::read(bytes, self.position, facts).map_err(bad)?)
            } else {
                None
            };
            self.skip(span);
            if let Some(Record::Block(block)) = found {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Goes on to where a record begins; `false` at the end.
    fn find_record(&mut self) -> Result<bool, StoreError> {
        while self.position < self.end {
            self.fill()?;
            match self.have[self.used..].first_chunk::<4>() {
                None => break,
                Some(start) if *start == FRAME_MAGIC => self.skip(FRAME_HEADER),
                Some([0, 0, 0, 0]) => self.jump(self.log.next_segment(self.position)),
                Some(_) => return Ok(true),
            }
        }
        Ok(false)
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

    /// Has a whole record at hand, or all that there is. Where a frame filled its segment to the
    /// last byte, the next one begins after the header of the segment that follows.
    fn fill(&mut self) -> Result<(), StoreError> {
        let left = self.have.len().saturating_sub(self.used);
        if left >= LONGEST {
            return Ok(());
        }
        self.have.resize(PIECE, 0);
        self.used = 0;
        self.position = self.log.after_header(self.position);
        let some = match self.log.read_at_once(self.position, &mut self.have)? {
            Some(some) => some,
            None => {
                self.log.will_read(&[self.position], AHEAD)?;
                self.log.read_some(self.position, &mut self.have)?
            }
        };
        self.have.truncate(some);
        Ok(())
    }
}

/// Whether the record that begins `bytes` is a block, without reading all of it.
fn is_block(bytes: &[u8]) -> bool {
    bytes.get(record::HEADER) == Some(&record::BLOCK_OF_ENTRIES)
}

/// Whether it is a block of the account at `slot`.
fn is_block_of(bytes: &[u8], slot: u32) -> bool {
    let its = || bytes.get(record::HEADER + 1..).and_then(|rest| Take(rest).uint());
    is_block(bytes) && its() == Some(slot.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tongjang_core::{
        AccountId, Fingerprint, IdempotencyKey, KeyUse, Opened, Status, StatusChanged, UserId,
    };

    use super::*;
    use crate::faulty::FaultyDisk;
    use crate::journal::frame::{FIRST_EVENT, FrameEvents};
    use crate::journal::log::{Log, LogConfig};

    struct NoAccounts;

    impl Facts for NoAccounts {
        fn opened(&self, _: u32) -> Option<Arc<Opened>> {
            None
        }

        fn slot(&self, _: AccountId) -> Option<u32> {
            None
        }
    }

    /// A record of 40 bytes, or of 72 with a key.
    fn put(body: &mut Vec<u8>, with_key: bool) {
        let (account, at) = (AccountId::from_bits(1), Timestamp::EPOCH);
        let key = with_key.then(|| KeyUse {
            scope: UserId::from_bits(1),
            key: IdempotencyKey::new("k").unwrap(),
            fingerprint: Fingerprint::from_bytes([0; 16]),
        });
        let change = StatusChanged { account, status: Status::Frozen, at, key };
        record::put_event(body, &NoAccounts, &Event::StatusChanged(change));
    }

    #[test]
    fn a_segment_filled_to_its_last_byte_is_followed_by_the_next() {
        const EACH: u32 = 302 + 2;
        let config = LogConfig { segment_bytes: 16 << 10, ..LogConfig::default() };
        let disk = Arc::new(FaultyDisk::new(1));
        let mut log = Log::create(disk, Path::new("/journal"), [1; 16], config).unwrap();
        let reader = log.reader();
        let (begin, mut first_event) = (log.next_body_position(), FIRST_EVENT);
        for _ in 0..3 {
            let mut body = Vec::new();
            while body.len() < log.room() {
                let left = log.room() - body.len();
                put(&mut body, !left.is_multiple_of(40));
            }
            assert_eq!(body.len(), log.room(), "the segment is filled");
            let events = FrameEvents { first_event, event_count: EACH, ..FrameEvents::default() };
            log.append(body, events, Box::new(|done| assert!(done.is_ok()))).unwrap();
            first_event += u64::from(EACH);
        }
        log.close().unwrap();
        let mut scan = Scan::new(&reader, begin, reader.durable_end());
        let mut found = 0;
        while scan.next_from(Timestamp::EPOCH, &NoAccounts).unwrap().is_some() {
            found += 1;
        }
        assert_eq!(found, 3 * EACH);
    }
}
