//! The newest keys, in memory: 65,536 small tables in groups that grow one by one, so growing never
//! stalls the teller for long, and where a key's slot is follows from its print alone.
//!
//! A full window is frozen: it stays readable as it is until all of it stands in a run.

use super::entry::{Entry, KeySum, Print, slot_position, slot_tag};

/// How many tables there are.
pub(super) const SHARDS: usize = 1 << 16;
/// So many of them have the same length and lie one behind the other.
const GROUP: usize = 1 << 8;
/// How many slots a table has at first.
const SHORTEST: usize = 8;

/// The tables. An empty slot is 0, which no record's position is.
pub(in crate::journal) struct Window {
    groups: Vec<Group>,
    /// How many slots of each table are used.
    used: Vec<u32>,
    len: usize,
    /// How many slots a table gets with its first key.
    first: usize,
}

#[derive(Clone, Default)]
struct Group {
    /// How many slots each table has: a power of two, or none.
    width: usize,
    slots: Vec<u64>,
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
        Self {
            groups: vec![Group::default(); SHARDS / GROUP],
            used: vec![0; SHARDS],
            len: 0,
            first: SHORTEST,
        }
    }

    /// An empty window that will become as full as `other`, and so need not grow to its size again.
    pub(super) fn as_large_as(other: &Self) -> Self {
        let widest =
            |width: usize| other.groups.iter().filter(|group| group.width >= width).count();
        let mut first = SHORTEST;
        while widest(2 * first) > SHARDS / GROUP / 2 {
            first *= 2;
        }
        Self { first, ..Self::new() }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the positions that stand under `print` to `found`.
    pub(super) fn find(&self, print: Print, found: &mut Vec<u64>) {
        let tag = print.tag();
        let slots = probe(self.table(print.shard()), tag).take_while(|slot| *slot != 0);
        found.extend(slots.filter(|slot| slot_tag(*slot) == tag).map(slot_position));
    }

    /// Takes `entry` in. To take it in twice is as to take it in once.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.restore(entry.print().shard(), entry.slot());
    }

    /// Takes `slot` of shard `shard` in, as [`slots`](Self::slots) gave it.
    pub(super) fn restore(&mut self, shard: usize, slot: u64) {
        assert!(slot != 0, "an empty slot is none");
        let (group, used) = (&mut self.groups[shard / GROUP], &mut self.used[shard]);
        // A little is always free, so that a search ends.
        if (*used as usize + 1) * 16 > group.width * 15 {
            group.grow(self.first);
        }
        if put(group.table_mut(shard % GROUP), slot) {
            *used += 1;
            self.len += 1;
        }
    }

    /// The used slots of shard `shard`.
    pub(in crate::journal) fn slots(&self, shard: usize) -> impl Iterator<Item = u64> {
        self.table(shard).iter().copied().filter(|slot| *slot != 0)
    }

    /// How many slots of shard `shard` are used.
    pub(in crate::journal) fn used(&self, shard: usize) -> usize {
        self.used[shard] as usize
    }

    /// All entries in their order.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Entry> {
        (0..SHARDS).flat_map(|shard| {
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

    /// Reads what [`find`](Self::find) reads first.
    pub(super) fn touch(&self, print: Print) -> u64 {
        let table = self.table(print.shard());
        table.get(place(table, print.tag())).copied().unwrap_or(0)
    }

    fn table(&self, shard: usize) -> &[u64] {
        let Group { width, slots } = &self.groups[shard / GROUP];
        slots.get(shard % GROUP * width..).and_then(|from| from.get(..*width)).unwrap_or_default()
    }

    /// The shards that may have something, in their order.
    pub(super) fn shards(&self) -> impl Iterator<Item = usize> {
        let made = self.groups.iter().enumerate().filter(|(_, group)| group.width > 0);
        made.flat_map(|(nth, _)| nth * GROUP..(nth + 1) * GROUP)
    }
}

impl Group {
    fn table_mut(&mut self, nth: usize) -> &mut [u64] {
        &mut self.slots[nth * self.width..][..self.width]
    }

    /// Makes each table twice as long, or gives it its `first` slots.
    fn grow(&mut self, first: usize) {
        let width = if self.width == 0 { first } else { 2 * self.width };
        let mut grown = Self { width, slots: vec![0; GROUP * width] };
        for (nth, table) in self.slots.chunks(self.width.max(1)).enumerate() {
            for slot in table.iter().filter(|slot| **slot != 0) {
                put(grown.table_mut(nth), *slot);
            }
        }
        *self = grown;
    }
}

/// Where the search for `tag` begins.
fn place(table: &[u64], tag: u64) -> usize {
    tag as usize & table.len().wrapping_sub(1)
}

/// The slots from the place of `tag` on, once around.
fn probe(table: &[u64], tag: u64) -> impl Iterator<Item = u64> {
    let start = if table.is_empty() { 0 } else { place(table, tag) };
    table[start..].iter().chain(&table[..start]).copied()
}

/// Puts `slot` into its place; false if it is there already.
fn put(table: &mut [u64], slot: u64) -> bool {
    let mut at = place(table, slot_tag(slot));
    while table[at] != 0 {
        if table[at] == slot {
            return false;
        }
        at = (at + 1) & (table.len() - 1);
    }
    table[at] = slot;
    true
}
