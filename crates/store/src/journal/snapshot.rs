//! Snapshots: the accounts, keys and time marks in a file of their own, so that a start need not
//! read the whole journal. Of keys it names the runs that hold them, and has the rest itself.
//!
//! A snapshot is taken piece by piece while the teller goes on, so each account in it says from
//! which event on it is to be led on. It is only used when its checksum is right; when none is,
//! the journal alone is enough.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tongjang_core::account::Standing;
use tongjang_core::{Account, Balance, Hash, Status, Timestamp};
use xxhash_rust::xxh3::Xxh3;

use super::bytes::{Take, put_int, put_uint};
use super::frame::Mark;
use super::keys::{KeyIndex, RunName, Shelf, Window};
use super::record::{put_facts, take_facts};
use super::replay::{Keys, Replay};
use super::trail::{BlockRef, ByDirection, Trail};
use super::view::{Seat, TimeMark};
use crate::StoreError;
use crate::disk::{Disk, DiskFile};

const MAGIC: [u8; 8] = *b"TJSNAP\0\x02";
/// Version 1 named no runs: all keys were in the snapshot.
const WITHOUT_RUNS: [u8; 8] = *b"TJSNAP\0\x01";
/// Magic, ledger id, length and checksum of the rest.
const HEADER: usize = 40;
const PIECE: usize = 1 << 20;
/// No item of a snapshot but a shard of keys is longer.
const LONGEST_ITEM: usize = 64 * 1024;
const KEPT: usize = 2;
/// An account with some history takes a little more in a snapshot: room for all is made at once.
const USUAL_ACCOUNT: u64 = 240;

const ACCOUNT: u8 = 1;
const KEYS: u8 = 2;
const TIME: u8 = 3;
const RUN: u8 = 4;
const END: u8 = 0xff;

/// Appends an account that is as of the event before `from_event`.
pub(super) fn put_account(out: &mut Vec<u8>, seat: &Seat, from_event: u64) {
    let (account, trail) = (&seat.account, &seat.trail);
    let at = account.standing();
    out.push(ACCOUNT);
    put_uint(out, from_event);
    put_facts(out, account.opened());
    out.push(at.status.byte());
    for sum in [at.credit_total, at.debit_total, at.held, at.overdraft_limit] {
        put_int(out, sum.minor());
    }
    for count in [at.entry_count, at.credit_count, at.version] {
        put_uint(out, count);
    }
    out.extend_from_slice(at.head_hash.bytes());
    out.extend_from_slice(&at.last_booked_at.micros().to_le_bytes());
    put_uint(out, trail.parts().len() as u64);
    for (size, block) in trail.parts() {
        put_uint(out, size);
        put_block_ref(out, block);
    }
    put_block_ref(out, trail.with().credit);
    put_block_ref(out, trail.with().debit);
    put_uint(out, trail.tail().len() as u64);
    out.extend_from_slice(&trail.tail().credits().to_le_bytes());
    trail.tail().iter().for_each(|position| put_uint(out, position));
}

fn put_block_ref(out: &mut Vec<u8>, block: BlockRef) {
    put_uint(out, block.number);
    put_uint(out, block.position);
    put_uint(out, block.credits);
    out.extend_from_slice(&block.end.micros().to_le_bytes());
}

fn take_block_ref(take: &mut Take<'_>) -> Option<BlockRef> {
    let (number, position, credits) = (take.uint()?, take.uint()?, take.uint()?);
    let end = Timestamp::from_micros(take.i64()?);
    Some(BlockRef { number, position, end, credits })
}

fn take_account(take: &mut Take<'_>) -> Option<(Seat, u64)> {
    let from_event = take.uint()?;
    let opened = Arc::new(take_facts(take)?);
    let status = Status::from_byte(take.byte()?)?;
    let mut sum = || take.int().map(Balance::new);
    let (credit_total, debit_total, held, overdraft_limit) = (sum()?, sum()?, sum()?, sum()?);
    let (entry_count, credit_count, version) = (take.uint()?, take.uint()?, take.uint()?);
    let head_hash = Hash::from_bytes(take.array()?);
    let last_booked_at = Timestamp::from_micros(take.i64()?);
    let standing = Standing {
        status,
        credit_total,
        debit_total,
        held,
        overdraft_limit,
        entry_count,
        credit_count,
        head_hash,
        last_booked_at,
        version,
    };
    let mut roots = Vec::new();
    for _ in 0..take.uint()? {
        let size = take.uint()?;
        roots.push((size, take_block_ref(take)?));
    }
    let (credit, debit) = (take_block_ref(take)?, take_block_ref(take)?);
    let tail_len = take.uint()?;
    let mask = take.array().map(u16::from_le_bytes)?;
    let tail = (0..tail_len).map(|_| take.uint()).collect::<Option<Vec<u64>>>()?;
    let trail = Trail::from_parts(roots, &tail, mask, ByDirection { credit, debit })?;
    let account = Account::at(opened, standing)?;
    (trail.count() == entry_count).then_some((Seat { account, trail }, from_event))
}

