//! The idempotency index: from a caller's key to the record that holds its outcome, for ever.
//!
//! The newest keys are in a window in memory. A full one is frozen and written as a run, and runs
//! are merged, so of most keys memory keeps less than three bytes. What is found is a perhaps:
//! whether it is really that key is seen in the record itself. Never is a key not found that was
//! noted; a lost one would be money booked twice.

mod archivist;
mod entry;
mod lines;
mod merge;
mod run;
mod run_writer;
mod shelf;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use tongjang_core::{IdempotencyKey, UserId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::archivist::{Archivist, ArchivistThread, News, Runs};
use self::entry::{Entry, Print};
use self::run::Run;
use self::run_writer::Halt;
use super::book::Durable;
use crate::StoreError;

pub(super) use self::entry::KeySum;
pub(super) use self::shelf::{RunName, Shelf};
pub(super) use self::window::{Frozen, Window};

/// How the index of idempotency keys is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeysConfig {
    /// How many keys a window has before it is sealed as a run, at least 1. Twice as many are in
    /// memory for a while, at about 14 bytes each; the rest takes less than three.
    pub window: usize,
    /// Who writes and merges runs.
    pub sealing: Sealing,
}

/// Who writes and merges runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sealing {
    /// A thread of its own, so that no commit waits for it.
    #[default]
    Background,
    /// The teller between two batches, so that a simulation does the same thing each time.
    Inline,
}

impl Default for KeysConfig {
    fn default() -> Self {
        // A hundred million keys are then in seven runs at most, and forty slots a shard fill a
        // table of 64 well.
        Self { window: 2_500_000, sealing: Sealing::default() }
    }
}

/// The index.
pub(super) struct KeyIndex {
    shelf: Arc<Shelf>,
    seed: u64,
    /// The keys since the last window was frozen.
    window: Window,
    /// A full window that is not a run yet.
    frozen: Option<Arc<Frozen>>,
    /// The oldest first. They hold all keys up to where the newest ends.
    runs: Vec<Arc<Run>>,
    /// The newest record with a key.
    newest: u64,
    /// The newest record with a key that a snapshot brought back. Others before it may be missing
    /// until the journal has led to it.
    restored: u64,
    /// If the frozen window could not be sealed: how large the next one is at the next attempt.
    retry_at: Option<usize>,
    upkeep: Upkeep,
}

enum Upkeep {
    /// Without a `durable` all that is noted comes from the journal itself.
    Inline {
        archivist: Archivist,
        durable: Option<Arc<Durable>>,
    },
    Thread(ArchivistThread),
}

/// How many bytes tell whose a key is.
const SCOPE: usize = 16;

/// A key's hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyHash(u64);

impl KeyHash {
    /// The hash of `key` of `scope`. `seed` is secret to the ledger, so that nobody can choose
    /// keys that crowd one place.
    pub(super) fn of(seed: u64, scope: UserId, key: &IdempotencyKey) -> Self {
        /// A UUID has 36.
        const USUAL: usize = 48;
        let key = key.as_str().as_bytes();
        if key.len() <= USUAL {
            Self::in_room::<{ SCOPE + USUAL }>(seed, scope, key)
        } else {
            Self::in_room::<{ SCOPE + IdempotencyKey::MAX_CHARS }>(seed, scope, key)
        }
    }

    fn in_room<const ROOM: usize>(seed: u64, scope: UserId, key: &[u8]) -> Self {
        let mut bytes = [0; ROOM];
        bytes[..SCOPE].copy_from_slice(&scope.bits().to_le_bytes());
        bytes[SCOPE..][..key.len()].copy_from_slice(key);
        Self(xxh3_64_with_seed(&bytes[..SCOPE + key.len()], seed))
    }

    fn print(self) -> Print {
        Print::of(self.0)
    }
}

/// The index at one moment, for a snapshot: all keys but those that are in the window.
pub(super) struct Kept {
    pub(super) runs: Vec<RunName>,
    pub(super) frozen: Option<Arc<Frozen>>,
}

impl KeyIndex {
    /// How many shards the window has, for those who copy it piece by piece.
    pub(super) const SHARDS: usize = window::SHARDS;

    /// An empty index whose runs are to stand on `shelf`.
    pub(super) fn new(shelf: Arc<Shelf>, seed: u64) -> Self {
        let archivist = Archivist::new(shelf.clone(), Vec::new());
        Self {
            shelf,
            seed,
            window: Window::new(),
            frozen: None,
            runs: Vec::new(),
            newest: 0,
            restored: 0,
            retry_at: None,
            upkeep: Upkeep::Inline { archivist, durable: None },
        }
    }

