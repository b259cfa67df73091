//! A run: some millions of keys that never change again, on the disk, with 16 bits a key in
//! memory.
//!
//! What memory says is a perhaps; the entry on the disk, and in the end the record in the
//! journal, say whether it is so. The format is in `docs/journal-format.md`.

use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use super::entry::{Entry, Print};
use super::lines::{LINE_BYTES, Lines};
use super::shelf::{RunName, Shelf};
use crate::StoreError;
use crate::disk::DiskFile;
use crate::journal::bytes::Take;

const MAGIC: [u8; 8] = *b"TJKEYS\0\x01";
/// So that what follows is in whole pages.
pub(super) const HEADER: usize = 4096;
const HEADER_USED: usize = 104;
/// A block of entries: a checksum, the entries, zeros.
pub(super) const BLOCK: usize = 4096;
pub(super) const BEFORE_ENTRIES: usize = 8;
pub(super) const IN_BLOCK: usize = 408;
/// So many bytes are read at once where all are read.
const PIECE: usize = 1 << 20;

/// What a run says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) ledger_id: [u8; 16],
    pub(super) number: u64,
    /// The keys are those of all records from here on …
    pub(super) from: u64,
    /// … and before here.
    pub(super) until: u64,
    pub(super) count: u64,
    /// How many of the lines are homes.
    pub(super) homes: u64,
    pub(super) lines: u64,
    pub(super) lines_check: u64,
    pub(super) fences_check: u64,
    /// Over the checksums of all blocks.
    pub(super) blocks_check: u64,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_USED] {
        let mut bytes = [0; HEADER_USED];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.ledger_id);
        let Self { number, from, until, count, homes, lines, .. } = *self;
        let checks = [self.lines_check, self.fences_check, self.blocks_check];
        let numbers = [number, from, until, count, homes, lines].into_iter().chain(checks);
        for (bytes, number) in bytes[24..96].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            *bytes = number.to_le_bytes();
        }
        let check = xxh3_64(&bytes[..96]);
        bytes[96..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The bytes to write, and the checksum that tells this run from any other.
    pub(super) fn sealed(&self) -> ([u8; HEADER_USED], u64) {
        let bytes = self.encode();
        (bytes, xxh3_64(&bytes[..96]))
    }

    fn decode(bytes: &[u8; HEADER_USED]) -> Option<(Self, u64)> {
        let mut take = Take(bytes);
        let magic = take.array::<8>()? == MAGIC;
        let ledger_id = take.array()?;
        let mut next = || take.u64();
        let (number, from, until, count) = (next()?, next()?, next()?, next()?);
        let (homes, lines) = (next()?, next()?);
        let (lines_check, fences_check, blocks_check) = (next()?, next()?, next()?);
        let header = Self {
            ledger_id,
            number,
            from,
            until,
            count,
            homes,
            lines,
            lines_check,
            fences_check,
            blocks_check,
        };
        let check = next()?;
        let sound = header.from < header.until && header.until.is_multiple_of(8);
        (magic && sound && check == xxh3_64(&bytes[..96])).then_some((header, check))
    }

    fn blocks(&self) -> u64 {
        self.count.div_ceil(IN_BLOCK as u64)
    }

    /// Where the lines begin; they follow the blocks.
    pub(super) fn lines_at(&self) -> u64 {
        HEADER as u64 + self.blocks() * BLOCK as u64
    }

    /// Where the fences begin; they follow the lines.
    pub(super) fn fences_at(&self) -> u64 {
        self.lines_at() + self.lines * LINE_BYTES as u64
    }

    /// How long the file is, if any file can be so long.
    fn length(&self) -> Option<u64> {
        let blocks = self.blocks().checked_mul(BLOCK as u64 + 8)?;
        let lines = self.lines.checked_mul(LINE_BYTES as u64)?;
        (HEADER as u64).checked_add(blocks)?.checked_add(lines)
    }
}

/// The checksum of block `block` of a run, over all that follows it.
pub(super) fn block_check(header: &Header, block: u64, bytes: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(&header.ledger_id, header.number ^ block.rotate_left(32));
    xxh3_64_with_seed(&bytes[BEFORE_ENTRIES..BLOCK], seed)
}

/// A run that is open.
pub(in crate::journal) struct Run {
    header: Header,
    check: u64,
    file: Arc<dyn DiskFile>,
    lines: Lines,
    /// The print of each block's first entry.
    fences: Vec<Print>,
}

impl Run {
    pub(super) fn new(
        header: Header,
        file: Arc<dyn DiskFile>,
        lines: Lines,
        fences: Vec<Print>,
    ) -> Self {
        Self { header, check: header.sealed().1, file, lines, fences }
    }

    /// Opens the run that is called `name`, and reads what of it is kept in memory.
    ///
    /// # Errors
    /// If it is missing, another one, or damaged there.
    pub(super) fn open(shelf: &Shelf, name: RunName) -> Result<Self, StoreError> {
        let path = shelf.path(name.number);
        let file = shelf.disk.open_to_read(&path)?;
        let corrupt = |offset, what: &str| corrupt(&path, offset, what);
        let length = file.len()?;
        let mut bytes = [0; HEADER_USED];
        if length < HEADER as u64 {
            return Err(corrupt(0, "the run is cut short"));
        }
        file.read_at(&mut bytes, 0)?;
        let header = Header::decode(&bytes).filter(|(header, check)| {
            let this = RunName { number: header.number, check: *check };
            this == name && header.ledger_id == shelf.ledger_id && header.length() == Some(length)
        });
        let Some((header, _)) = header else {
            return Err(corrupt(0, "this is not the run that the snapshot names"));
        };
        let mut lines = Lines::with_room(header.homes, header.lines as usize);
        let (at, end) = (header.lines_at(), header.fences_at());
        let check = in_pieces(&*file, at, end, |piece| lines.add_bytes(piece))?;
        if check != header.lines_check {
            return Err(corrupt(at, "the checksum of its lines does not fit"));
        }
        let mut fences = Vec::with_capacity(header.blocks() as usize);
        let check = in_pieces(&*file, end, length, |piece| {
            let prints = piece.as_chunks::<8>().0.iter().copied().map(u64::from_le_bytes);
            fences.extend(prints.map(Print::from_bits));
        })?;
        if check != header.fences_check {
            return Err(corrupt(end, "the checksum of its fences does not fit"));
        }
        Ok(Self::new(header, file, lines, fences))
    }

