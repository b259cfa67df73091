//! Writing a run: entry by entry in their order, under a name that nobody reads until all of it
//! is durable.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::entry::{Entry, Print};
use super::lines::{LINE_BYTES, Lines};
use super::run::{BEFORE_ENTRIES, BLOCK, HEADER, Header, IN_BLOCK, Run, block_check};
use super::shelf::Shelf;
use crate::StoreError;
use crate::disk::DiskFile;

/// So many bytes are written at once.
pub(super) const PIECE: usize = 1 << 20;
/// After so many pieces they are synced, so that the journal's own syncs never wait for many.
const SYNC_EVERY: u32 = 4;

/// Why a run was not written.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nobody wants it any more.
    Stopped,
    /// This went wrong.
    Failed(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Told after every write how many bytes it was: it may take its time, or say that nobody wants
/// the run any more.
pub(super) type Pace<'a> = &'a mut dyn FnMut(usize) -> Result<(), Halt>;

/// A run that is being written.
pub(super) struct RunWriter<'a> {
    shelf: &'a Shelf,
    pace: Pace<'a>,
    temporary: PathBuf,
    file: Arc<dyn DiskFile>,
    header: Header,
    lines: Lines,
    fences: Vec<Print>,
    /// What is not written yet; the block that is being filled is the last in it.
    piece: Vec<u8>,
    offset: u64,
    unsynced: u32,
    last: Option<Entry>,
    checks: Xxh3,
}

impl<'a> RunWriter<'a> {
    /// Begins run `number` of the keys of the records from `from` on and before `until`, about
    /// `expected` of them.
    pub(super) fn begin(
        shelf: &'a Shelf,
        number: u64,
        (from, until): (u64, u64),
        expected: u64,
        pace: Pace<'a>,
    ) -> Result<Self, Halt> {
        let temporary = shelf.temporary(number);
        let file = shelf.disk.create(&temporary)?;
        let lines = Lines::for_keys(expected);
        let header = Header {
            ledger_id: shelf.ledger_id,
            number,
            from,
            until,
            count: 0,
            homes: lines.homes(),
            lines: 0,
            lines_check: 0,
            fences_check: 0,
            blocks_check: 0,
        };
        Ok(Self {
            shelf,
            pace,
            temporary,
            file,
            header,
            lines,
            fences: Vec::with_capacity((expected as usize).div_ceil(IN_BLOCK)),
            piece: Vec::new(),
            offset: HEADER as u64,
            unsynced: 0,
            last: None,
            checks: Xxh3::new(),
        })
    }

    /// Adds an entry, which is not before the last one; the same one again is left out.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), Halt> {
        if self.last == Some(entry) {
            return Ok(());
        }
        assert!(self.last.is_none_or(|last| last < entry), "entries come in their order");
        self.last = Some(entry);
        if self.header.count.is_multiple_of(IN_BLOCK as u64) {
            self.end_block();
            if self.piece.len() >= PIECE {
                self.write_piece()?;
            }
            self.fences.push(entry.print());
            self.piece.extend_from_slice(&[0; BEFORE_ENTRIES]);
        }
        self.piece.extend_from_slice(&entry.to_bytes());
        self.lines.push(entry.print());
        self.header.count += 1;
        Ok(())
    }

    /// Fills the last block up and puts its checksum before it.
    fn end_block(&mut self) {
        let start = self.piece.len().saturating_sub(1) / BLOCK * BLOCK;
        let Some(block) = (self.fences.len() as u64).checked_sub(1) else { return };
        self.piece.resize(start + BLOCK, 0);
        let check = block_check(&self.header, block, &self.piece[start..]).to_le_bytes();
        self.piece[start..start + BEFORE_ENTRIES].copy_from_slice(&check);
        self.checks.update(&check);
    }

    fn write_piece(&mut self) -> Result<(), Halt> {
        let piece = std::mem::take(&mut self.piece);
        self.write(&piece)?;
        self.piece = piece;
        self.piece.clear();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.file.write_at(&[IoSlice::new(bytes)], self.offset)?;
        self.offset += bytes.len() as u64;
        self.unsynced += 1;
        if self.unsynced == SYNC_EVERY {
            self.file.sync()?;
            self.unsynced = 0;
        }
        (self.pace)(bytes.len())
    }

    /// Ends the run, makes it durable under its name, and opens it.
    pub(super) fn finish(mut self) -> Result<Run, Halt> {
        self.end_block();
        self.write_piece()?;
        self.header.blocks_check = self.checks.digest();
        self.header.lines = self.lines.len() as u64;
        let mut check = Xxh3::new();
        for start in (0..self.lines.len()).step_by(PIECE / LINE_BYTES) {
            let bytes = self.lines.bytes(start, PIECE / LINE_BYTES);
            check.update(&bytes);
            self.write(&bytes)?;
        }
        self.header.lines_check = check.digest();
        let prints = self.fences.iter().map(|print| print.bits());
        let fences: Vec<u8> = prints.flat_map(u64::to_le_bytes).collect();
        let mut check = Xxh3::new();
        check.update(&fences);
        self.header.fences_check = check.digest();
        self.write(&fences)?;
        let (bytes, _) = self.header.sealed();
        let mut whole = [0; HEADER];
        whole[..bytes.len()].copy_from_slice(&bytes);
        self.file.write_at(&[IoSlice::new(&whole)], 0)?;
        self.file.sync()?;
        let Self { shelf, temporary, file, header, lines, fences, .. } = self;
        shelf.disk.rename(&temporary, &shelf.path(header.number))?;
        shelf.disk.sync_dir(&shelf.dir)?;
        Ok(Run::new(header, file, lines, fences))
    }
}
