//! Through an account's history, from any number, time or rank, without reading what lies between.
//!
//! A rank is an entry's place among those of one direction, or its number if both are meant. All
//! rows of a page have neighbouring ranks, so every list comes down to "find rank k".

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use tongjang_core::{Direction, EntryNumber, Hash, Timestamp, chain};

use super::log_reader::LogReader;
use super::record::{self, BadRecord, Record};
use super::row::{self, Whose};
use super::scan::Scan;
use super::trail::{BLOCK, Block, BlockRef, Trail};
use super::view::{MARK_EVERY, Seat, View};
use crate::{Row, StoreError};

/// An account that has a block in so much of the journal on average is looked for there by time.
const BLOCK_EVERY: u64 = 64 * 1024;
/// The way through fewer blocks than this is short.
const FEW_BLOCKS: u64 = 64;

/// One account's history as of one moment.
pub(super) struct History<'a> {
    view: &'a View,
    log: &'a LogReader,
    whose: Whose,
    seat: Seat,
    /// The blocks read so far, by number. Ways to neighbours mostly lead over the same ones.
    blocks: RefCell<BTreeMap<u64, Rc<Block>>>,
    /// The one of them that was used last: neighbours are mostly in it.
    recent: RefCell<Option<Rc<Block>>>,
    /// Whether a block had to be waited for: then the rows will have to be, too.
    waited: Cell<bool>,
    /// The number and hash of the entry before the rows that were read last.
    before: Cell<(u64, Option<Hash>)>,
}

/// An entry that was found: its number, and where its record stands.
type Found = (u64, u64);