    /// The hash of `key` of `scope`.
    pub(super) fn hash(&self, scope: UserId, key: &IdempotencyKey) -> KeyHash {
        KeyHash::of(self.seed, scope, key)
    }

    /// The positions of the records that may hold the key with this hash: mostly none or one.
    ///
    /// # Errors
    /// If a run cannot be read where it may have the key. Nobody knows then, and nothing may be
    /// booked under it.
    pub(super) fn candidates(&self, hash: KeyHash) -> Result<Vec<u64>, StoreError> {
        let print = hash.print();
        let mut found = Vec::new();
        self.windows().for_each(|window| window.find(print, &mut found));
        for run in self.runs.iter().rev() {
            run.find(print, &mut found)?;
        }
        Ok(found)
    }

    /// Reads of the memory what [`candidates`](Self::candidates) will read first, for all hashes
    /// before it goes on to the next place. Each wait is then one of many at once.
    pub(super) fn touch(&self, hashes: &[KeyHash]) {
        let prints = hashes.iter().map(|hash| hash.print());
        let windows = self.windows().fold(0, |sum, window| {
            prints.clone().fold(sum, |sum, print| sum ^ window.touch(print))
        });
        let runs = self.runs.iter().fold(0, |sum, run| {
            prints.clone().fold(sum, |sum, print| sum ^ run.lines().touch(print))
        });
        // Only the touching counts.
        std::hint::black_box((windows, runs));
    }

    /// Notes that the key with this hash is in the record at `position`. Noting it twice is as
    /// noting it once.
    pub(super) fn insert(&mut self, hash: KeyHash, position: u64) {
        if position >= self.restored {
            self.restored = 0;
        }
        if position < self.sealed_until() {
            // It is read back from the journal, and a run has it.
            return;
        }
        self.newest = self.newest.max(position);
        self.window.insert(Entry::new(hash.print(), position));
    }

    /// Takes over what the archivist did, and freezes a full window for him. To be called between
    /// two batches: he waits until all of the window is durable, so all of it must have been
    /// `handed_over`, which says where that ends. While the window is being copied it is not
    /// `free` to be frozen.
    pub(super) fn tend(&mut self, free: bool, handed_over: u64) {
        self.hear();
        if self.frozen.is_none() && free && self.window.len() >= self.shelf.config.window.max(1) {
            let (from, until) = (self.sealed_until(), self.newest + 8);
            assert!(until <= handed_over, "a window is frozen between two batches");
            let next = Window::as_large_as(&self.window);
            let window = std::mem::replace(&mut self.window, next);
            self.frozen = Some(Arc::new(Frozen { window, from, until }));
            self.seal();
        } else if self.retry_at.is_some_and(|len| self.window.len() >= len) {
            self.seal();
        }
    }

    /// As [`tend`](Self::tend) while the journal is read back: a start need not wait for what can
    /// be done afterwards, but a whole journal's keys must not be in memory at once either.
    pub(super) fn tend_while_reading(&mut self) {
        // A snapshot's shards are as of different commits. The window has no end before the
        // journal has led to the newest of them, and what has no end cannot be sealed.
        let whole = self.restored == 0;
        if whole && self.window.len() >= self.shelf.config.window.saturating_mul(2) {
            // What is read back is durable.
            self.tend(true, u64::MAX);
        }
    }

