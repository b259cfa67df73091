//! Where an account's entries stand in the journal: the trail that leads through its history.
//!
//! Sixteen entries make a [`Block`], which is written into the journal right after the sixteenth.
//! A block points to the one before and, as in a skew-binary random-access list (Myers, 1983), to
//! one farther back, so any entry is found by number, time or rank in O(log n) reads. Memory holds
//! the entries since the last block and the roots of that list: O(log n) an account.

use tongjang_core::{Direction, Timestamp};

use super::tail::Tail;

/// How many entries a block covers.
pub(super) const BLOCK: u64 = 16;

/// A block as others point to it: where it is, and how far the account had come at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct BlockRef {
    /// Its number: block n ends with entry 16 n. 0 stands for no block.
    pub(super) number: u64,
    /// Its position in the journal.
    pub(super) position: u64,
    /// When its last entry was booked.
    pub(super) end: Timestamp,
    /// How many of the account's entries up to its end are credits.
    pub(super) credits: u64,
}

/// Sixteen entries of an account, and the way to those before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    /// The account's place in the table.
    pub(super) slot: u32,
    /// Its own number, end and credits; the position is only known once it is written.
    pub(super) this: BlockRef,
    /// The block before.
    pub(super) previous: BlockRef,
    /// A block farther back: the root after this one's tree.
    pub(super) jump: BlockRef,
    /// The nearest block before that has an entry of each direction, so that the few entries of
    /// one direction among many of the other are found without looking at those.
    pub(super) with: ByDirection,
    /// Which entries are credits, the first in the lowest bit.
    pub(super) credit_mask: u16,
    /// Where the entries stand.
    pub(super) positions: [u64; BLOCK as usize],
}

/// A block for each direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct ByDirection {
    pub(super) credit: BlockRef,
    pub(super) debit: BlockRef,
}

/// What memory holds of an account's history.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Trail {
    /// The blocks at the roots of the list, the newest last. The last is always the newest block.
    roots: Vec<BlockRef>,
    /// The entries since the newest block.
    tail: Tail,
    /// The newest block that has an entry of each direction, unless that is the newest for both,
    /// as it mostly is.
    with: Option<Box<ByDirection>>,
}

impl Trail {
    /// Takes in the account's next entry. After the sixteenth the block of them is returned; it
    /// is to be written at once, and [`sealed`](Self::sealed) told where.
    pub(super) fn push(
        &mut self,
        slot: u32,
        position: u64,
        direction: Direction,
        booked_at: Timestamp,
        credits: u64,
    ) -> Option<Block> {
        let positions = self.tail.push(position, direction)?;
        let previous = self.newest();
        let number = previous.number + 1;
        Some(Block {
            slot,
            this: BlockRef { number, position: 0, end: booked_at, credits },
            previous,
            jump: self.jump_of_next(),
            with: self.with(),
            credit_mask: self.tail.credits(),
            positions,
        })
    }

    /// The block that `push` returned was written at `block.position`.
    pub(super) fn sealed(&mut self, block: BlockRef) {
        let ByDirection { mut credit, mut debit } = self.with();
        if self.tail.credits() != 0 {
            credit = block;
        }
        if self.tail.credits() != u16::MAX {
            debit = block;
        }
        self.with =
            (credit != block || debit != block).then(|| Box::new(ByDirection { credit, debit }));
        if self.mergeable() {
            self.roots.truncate(self.roots.len() - 2);
        }
        self.roots.push(block);
        self.tail = Tail::default();
    }

    /// The newest block, or the default if there is none.
    pub(super) fn newest(&self) -> BlockRef {
        self.roots.last().copied().unwrap_or_default()
    }

    /// The roots' blocks, the newest first.
    pub(super) fn roots(&self) -> impl Iterator<Item = BlockRef> {
        self.roots.iter().rev().copied()
    }

