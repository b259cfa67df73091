//! The newest keys, in memory: 65,536 small tables that grow one by one, so growing never stalls
//! the teller.
//!
//! A full window is frozen: it stays readable as it is until all of it stands in a run.

use super::entry::{Entry, KeySum, Print, slot_position, slot_tag};

/// How many tables there are.
pub(super) const SHARDS: usize = 1 << 16;
/// They are made so many at once, when the first of them is needed.
const GROUP: usize = 1 << 8;
const SMALLEST: usize = 8;

/// The tables. An empty slot is 0, which no record's position is.
pub(in crate::journal) struct Window {
    groups: Vec<Option<Box<[Shard]>>>,
    len: usize,
}

#[derive(Clone, Default)]
struct Shard {
    /// As many as a power of two, or none.
    slots: Vec<u64>,
    used: usize,
}

/// A window that takes no more in, and the journal whose keys it holds.
pub(in crate::journal) struct Frozen {
    pub(in crate::journal) window: Window,
    /// All keys of records from here on …
    pub(super) from: u64,
    /// … and before here.
    pub(super) until: u64,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { groups: vec![None; SHARDS / GROUP], len: 0 }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the positions that stand under `print` to `found`.
    pub(super) fn find(&self, print: Print, found: &mut Vec<u64>) {
        let tag = print.tag();
        let Some(shard) = self.shard(print.shard()) else { return };
        let slots = shard.probe(tag).take_while(|slot| *slot != 0);
        found.extend(slots.filter(|slot| slot_tag(*slot) == tag).map(slot_position));
    }

    /// Takes `entry` in. To take it in twice is as to take it in once.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.restore(entry.print().shard(), entry.slot());
    }

    /// Takes `slot` of shard `shard` in, as [`slots`](Self::slots) gave it.
    pub(super) fn restore(&mut self, shard: usize, slot: u64) {
        let group = &mut self.groups[shard / GROUP];
        let group = group.get_or_insert_with(|| vec![Shard::default(); GROUP].into());
        self.len += usize::from(group[shard % GROUP].insert(slot));
    }

    /// The used slots of shard `shard`.
    pub(in crate::journal) fn slots(&self, shard: usize) -> impl Iterator<Item = u64> {
        let slots = self.shard(shard).map(|shard| &shard.slots[..]).unwrap_or_default();
        slots.iter().copied().filter(|slot| *slot != 0)
    }

    /// How many slots of shard `shard` are used.
    pub(in crate::journal) fn used(&self, shard: usize) -> usize {
        self.shard(shard).map_or(0, |shard| shard.used)
    }

    /// All entries in their order.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Entry> {
        self.shards().flat_map(|shard| {
            let mut slots: Vec<u64> = self.slots(shard).collect();
            slots.sort_unstable();
            slots.into_iter().map(move |slot| Entry::of_slot(shard, slot))
        })
    }

    /// Adds all entries to `sum`.
    pub(super) fn add_to(&self, sum: &mut KeySum) {
        for shard in self.shards() {
            self.slots(shard).for_each(|slot| sum.add(Entry::of_slot(shard, slot)));
        }
    }

    /// Reads what [`find`](Self::find) reads first, of all prints before it reads what comes next.
    pub(super) fn touch(&self, prints: impl Iterator<Item = Print> + Clone) -> u64 {
        let shards = prints.clone().filter_map(|print| self.shard(print.shard()));
        let heads = shards.fold(0, |sum, shard| sum ^ shard.slots.len());
        prints.fold(heads as u64, |sum, print| {
            let Some(shard) = self.shard(print.shard()) else { return sum };
            sum ^ shard.slots.get(shard.place(print.tag())).copied().unwrap_or(0)
        })
    }

    fn shard(&self, shard: usize) -> Option<&Shard> {
        self.groups[shard / GROUP].as_ref().map(|group| &group[shard % GROUP])
    }

    /// The shards that may have something, in their order.
    pub(super) fn shards(&self) -> impl Iterator<Item = usize> {
        let made = self.groups.iter().enumerate().filter(|(_, group)| group.is_some());
        made.flat_map(|(nth, _)| nth * GROUP..(nth + 1) * GROUP)
    }
}

impl Shard {
    /// Where the search for `tag` begins.
    fn place(&self, tag: u64) -> usize {
        tag as usize & self.slots.len().wrapping_sub(1)
    }

    /// The slots from the place of `tag` on, once around.
    fn probe(&self, tag: u64) -> impl Iterator<Item = u64> {
        let start = if self.slots.is_empty() { 0 } else { self.place(tag) };
        self.slots[start..].iter().chain(&self.slots[..start]).copied()
    }

    fn insert(&mut self, slot: u64) -> bool {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let grown = (self.slots.len() * 2).max(SMALLEST);
            let old = std::mem::replace(&mut self.slots, vec![0; grown]);
            for slot in old.into_iter().filter(|slot| *slot != 0) {
                self.put(slot);
            }
        }
        let new = self.put(slot);
        self.used += usize::from(new);
        new
    }

    /// Puts `slot` into its place; false if it is there already.
    fn put(&mut self, slot: u64) -> bool {
        let mut at = self.place(slot_tag(slot));
        while self.slots[at] != 0 {
            if self.slots[at] == slot {
                return false;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = slot;
        true
    }
}