/// Appends shard `shard` of the keys of `window`.
pub(super) fn put_keys(out: &mut Vec<u8>, window: &Window, shard: usize) {
    if window.used(shard) == 0 {
        return;
    }
    out.push(KEYS);
    put_uint(out, shard as u64);
    put_uint(out, window.used(shard) as u64);
    window.slots(shard).for_each(|slot| out.extend_from_slice(&slot.to_le_bytes()));
}

/// A snapshot that is being written. Dropped before [`finish`](Self::finish), it is nothing.
pub(super) struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Arc<dyn DiskFile>,
    temporary: PathBuf,
    shelf: Arc<Shelf>,
    /// Where the runs stand that it names.
    runs: Vec<PathBuf>,
    from: Mark,
    ledger_id: [u8; 16],
    offset: u64,
    check: Xxh3,
}

impl SnapshotWriter {
    /// Begins a snapshot in `dir` with which the journal is to be read from `from` on. All its
    /// keys are in `runs`, which stand on `shelf`, or will be written.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        ledger_id: [u8; 16],
        from: Mark,
        earliest: Timestamp,
        (shelf, runs): (Arc<Shelf>, &[RunName]),
    ) -> Result<Self, StoreError> {
        let temporary = dir.join("snapshot.tmp");
        let file = disk.create(&temporary)?;
        let dir = dir.to_path_buf();
        let (offset, check) = (HEADER as u64, Xxh3::new());
        let paths = runs.iter().map(|run| shelf.path(run.number)).collect();
        let mut writer =
            Self { disk, dir, file, temporary, shelf, runs: paths, from, ledger_id, offset, check };
        let mut first = from.to_bytes().to_vec();
        first.extend_from_slice(&earliest.micros().to_le_bytes());
        for RunName { number, check } in runs {
            first.push(RUN);
            first.extend_from_slice(&number.to_le_bytes());
            first.extend_from_slice(&check.to_le_bytes());
        }
        writer.write(&first)?;
        Ok(writer)
    }

    /// Writes a piece: whole accounts and shards, one after the other.
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        self.check.update(piece);
        self.file.write_at(&[IoSlice::new(piece)], self.offset)?;
        self.offset += piece.len() as u64;
        Ok(())
    }

    /// Writes `piece` and empties it, if it is worth a write.
    pub(super) fn write_if_large(&mut self, piece: &mut Vec<u8>) -> Result<(), StoreError> {
        if piece.len() >= PIECE {
            self.write(piece)?;
            piece.clear();
        }
        Ok(())
    }

    /// Ends the snapshot: it holds nothing of `next_event` or later, and all before that must be
    /// durable by now.
    pub(super) fn finish(
        mut self,
        marks: &[TimeMark],
        next_event: u64,
    ) -> Result<PathBuf, StoreError> {
        let mut piece = Vec::new();
        let until = self.from.position;
        for mark in marks.iter().take_while(|mark| mark.position < until) {
            piece.push(TIME);
            piece.extend_from_slice(&mark.at.micros().to_le_bytes());
            piece.extend_from_slice(&mark.position.to_le_bytes());
            if piece.len() > PIECE {
                self.write(&std::mem::take(&mut piece))?;
            }
        }
        piece.push(END);
        piece.extend_from_slice(&next_event.to_le_bytes());
        self.write(&piece)?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..24].copy_from_slice(&self.ledger_id);
        header[24..32].copy_from_slice(&(self.offset - HEADER as u64).to_le_bytes());
        header[32..].copy_from_slice(&self.check.digest().to_le_bytes());
        self.file.write_at(&[IoSlice::new(&header)], 0)?;
        self.file.sync()?;
        // Without one of them it would be of no use, and push out one that may be.
        for run in &self.runs {
            if !self.disk.exists(run)? {
                let what = "a run of keys that is in use is gone".to_owned();
                return Err(StoreError::Corrupt { path: run.clone(), offset: 0, what });
            }
        }
        let path = self.dir.join(format!("snapshot-{:016x}", self.from.next_event));
        self.disk.rename(&self.temporary, &path)?;
        self.disk.sync_dir(&self.dir)?;
        // What is not needed any more takes room, and nothing else.
        if let Err(error) = self.tidy() {
            tracing::warn!(%error, "snapshots or runs that are not needed were not removed");
        }
        Ok(path)
    }

    fn tidy(&self) -> Result<(), StoreError> {
        for old in names(&*self.disk, &self.dir)?.iter().rev().skip(KEPT) {
            self.disk.remove(&self.dir.join(old))?;
        }
        sweep(&*self.disk, &self.dir, &self.shelf)
    }
}