impl<'a> History<'a> {
    /// The history of the account at `slot`, or `None` if there is no such account.
    pub(super) fn of(view: &'a View, log: &'a LogReader, slot: u32) -> Option<Self> {
        let seat = view.seat(slot)?;
        let whose = Whose { slot, id: seat.account.id() };
        let (blocks, recent) = (RefCell::default(), RefCell::default());
        let (waited, before) = (Cell::new(false), Cell::new((0, None)));
        Some(Self { view, log, whose, seat, blocks, recent, waited, before })
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> u64 {
        self.seat.account.entry_count()
    }

    /// How many of the first `number` entries are of `direction`, or `number` itself.
    pub(super) fn rank(
        &self,
        direction: Option<Direction>,
        number: u64,
    ) -> Result<u64, StoreError> {
        if direction.is_none() || number == 0 {
            return Ok(number);
        }
        let leaf = self.leaf_with(None, number)?;
        let up_to = (1 << (number - leaf.previous().number * BLOCK)) - 1;
        let inside = leaf.mask(direction) & up_to;
        Ok(rank_of(&leaf.previous(), direction) + u64::from(inside.count_ones()))
    }

    /// The number of the entry with this rank among those of `direction`. It must exist.
    pub(super) fn number(
        &self,
        direction: Option<Direction>,
        rank: u64,
    ) -> Result<EntryNumber, StoreError> {
        let mut found = Vec::with_capacity(1);
        self.leaf_with(direction, rank)?.collect(direction, &(rank..rank + 1), &mut found);
        let number = found.first().and_then(|(number, _)| EntryNumber::new(*number));
        Ok(number.expect("a rank that exists"))
    }

    /// The row of entry `number`, which must exist.
    pub(super) fn row(&self, number: u64) -> Result<Row, StoreError> {
        let found = self.find(number)?;
        self.read(found, &[])
    }

    /// The rows with these ranks among those of `direction`, the oldest first. They must exist.
    /// However many those are, they are fetched together.
    pub(super) fn rows(
        &self,
        direction: Option<Direction>,
        ranks: Range<u64>,
    ) -> Result<Vec<Row>, StoreError> {
        let mut found = Vec::with_capacity(ranks.clone().count() + 1);
        // From the newest on, as a trail only leads backwards.
        let mut rank = ranks.end - 1;
        while rank > 0 && ranks.contains(&rank) {
            let told = found.len();
            rank = self.leaf_with(direction, rank)?.collect(direction, &ranks, &mut found);
            if self.waited.get() && ranks.contains(&rank) {
                // They are on their way while the next block is waited for.
                let positions: Vec<u64> =
                    found[told..].iter().map(|(_, position)| *position).collect();
                self.log.will_read(&positions, record::USUAL)?;
            }
        }
        // The row before is read with them, because the oldest one has to follow from it.
        let oldest = found.last().map_or(0, |(number, _)| number - 1);
        if oldest > 0 {
            found.push(self.find(oldest)?);
        }
        found.reverse();
        let mut rows = self.read_all(&found)?;
        if oldest > 0 {
            self.before.set((oldest, Some(rows.remove(0).entry.hash)));
        }
        Ok(rows)
    }

    /// How many entries were booked before `time`.
    pub(super) fn before(&self, time: Timestamp) -> Result<u64, StoreError> {
        if time <= self.seat.account.opened().opened_at {
            return Ok(0);
        }
        if time > self.seat.account.standing().last_booked_at {
            return Ok(self.count());
        }
        let leaf = match self.block_beside(time)? {
            Some(block) => Some(block),
            None => self.locate(|block| block.end >= time)?,
        };
        let leaf = leaf.map_or_else(|| self.tail(), Leaf::Block);
        let (first, positions) = (leaf.first(), leaf.positions());
        // All before index `low` were booked before, none from `high` on was.
        let (mut low, mut high) = (0, positions.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let found = (first + middle as u64, positions[middle]);
            if self.read(found, &positions[low..high])?.booked_at < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(first - 1 + low as u64)
    }

    /// Checks that each of `rows`, the oldest first, follows from the one before where that is
    /// there too, the oldest from the entry before it, and the newest entry from the account.
    pub(super) fn check(&self, rows: &[&Row]) -> Result<(), StoreError> {
        let Some(oldest) = rows.first() else { return Ok(()) };
        let number = oldest.entry.number.get();
        let mut before = match number.checked_sub(1).and_then(EntryNumber::new) {
            None => (0, chain::genesis(self.seat.account.opened())),
            Some(previous) => (number - 1, self.hash(previous.get())?),
        };
        for row in rows {
            let number = row.entry.number.get();
            let hash = chain::link(before.1, row.transaction, row.kind, row.booked_at, &row.entry);
            let linked = before.0 + 1 != number || hash == row.entry.hash;
            let head = number != self.count() || row.entry.hash == self.seat.account.head_hash();
            if !linked || !head {
                let (_, position) = self.find(number)?;
                return Err(self.corrupt(position, "an entry's hash does not follow"));
            }
            before = (number, row.entry.hash);
        }
        Ok(())
    }

    fn hash(&self, number: u64) -> Result<Hash, StoreError> {
        match self.before.get() {
            (before, Some(hash)) if before == number => Ok(hash),
            _ => self.row(number).map(|row| row.entry.hash),
        }
    }

    fn find(&self, number: u64) -> Result<Found, StoreError> {
        let leaf = self.leaf_with(None, number)?;
        Ok((number, leaf.positions()[(number - leaf.first()) as usize]))
    }

    /// The leaf that holds the entry with this rank.
    fn leaf_with(&self, direction: Option<Direction>, rank: u64) -> Result<Leaf<'_>, StoreError> {
        if rank > rank_of(&self.seat.trail.newest(), direction) {
            return Ok(self.tail());
        }
        self.block_with(direction, rank).map(Leaf::Block)
    }

    fn tail(&self) -> Leaf<'_> {
        let trail = &self.seat.trail;
        Leaf::Tail(trail, trail.tail().iter().collect())
    }