    /// From now on what is noted is ahead of what is `durable`, and the archivist works by
    /// himself if he is to.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub(super) fn begin(&mut self, durable: Arc<Durable>) -> Result<(), StoreError> {
        let archivist = Archivist::new(self.shelf.clone(), self.runs.clone());
        self.upkeep = match self.shelf.config.sealing {
            Sealing::Inline => Upkeep::Inline { archivist, durable: Some(durable) },
            Sealing::Background => Upkeep::Thread(ArchivistThread::start(archivist, durable)?),
        };
        Ok(())
    }

    /// Lets the archivist rest: no run is written any more.
    pub(super) fn rest(&mut self) {
        if let Upkeep::Thread(thread) = &mut self.upkeep {
            thread.stop();
        }
        self.hear();
    }

    fn seal(&mut self) {
        self.retry_at = None;
        let Some(frozen) = self.frozen.clone() else { return };
        let (archivist, durable) = match &mut self.upkeep {
            Upkeep::Thread(thread) => return thread.seal(frozen),
            Upkeep::Inline { archivist, durable } => (archivist, durable),
        };
        let durable = durable.as_ref().map_or(Ok(()), |durable| durable.wait_until(frozen.until));
        let sealed = durable.map_err(Halt::from);
        match sealed.and_then(|()| archivist.seal(&frozen, &mut |_| Ok(()))) {
            Ok(()) => {
                archivist.merge_all();
                let Runs { all, merged } = archivist.hand_over();
                self.runs = all;
                merged.into_iter().for_each(|number| self.shelf.let_go(number));
                self.frozen = None;
            }
            Err(Halt::Stopped) => {}
            Err(Halt::Failed(error)) => {
                archivist::not_sealed(&error);
                self.retry_later();
            }
        }
    }

    /// Takes over what the archivist's thread did.
    fn hear(&mut self) {
        let Upkeep::Thread(thread) = &self.upkeep else { return };
        let (mut runs, mut failed) = (None, false);
        for news in thread.news() {
            match news {
                News::Runs(Runs { all, merged }) => {
                    runs = Some(all);
                    merged.into_iter().for_each(|number| self.shelf.let_go(number));
                }
                News::NotSealed => failed = true,
            }
        }
        if let Some(runs) = runs {
            let old = std::mem::replace(&mut self.runs, runs);
            let until = self.runs.last().map_or(0, |run| run.until());
            let frozen = self.frozen.take_if(|frozen| frozen.until <= until);
            thread.drop_later(old, frozen);
        }
        if failed && self.frozen.is_some() {
            self.retry_later();
        }
    }

    /// The frozen window stays as it is until the next one is half as large again.
    fn retry_later(&mut self) {
        self.retry_at = Some(self.window.len() + self.shelf.config.window.div_ceil(2));
    }

    /// All keys of records before here are in runs.
    fn sealed_until(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.until())
    }

    /// The windows, the newest first.
    pub(super) fn windows(&self) -> impl Iterator<Item = &Window> {
        let frozen = self.frozen.iter().map(|frozen| &frozen.window);
        std::iter::once(&self.window).chain(frozen)
    }

    /// The keys since the last window was frozen.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// All but the window, as it is now.
    pub(super) fn kept(&self) -> Kept {
        let runs = self.runs.iter().map(|run| run.name()).collect();
        Kept { runs, frozen: self.frozen.clone() }
    }

    /// Where the runs stand.
    pub(super) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Brings back a slot of shard `shard` of a window from a snapshot.
    pub(super) fn restore(&mut self, shard: usize, slot: u64) {
        self.restored = self.restored.max(entry::slot_position(slot));
        self.newest = self.newest.max(self.restored);
        self.window.restore(shard, slot);
    }

    /// Brings back the run called `name`, which must follow the last one.
    ///
    /// # Errors
    /// If it is missing, damaged, or another one.
    pub(super) fn restore_run(&mut self, name: RunName) -> Result<(), StoreError> {
        let run = Run::open(&self.shelf, name)?;
        if run.header().from != self.sealed_until() {
            return Err(run.corrupt(0, "it does not follow the run before"));
        }
        self.newest = self.newest.max(run.until() - 8);
        self.shelf.keep(name.number);
        self.runs.push(Arc::new(run));
        if let Upkeep::Inline { archivist, .. } = &mut self.upkeep {
            archivist.runs.clone_from(&self.runs);
        }
        Ok(())
    }

    /// All keys and their places added up. Every block of every run is read for it.
    ///
    /// # Errors
    /// If a run cannot be read, or its lines would not find its keys.
    pub(super) fn sum(&self) -> Result<KeySum, StoreError> {
        let mut sum = KeySum::default();
        self.windows().for_each(|window| window.add_to(&mut sum));
        for run in &self.runs {
            let mut entries = run.read();
            while let Some(entry) = entries.next()? {
                if !run.lines().may_have(entry.print()) {
                    return Err(run.corrupt(0, "its lines do not know one of its keys"));
                }
                sum.add(entry);
            }
        }
        Ok(sum)
    }
}

impl KeySum {
    /// Notes that the key with this hash is in the record at `position`.
    pub(super) fn insert(&mut self, hash: KeyHash, position: u64) {
        self.add(Entry::new(hash.print(), position));
    }
}