/// Removes the runs that are not in use and that no snapshot in `dir` names.
///
/// # Errors
/// If the folder or a snapshot cannot be read, or a run not be removed.
pub(super) fn sweep(disk: &dyn Disk, dir: &Path, shelf: &Shelf) -> Result<(), StoreError> {
    let mut needed = BTreeSet::new();
    for name in names(disk, dir)? {
        needed.extend(runs_named(disk, &dir.join(name))?);
    }
    shelf.sweep(&needed)
}

/// The numbers of the runs that the snapshot at `path` names. Its checksum is not looked at: if
/// that is wrong, nobody needs them.
fn runs_named(disk: &dyn Disk, path: &Path) -> Result<BTreeSet<u64>, StoreError> {
    let file = disk.open_to_read(path)?;
    let (offset, length) = (HEADER as u64, file.len()?);
    let mut pieces = Pieces { file: &*file, offset, length, have: Vec::new() };
    pieces.fill(LONGEST_ITEM)?;
    let mut take = Take(&pieces.have);
    let mut numbers = BTreeSet::new();
    if take.slice(Mark::BYTES + 8).is_some() {
        while take.byte() == Some(RUN) {
            let Some(name) = take_run(&mut take) else { break };
            numbers.insert(name.number);
        }
    }
    Ok(numbers)
}

fn take_run(take: &mut Take<'_>) -> Option<RunName> {
    Some(RunName { number: take.u64()?, check: take.u64()? })
}

/// The names of the snapshots in `dir`, the oldest first.
pub(super) fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StoreError> {
    let mut names = disk.list(dir)?;
    names.retain(|name| name.starts_with("snapshot-") && name.len() == 25);
    names.sort();
    Ok(names)
}

/// A snapshot that was read: the ledger so far, and where to go on in the journal.
pub(super) struct Loaded {
    pub(super) replay: Replay,
    pub(super) from: Mark,
    /// All before this event was durable when the snapshot was finished.
    pub(super) next_event: u64,
}

/// Reads the snapshot at `path`, or says why it is of no use. The keys go to `keys`.
pub(super) fn load(
    disk: &dyn Disk,
    path: &Path,
    ledger_id: [u8; 16],
    (seed, keys): (u64, Keys),
) -> Result<Loaded, StoreError> {
    let file = disk.open_to_read(path)?;
    let corrupt = |offset: u64, what: &str| StoreError::Corrupt {
        path: path.to_path_buf(),
        offset,
        what: what.into(),
    };
    let length = file.len()?;
    let mut header = [0; HEADER];
    if length < HEADER as u64 {
        return Err(corrupt(0, "the snapshot is cut short"));
    }
    file.read_at(&mut header, 0)?;
    let mut take = Take(&header);
    let magic = take.array().is_some_and(|magic| [MAGIC, WITHOUT_RUNS].contains(&magic));
    let ours = magic && take.array::<16>() == Some(ledger_id);
    if !ours || take.u64() != Some(length - HEADER as u64) {
        return Err(corrupt(0, "the snapshot's header does not fit"));
    }
    let mut pieces = Pieces { file: &*file, offset: HEADER as u64, length, have: Vec::new() };
    if take.u64() != Some(checksum(&mut pieces)?) {
        return Err(corrupt(32, "the checksum does not fit"));
    }
    let mut pieces = Pieces { file: &*file, offset: HEADER as u64, length, have: Vec::new() };
    let read = read_items(&mut pieces, seed, keys)?;
    read.ok_or_else(|| corrupt(pieces.offset, "the contents make no sense"))
}