    /// The block that holds the entry with this rank.
    fn block_with(&self, direction: Option<Direction>, rank: u64) -> Result<Rc<Block>, StoreError> {
        let holds = |block: &Block| {
            rank_of(&block.previous, direction) < rank && rank <= rank_of(&block.this, direction)
        };
        if direction.is_none() {
            // Known itself, or from the block after it.
            let number = rank.div_ceil(BLOCK);
            let known = |number: u64| self.blocks.borrow().get(&number).cloned();
            if let Some(block) = known(number) {
                return Ok(block);
            }
            if let Some(after) = known(number + 1) {
                return self.read_block(after.previous);
            }
        }
        let recent = self.recent.borrow().clone();
        if let Some(block) = recent {
            if holds(&block) {
                return Ok(block);
            }
            let before = match direction {
                None => block.previous,
                Some(Direction::Credit) => block.with.credit,
                Some(Direction::Debit) => block.with.debit,
            };
            if before.number > 0 && rank == rank_of(&before, direction) {
                return self.read_block(before);
            }
        }
        let found = self.locate(|block| rank_of(block, direction) >= rank)?;
        Ok(found.expect("a rank up to the newest block's is in a block"))
    }

    /// The oldest block that `reaches`, which holds for all blocks from some block on.
    fn locate(&self, reaches: impl Fn(&BlockRef) -> bool) -> Result<Option<Rc<Block>>, StoreError> {
        let start = self.seat.trail.roots().take_while(&reaches).last();
        let Some(start) = start else { return Ok(None) };
        let mut block = self.read_block(start)?;
        loop {
            let candidates = [block.jump, block.previous];
            let next = candidates.into_iter().find(|other| other.number > 0 && reaches(other));
            let Some(next) = next else { return Ok(Some(block)) };
            block = self.read_block(next)?;
        }
    }

    /// The block in which the account stood at `time`, if it is found near where the whole journal
    /// stood then. The blocks of an account that is in every other transaction stand that close,
    /// and one piece of the journal is read sooner than a long way through them.
    fn block_beside(&self, time: Timestamp) -> Result<Option<Rc<Block>>, StoreError> {
        let end = self.view.end();
        if self.seat.trail.newest().number < FEW_BLOCKS.max(end / BLOCK_EVERY) {
            return Ok(None);
        }
        let Some(mark) = self.view.mark_before(time) else { return Ok(None) };
        let mut scan = Scan::new(self.log, mark.position, end);
        let limit = mark.position + MARK_EVERY + BLOCK_EVERY;
        while let Some(block) = scan.next_block(self.whose.slot, limit, self.view)? {
            // What stands before the mark ended before it, so the first that does not is it. The
            // view may not have come as far as the journal has.
            if block.this.end >= time {
                let known = block.this.number <= self.seat.trail.newest().number;
                return Ok(known.then(|| self.keep(block)));
            }
        }
        Ok(None)
    }

    fn keep(&self, block: Block) -> Rc<Block> {
        let block = Rc::new(block);
        self.blocks.borrow_mut().insert(block.this.number, block.clone());
        *self.recent.borrow_mut() = Some(block.clone());
        block
    }

    fn read_block(&self, at: BlockRef) -> Result<Rc<Block>, StoreError> {
        let known = self.blocks.borrow().get(&at.number).filter(|block| block.this == at).cloned();
        match known {
            None => Ok(self.keep(self.fetch_block(at)?)),
            Some(block) => {
                *self.recent.borrow_mut() = Some(block.clone());
                Ok(block)
            }
        }
    }

    fn fetch_block(&self, at: BlockRef) -> Result<Block, StoreError> {
        let bytes = self.bytes_at(at.position, &[])?;
        let record = record::read(&bytes, at.position, self.view);
        match record.map_err(|bad| self.log.corrupt(at.position, bad.as_str()))? {
            Record::Block(block) if block.slot == self.whose.slot && block.this == at => Ok(block),
            _ => Err(self.corrupt(at.position, "another account's block stands here")),
        }
    }

    /// Reads a row. If it has to be waited for, those at `near` come along.
    fn read(&self, found: Found, near: &[u64]) -> Result<Row, StoreError> {
        self.row_from(found, &self.bytes_at(found.1, near)?)
    }