    /// The entries after the newest block.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The newest block that has an entry of each direction.
    pub(super) fn with(&self) -> ByDirection {
        let newest = self.newest();
        self.with.as_deref().copied().unwrap_or(ByDirection { credit: newest, debit: newest })
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> u64 {
        self.newest().number * BLOCK + self.tail.len() as u64
    }

    /// Reads of each line of a cache that it takes, for who wants them at hand.
    pub(super) fn touch(&self) -> u64 {
        self.roots.len() as u64
            ^ self.tail.len() as u64
            ^ u64::from(self.tail.credits())
            ^ self.tail.get(0)
            ^ u64::from(self.with.is_some())
    }

    /// For a snapshot: each root's tree size and block, the oldest first.
    pub(super) fn parts(&self) -> impl ExactSizeIterator<Item = (u64, BlockRef)> {
        self.roots.iter().enumerate().map(|(nth, block)| (self.size_of(nth), *block))
    }

    /// From a snapshot.
    pub(super) fn from_parts(
        roots: Vec<(u64, BlockRef)>,
        tail: &[u64],
        credits: u16,
        with: ByDirection,
    ) -> Option<Self> {
        let mut before = 0;
        for (size, block) in &roots {
            before += size;
            if block.number != before || *size == 0 {
                return None;
            }
        }
        let mut trail = Self { tail: Tail::of(tail, credits)?, ..Self::default() };
        trail.roots = roots.into_iter().map(|(_, block)| block).collect();
        trail.with = (trail.with() != with).then(|| Box::new(with));
        Some(trail)
    }

    /// How many blocks the tree of the `nth` root has: those since the root before.
    fn size_of(&self, nth: usize) -> u64 {
        let before = nth.checked_sub(1).map_or(0, |before| self.roots[before].number);
        self.roots[nth].number - before
    }

    /// Whether the two newest trees have the same size: then the next block goes on top of both.
    fn mergeable(&self) -> bool {
        let roots = self.roots.len();
        roots >= 2 && self.size_of(roots - 1) == self.size_of(roots - 2)
    }

    fn jump_of_next(&self) -> BlockRef {
        let under = if self.mergeable() { 3 } else { 1 };
        let index = self.roots.len().checked_sub(under);
        index.map(|index| self.roots[index]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn walked(entries: u64) -> (Trail, HashMap<u64, Block>) {
        let (mut trail, mut blocks) = (Trail::default(), HashMap::new());
        for number in 1..=entries {
            let direction = if number % 3 == 0 { Direction::Credit } else { Direction::Debit };
            let at = Timestamp::from_micros(number as i64 * 10);
            if let Some(block) = trail.push(7, number * 8, direction, at, number / 3) {
                let position = 1_000_000 + block.this.number;
                trail.sealed(BlockRef { position, ..block.this });
                blocks.insert(position, block);
            }
        }
        (trail, blocks)
    }

    #[test]
    fn every_block_is_reached_in_logarithmic_steps() {
        let (trail, blocks) = walked(16 * 5000 + 3);
        assert_eq!(trail.count(), 16 * 5000 + 3);
        assert_eq!(trail.tail().len(), 3);
        for target in 1..=5000u64 {
            let start = trail.roots().take_while(|root| root.number >= target).last().unwrap();
            let (mut at, mut steps) = (start, 0);
            while at.number != target {
                let block = &blocks[&at.position];
                at = if block.jump.number >= target { block.jump } else { block.previous };
                steps += 1;
            }
            assert!(steps <= 26, "{steps} steps to block {target}");
        }
    }

    #[test]
    fn a_block_tells_its_entries_and_neighbours() {
        let (_, blocks) = walked(64);
        let block = &blocks[&1_000_003];
        assert_eq!((block.previous.number, block.this.number), (2, 3));
        assert_eq!(block.positions[0], 33 * 8);
        assert_eq!(block.this.end, Timestamp::from_micros(480));
        assert_eq!(block.this.credits, 16);
        let credits = (33..=48u64).filter(|number| number % 3 == 0);
        let mask = credits.fold(0u16, |mask, number| mask | 1 << (number - 33));
        assert_eq!(block.credit_mask, mask);
    }

    #[test]
    fn the_nearest_block_of_a_direction_is_known() {
        let mut trail = Trail::default();
        for number in 1..=16 * 40u64 {
            let credit = number == 35;
            let direction = if credit { Direction::Credit } else { Direction::Debit };
            let credits = u64::from(number >= 35);
            let at = Timestamp::from_micros(number as i64);
            if let Some(block) = trail.push(0, number * 8, direction, at, credits) {
                let expected = if block.this.number > 3 { 3 } else { 0 };
                assert_eq!(block.with.credit.number, expected);
                assert_eq!(block.with.debit, block.previous);
                trail.sealed(BlockRef { position: block.this.number, ..block.this });
            }
        }
    }

    #[test]
    fn a_trail_comes_back_from_its_parts() {
        for entries in [0, 1, 15, 16, 17, 160, 1000] {
            let (trail, _) = walked(entries);
            let parts = trail.parts().collect();
            let tail: Vec<u64> = trail.tail().iter().collect();
            let again = Trail::from_parts(parts, &tail, trail.tail().credits(), trail.with());
            assert_eq!(again.as_ref(), Some(&trail));
        }
        assert_eq!(Trail::from_parts(vec![], &[8], 2, ByDirection::default()), None);
        let three = vec![(3, BlockRef::default())];
        assert_eq!(Trail::from_parts(three, &[], 0, ByDirection::default()), None);
    }
}
