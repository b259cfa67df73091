//! Through an account's history, from any number, time or rank, without reading what lies between.
//!
//! A rank is an entry's place among those of one direction, or its number if both are meant. All
//! rows of a page have neighbouring ranks, so every list comes down to "find rank k".

use std::cell::RefCell;
use std::rc::Rc;

use tongjang_core::{Direction, EntryNumber, Event, Timestamp, chain};

use super::log_reader::LogReader;
use super::read_record;
use super::record::Record;
use super::trail::{BLOCK, Block, BlockRef};
use super::view::{Seat, View};
use crate::{Row, StoreError};

/// One account's history as of one moment.
pub(super) struct History<'a> {
    view: &'a View,
    log: &'a LogReader,
    slot: u32,
    seat: Seat,
    /// The block read last: neighbours are mostly in it.
    recent: RefCell<Option<Rc<Block>>>,
}

/// An entry that was found: its number, and where its record stands.
type Found = (u64, u64);

impl<'a> History<'a> {
    /// The history of the account at `slot`, or `None` if there is no such account.
    pub(super) fn of(view: &'a View, log: &'a LogReader, slot: u32) -> Option<Self> {
        let seat = view.seat(slot)?;
        Some(Self { view, log, slot, seat, recent: RefCell::default() })
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
        let sealed = self.seat.trail.newest();
        if direction.is_none() || number == 0 {
            return Ok(number);
        }
        let (before, mask) = if number > sealed.number * BLOCK {
            (sealed, self.seat.trail.tail().credits())
        } else {
            let block = self.block_of(number)?;
            (block.previous, block.credit_mask)
        };
        let inside = number - before.number * BLOCK;
        let credits = u64::from((u32::from(mask) & ((1 << inside) - 1)).count_ones());
        Ok(rank_of(&before, direction)
            + match direction {
                Some(Direction::Credit) => credits,
                Some(Direction::Debit) => inside - credits,
                None => inside,
            })
    }

    /// The row with this rank among those of `direction`. It must exist.
    pub(super) fn row(&self, direction: Option<Direction>, rank: u64) -> Result<Row, StoreError> {
        let (number, position) = self.find(direction, rank)?;
        self.read(number, position)
    }

    /// How many entries were booked before `time`.
    pub(super) fn before(&self, time: Timestamp) -> Result<u64, StoreError> {
        if time <= self.seat.account.opened().opened_at {
            return Ok(0);
        }
        if time > self.seat.account.standing().last_booked_at {
            return Ok(self.count());
        }
        let (mut low, mut high) = match self.locate(|block| block.end >= time)? {
            Some(block) => (block.previous.number * BLOCK, block.this.number * BLOCK),
            None => (self.seat.trail.newest().number * BLOCK, self.count()),
        };
        // All up to `low` were booked before, none after `high` was.
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(None, middle + 1)?.booked_at < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Checks that each of `rows`, the oldest first, follows from the one before where that is
    /// there too, the oldest from the entry before it, and the newest entry from the account.
    pub(super) fn check(&self, rows: &[&Row]) -> Result<(), StoreError> {
        let Some(oldest) = rows.first() else { return Ok(()) };
        let number = oldest.entry.number.get();
        let mut before = match number.checked_sub(1).and_then(EntryNumber::new) {
            None => (0, chain::genesis(self.seat.account.opened())),
            Some(previous) => (number - 1, self.row(None, previous.get())?.entry.hash),
        };
        for row in rows {
            let number = row.entry.number.get();
            let hash = chain::link(before.1, row.transaction, row.kind, row.booked_at, &row.entry);
            let linked = before.0 + 1 != number || hash == row.entry.hash;
            let head = number != self.count() || row.entry.hash == self.seat.account.head_hash();
            if !linked || !head {
                let (_, position) = self.find(None, number)?;
                return Err(self.corrupt(position, "an entry's hash does not follow"));
            }
            before = (number, row.entry.hash);
        }
        Ok(())
    }

    fn find(&self, direction: Option<Direction>, rank: u64) -> Result<Found, StoreError> {
        let sealed = self.seat.trail.newest();
        let base = rank_of(&sealed, direction);
        if rank > base {
            let tail = self.seat.trail.tail();
            let nth = nth_of(tail.credits(), tail.len(), direction, rank - base);
            return Ok((sealed.number * BLOCK + nth as u64 + 1, tail.get(nth)));
        }
        let block = self.block_with(direction, rank)?;
        let within = rank - rank_of(&block.previous, direction);
        let nth = nth_of(block.credit_mask, BLOCK as usize, direction, within);
        Ok((block.previous.number * BLOCK + nth as u64 + 1, block.positions[nth]))
    }

    fn block_of(&self, number: u64) -> Result<Rc<Block>, StoreError> {
        self.block_with(None, number)
    }

    /// The block that holds the entry with this rank.
    fn block_with(&self, direction: Option<Direction>, rank: u64) -> Result<Rc<Block>, StoreError> {
        let holds = |block: &Block| {
            rank_of(&block.previous, direction) < rank && rank <= rank_of(&block.this, direction)
        };
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

    fn read_block(&self, at: BlockRef) -> Result<Rc<Block>, StoreError> {
        match read_record(self.log, at.position, self.view)? {
            Record::Block(block) if block.slot == self.slot && block.this == at => {
                let block = Rc::new(block);
                *self.recent.borrow_mut() = Some(block.clone());
                Ok(block)
            }
            _ => Err(self.corrupt(at.position, "another account's block stands here")),
        }
    }

    fn read(&self, number: u64, position: u64) -> Result<Row, StoreError> {
        let wrong = || self.corrupt(position, "another entry stands here");
        let Record::Event(Event::Booked(booked)) = read_record(self.log, position, self.view)?
        else {
            return Err(wrong());
        };
        let transaction = booked.transaction;
        let entry = transaction
            .entries
            .into_iter()
            .find(|entry| entry.account == self.seat.account.id() && entry.number.get() == number);
        Ok(Row {
            transaction: transaction.id,
            kind: transaction.kind,
            booked_at: transaction.booked_at,
            entry: entry.ok_or_else(wrong)?,
        })
    }

    fn corrupt(&self, position: u64, what: &str) -> StoreError {
        let account = self.seat.account.id();
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

/// The index of the `nth` entry of `direction`, from 1, among `length` whose credits `mask` tells.
fn nth_of(mask: u16, length: usize, direction: Option<Direction>, nth: u64) -> usize {
    let chosen = (0..length).filter(|index| match direction {
        None => true,
        Some(Direction::Credit) => mask >> index & 1 == 1,
        Some(Direction::Debit) => mask >> index & 1 == 0,
    });
    chosen.take(nth as usize).last().expect("a rank that exists")
}