    /// Reads rows, the oldest first, all at the same time.
    fn read_all(&self, found: &[Found]) -> Result<Vec<Row>, StoreError> {
        let positions: Vec<u64> = found.iter().map(|(_, position)| *position).collect();
        let mut bytes = Vec::new();
        let places = self.log.read_each(&positions, record::USUAL, &mut bytes)?;
        let rows = found.iter().zip(places);
        rows.map(|(found, place)| self.row_from(*found, &bytes[place])).collect()
    }

    /// What stands at `position`, which is almost always a whole record.
    fn bytes_at(&self, position: u64, near: &[u64]) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; record::USUAL];
        let some = match self.log.read_at_once(position, &mut bytes)? {
            Some(some) => some,
            None => {
                self.waited.set(true);
                self.log.will_read(near, record::USUAL)?;
                self.log.read_some(position, &mut bytes)?
            }
        };
        bytes.truncate(some);
        Ok(bytes)
    }

    /// The row in the record that `bytes` begin with, or all of it read again if it is longer.
    fn row_from(&self, (number, position): Found, bytes: &[u8]) -> Result<Row, StoreError> {
        let row = match row::read(bytes, self.whose, number, self.view) {
            Err(BadRecord::Short(length)) if length > bytes.len() => {
                let mut whole = Vec::new();
                self.log.read_into(position, length, &mut whole)?;
                row::read(&whole, self.whose, number, self.view)
            }
            row => row,
        };
        let row = row.map_err(|bad| self.log.corrupt(position, bad.as_str()))?;
        row.ok_or_else(|| self.corrupt(position, "another entry stands here"))
    }

    fn corrupt(&self, position: u64, what: &str) -> StoreError {
        let account = self.whose.id;
        let what = format!("{what}, in the history of {account}; run `tongjang verify`");
        self.log.corrupt(position, &what)
    }
}

/// How many entries of `direction` there are up to the end of `block`.
fn rank_of(block: &BlockRef, direction: Option<Direction>) -> u64 {
    match direction {
        None => block.number * BLOCK,
        Some(Direction::Credit) => block.credits,
        Some(Direction::Debit) => block.number * BLOCK - block.credits,
    }
}

/// Neighbouring entries whose positions are at hand.
enum Leaf<'a> {
    Block(Rc<Block>),
    /// Those since the newest block, and where they stand.
    Tail(&'a Trail, Vec<u64>),
}

impl Leaf<'_> {
    /// The block before it.
    fn previous(&self) -> BlockRef {
        match self {
            Self::Block(block) => block.previous,
            Self::Tail(trail, _) => trail.newest(),
        }
    }

    /// The number of its first entry.
    fn first(&self) -> u64 {
        self.previous().number * BLOCK + 1
    }

    fn positions(&self) -> &[u64] {
        match self {
            Self::Block(block) => &block.positions,
            Self::Tail(_, positions) => positions,
        }
    }

    /// Which are of `direction`, the first in the lowest bit.
    fn mask(&self, direction: Option<Direction>) -> u32 {
        let credits = match self {
            Self::Block(block) => block.credit_mask,
            Self::Tail(trail, _) => trail.tail().credits(),
        };
        let all = (1 << self.positions().len()) - 1;
        match direction {
            None => all,
            Some(Direction::Credit) => all & u32::from(credits),
            Some(Direction::Debit) => all & !u32::from(credits),
        }
    }

    /// Adds its entries that have one of these ranks, the newest first. Returns the newest rank
    /// before all of its own.
    fn collect(
        &self,
        direction: Option<Direction>,
        ranks: &Range<u64>,
        found: &mut Vec<Found>,
    ) -> u64 {
        let (mut mask, before) = (self.mask(direction), rank_of(&self.previous(), direction));
        while mask != 0 {
            let rank = before + u64::from(mask.count_ones());
            let index = mask.ilog2();
            if ranks.contains(&rank) {
                found.push((self.first() + u64::from(index), self.positions()[index as usize]));
            }
            mask &= !(1 << index);
        }
        before
    }
}