/// The file in pieces, with what is not consumed yet.
struct Pieces<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
    length: u64,
    have: Vec<u8>,
}

impl Pieces<'_> {
    /// Makes sure that `least` bytes are at hand, or all that is left.
    fn fill(&mut self, least: usize) -> Result<(), StoreError> {
        while self.have.len() < least && self.offset < self.length {
            let more = (self.length - self.offset).min(PIECE as u64) as usize;
            let start = self.have.len();
            self.have.resize(start + more, 0);
            self.file.read_at(&mut self.have[start..], self.offset)?;
            self.offset += more as u64;
        }
        Ok(())
    }
}

/// The checksum of all that is left.
fn checksum(pieces: &mut Pieces<'_>) -> Result<u64, StoreError> {
    let mut check = Xxh3::new();
    loop {
        pieces.fill(1)?;
        if pieces.have.is_empty() {
            return Ok(check.digest());
        }
        check.update(&pieces.have);
        pieces.have.clear();
    }
}

fn read_items(
    pieces: &mut Pieces<'_>,
    seed: u64,
    keys: Keys,
) -> Result<Option<Loaded>, StoreError> {
    pieces.fill(LONGEST_ITEM)?;
    let mut have = std::mem::take(&mut pieces.have);
    let mut take = Take(&have);
    let Some(from) = take.array::<{ Mark::BYTES }>().map(|bytes| Mark::from_bytes(&bytes)) else {
        return Ok(None);
    };
    let Some(earliest) = take.i64().map(Timestamp::from_micros) else { return Ok(None) };
    let mut replay = Replay::new(seed, from.next_event, keys);
    replay.not_before(earliest);
    replay.reserve(usize::try_from(pieces.length / USUAL_ACCOUNT).unwrap_or(0));
    let mut done = have.len() - take.0.len();
    loop {
        if have.len() - done < LONGEST_ITEM {
            have.drain(..done);
            done = 0;
            pieces.have = have;
            pieces.fill(LONGEST_ITEM)?;
            have = std::mem::take(&mut pieces.have);
        }
        let mut take = Take(&have[done..]);
        match take.byte() {
            Some(ACCOUNT) => {
                let Some((seat, from_event)) = take_account(&mut take) else { return Ok(None) };
                replay.restore(seat, from_event);
            }
            Some(KEYS) => {
                let (Some(shard), Some(count)) = (take.uint(), take.uint()) else {
                    return Ok(None);
                };
                let start = have.len() - take.0.len();
                let fits = shard < KeyIndex::SHARDS as u64 && count <= pieces.length / 8;
                if !fits {
                    return Ok(None);
                }
                let bytes = count as usize * 8;
                pieces.have = have;
                pieces.fill(start + bytes)?;
                have = std::mem::take(&mut pieces.have);
                let Some(slots) = have.get(start..start + bytes) else { return Ok(None) };
                if slots.as_chunks::<8>().0.contains(&[0; 8]) {
                    return Ok(None);
                }
                if let Some(keys) = replay.keys_mut() {
                    for slot in slots.as_chunks::<8>().0 {
                        keys.restore(shard as usize, u64::from_le_bytes(*slot));
                    }
                }
                done = start + bytes;
                continue;
            }
            Some(RUN) => {
                let Some(name) = take_run(&mut take) else { return Ok(None) };
                if let Some(keys) = replay.keys_mut() {
                    keys.restore_run(name)?;
                }
            }
            Some(TIME) => {
                let (Some(at), Some(position)) = (take.i64(), take.u64()) else {
                    return Ok(None);
                };
                replay.restore_mark(TimeMark { at: Timestamp::from_micros(at), position });
            }
            Some(END) => {
                let Some(next_event) = take.u64() else { return Ok(None) };
                let whole = take.0.is_empty() && pieces.offset == pieces.length;
                return Ok(whole.then_some(Loaded { replay, from, next_event }));
            }
            _ => return Ok(None),
        }
        done = have.len() - take.0.len();
    }
}