    pub(in crate::journal) fn name(&self) -> RunName {
        RunName { number: self.header.number, check: self.check }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// All keys of records before here are in it, or in the runs before it.
    pub(super) fn until(&self) -> u64 {
        self.header.until
    }

    pub(super) fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Adds the positions that stand under `print` to `found`. Mostly memory alone says that
    /// there are none.
    ///
    /// # Errors
    /// If a block cannot be read or is damaged: then nobody knows.
    pub(super) fn find(&self, print: Print, found: &mut Vec<u64>) -> Result<(), StoreError> {
        if !self.lines.may_have(print) {
            return Ok(());
        }
        // Those under one print may fill several blocks, the first of them from its middle on.
        let from = self.fences.partition_point(|first| *first < print).saturating_sub(1);
        let mut bytes = [0; BLOCK];
        for (block, first) in self.fences.iter().enumerate().skip(from) {
            if *first > print {
                break;
            }
            self.file.read_at(&mut bytes, block_at(block as u64))?;
            let entries = self.entries(block as u64, &bytes)?;
            let start = entries.partition_point(|bytes| Entry::from_bytes(bytes).print() < print);
            let here = entries[start..].iter().map(Entry::from_bytes);
            found.extend(here.take_while(|entry| entry.print() == print).map(Entry::position));
        }
        Ok(())
    }

    /// The entries in the bytes of block `block`.
    fn entries<'a>(
        &self,
        block: u64,
        bytes: &'a [u8],
    ) -> Result<&'a [[u8; Entry::BYTES]], StoreError> {
        let check = bytes.first_chunk().copied().map(u64::from_le_bytes);
        if check != Some(block_check(&self.header, block, bytes)) {
            return Err(self.corrupt(block, "the checksum of a block of keys does not fit"));
        }
        let left = self.header.count - block * IN_BLOCK as u64;
        let here = left.min(IN_BLOCK as u64) as usize;
        Ok(&bytes[BEFORE_ENTRIES..].as_chunks().0[..here])
    }

    pub(super) fn corrupt(&self, block: u64, what: &str) -> StoreError {
        corrupt(self.file.path(), block_at(block), what)
    }

    /// All entries, in their order, from the disk.
    pub(super) fn read(self: &Arc<Self>) -> RunEntries {
        RunEntries {
            run: self.clone(),
            next_block: 0,
            bytes: Vec::new(),
            ready: Vec::new(),
            at: 0,
            last: None,
            checks: Xxh3::new(),
        }
    }
}

/// A run that is read from its first entry to its last.
pub(super) struct RunEntries {
    run: Arc<Run>,
    next_block: u64,
    bytes: Vec<u8>,
    ready: Vec<Entry>,
    at: usize,
    last: Option<Entry>,
    checks: Xxh3,
}

impl RunEntries {
    /// The entry that comes next.
    ///
    /// # Errors
    /// If a block cannot be read, or the run is not what was written.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        if self.at == self.ready.len() && !self.fill()? {
            return Ok(None);
        }
        let entry = self.ready[self.at];
        if self.last.is_some_and(|last| last >= entry) {
            return Err(self.run.corrupt(self.next_block - 1, "its keys are not in their order"));
        }
        self.at += 1;
        self.last = Some(entry);
        Ok(Some(entry))
    }

    fn fill(&mut self) -> Result<bool, StoreError> {
        let run = &self.run;
        let left = run.header.blocks() - self.next_block;
        if left == 0 {
            if self.checks.digest() != run.header.blocks_check {
                return Err(run.corrupt(0, "its blocks are not those that were written"));
            }
            return Ok(false);
        }
        let blocks = left.min((PIECE / BLOCK) as u64);
        self.bytes.resize(blocks as usize * BLOCK, 0);
        run.file.read_at(&mut self.bytes, block_at(self.next_block))?;
        self.ready.clear();
        self.at = 0;
        for bytes in self.bytes.chunks(BLOCK) {
            let entries = run.entries(self.next_block, bytes)?;
            self.checks.update(&bytes[..BEFORE_ENTRIES]);
            self.ready.extend(entries.iter().map(Entry::from_bytes));
            self.next_block += 1;
        }
        Ok(true)
    }
}

fn block_at(block: u64) -> u64 {
    HEADER as u64 + block * BLOCK as u64
}

/// Reads a file from `at` to `end` and gives the checksum of that.
fn in_pieces(
    file: &dyn DiskFile,
    mut at: u64,
    end: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<u64, StoreError> {
    let mut check = Xxh3::new();
    let mut piece = Vec::new();
    while at < end {
        piece.resize((end - at).min(PIECE as u64) as usize, 0);
        file.read_at(&mut piece, at)?;
        check.update(&piece);
        each(&piece);
        at += piece.len() as u64;
    }
    Ok(check.digest())
}

fn corrupt(path: &Path, offset: u64, what: &str) -> StoreError {
    let what = format!("{what}; without the snapshots a start makes the runs anew");
    StoreError::Corrupt { path: path.to_owned(), offset, what }
}
