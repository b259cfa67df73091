//! What the index keeps of a key: 41 bits of its hash and where its record stands, 80 bits in all.
//!
//! Everything below sorts by these entries, so windows and runs are merged as sorted streams.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::journal::segment::LONGEST_LOG;

/// Positions are multiples of eight below [`LONGEST_LOG`].
const POSITION_BITS: u32 = 39;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;
const _: () = assert!(LONGEST_LOG == (POSITION_MASK + 1) << 3, "every position has room");
/// What a slot of a window has left for the hash.
const TAG_BITS: u32 = 64 - POSITION_BITS;
/// The upper bits of the hash choose a shard of a window.
const SHARD_BITS: u32 = 16;
const PRINT_BITS: u32 = SHARD_BITS + TAG_BITS;

/// The upper 16 and the lower 25 bits of a key's hash: all that is ever kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Print(u64);

impl Print {
    /// Of the whole hash.
    pub(super) fn of(hash: u64) -> Self {
        let tag = hash & ((1 << TAG_BITS) - 1);
        Self((hash >> (64 - SHARD_BITS) << TAG_BITS) | tag)
    }

    /// The shard of a window, below 2^16.
    pub(super) fn shard(self) -> usize {
        (self.0 >> TAG_BITS) as usize
    }

    /// What tells keys of one shard apart.
    pub(super) fn tag(self) -> u64 {
        self.0 & ((1 << TAG_BITS) - 1)
    }

    /// The same, spread over 64 bits, and still in the same order.
    pub(super) fn spread(self) -> u64 {
        self.0 << (64 - PRINT_BITS)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// A key and its record. Entries are in the order of their prints, then of their positions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Entry(u128);

impl Entry {
    /// How many bytes it has on the disk.
    pub(super) const BYTES: usize = 10;

    pub(super) fn new(print: Print, position: u64) -> Self {
        assert!(
            position.is_multiple_of(8) && position >> 3 <= POSITION_MASK,
            "a journal below 4 TiB"
        );
        Self((u128::from(print.0) << POSITION_BITS) | u128::from(position >> 3))
    }

    /// The entry that `slot` of shard `shard` of a window stands for.
    pub(super) fn of_slot(shard: usize, slot: u64) -> Self {
        Self(((shard as u128) << 64) | u128::from(slot))
    }

    /// What a window keeps in the shard of its print: the tag and the position.
    pub(super) fn slot(self) -> u64 {
        self.0 as u64
    }

    pub(super) fn print(self) -> Print {
        Print((self.0 >> POSITION_BITS) as u64)
    }

    pub(super) fn position(self) -> u64 {
        slot_position(self.slot())
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        *self.0.to_le_bytes().first_chunk().expect("16 bytes begin with 10")
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut whole = [0; 16];
        whole[..Self::BYTES].copy_from_slice(bytes);
        Self(u128::from_le_bytes(whole))
    }
}

/// The tag in a slot.
pub(super) fn slot_tag(slot: u64) -> u64 {
    slot >> POSITION_BITS
}

/// The position in a slot.
pub(super) fn slot_position(slot: u64) -> u64 {
    (slot & POSITION_MASK) << 3
}

/// Entries added up in any order: two indexes with the same sum know the same keys at the same
/// places, unless 128 bits agree by chance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::journal) struct KeySum {
    count: u64,
    sum: u128,
}

impl KeySum {
    pub(super) fn add(&mut self, entry: Entry) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(xxh3_128_with_seed(&entry.to_bytes(), 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_from_its_bytes_and_from_its_slot() {
        for hash in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            for position in [8, 4096, POSITION_MASK << 3] {
                let print = Print::of(hash);
                let entry = Entry::new(print, position);
                assert_eq!((entry.print(), entry.position()), (print, position));
                assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
                assert_eq!(Entry::of_slot(print.shard(), entry.slot()), entry);
                assert_eq!(slot_tag(entry.slot()), print.tag());
            }
        }
    }

    #[test]
    fn entries_sort_by_shard_then_by_slot() {
        let entry = |hash, position| Entry::new(Print::of(hash), position);
        let (small, large) = (entry(1, 800), entry(1 << 48, 8));
        assert!(small < large && small.print().spread() < large.print().spread());
        assert!(entry(7, 8) < entry(7, 16) && entry(7, 16) < entry(8, 8));
    }

    #[test]
    fn a_sum_knows_neither_order_nor_another_set() {
        let entries: Vec<Entry> = (1..9).map(|n| Entry::new(Print::of(n), n * 8)).collect();
        let sum = |entries: &mut dyn Iterator<Item = Entry>| {
            let mut sum = KeySum::default();
            entries.for_each(|entry| sum.add(entry));
            sum
        };
        let all = sum(&mut entries.iter().copied());
        assert_eq!(sum(&mut entries.iter().copied().rev()), all);
        assert_ne!(sum(&mut entries.iter().copied().skip(1)), all);
        let moved = entries.iter().map(|entry| Entry::new(entry.print(), entry.position() + 8));
        assert_ne!(sum(&mut moved.into_iter()), all);
    }
}
