//! The record of a block of entries, which leads through an account's history.

use tongjang_core::Timestamp;

use super::{BLOCK_OF_ENTRIES, LONGEST_BLOCK, bits, put_record};
use crate::journal::bytes::{Put, Take, put_with};
use crate::journal::trail::{BLOCK, Block, BlockRef, ByDirection};

/// Appends a block, whose record begins at `position`.
pub(in crate::journal) fn put_block(out: &mut Vec<u8>, block: &Block, position: u64) {
    let start = out.len();
    put_record(out, |out| {
        put_with(out, LONGEST_BLOCK, |put| {
            put.byte(BLOCK_OF_ENTRIES);
            put.uint(block.slot.into());
            put.uint(block.this.number);
            put.array(&block.credit_mask.to_le_bytes());
            let mut after = position;
            for entry in block.positions.iter().rev() {
                put.uint((after - entry) >> 3);
                after = *entry;
            }
            put_ref(put, BlockRef { position, ..block.this }, position);
            put_ref(put, block.previous, position);
            // Mostly they are all the block before, which is not written again.
            let others = [block.jump, block.with.credit, block.with.debit];
            let differs = others.map(|other| other != block.previous);
            put.byte(bits(&[(differs[0], 1), (differs[1], 2), (differs[2], 4)]));
            for (other, _) in others.iter().zip(differs).filter(|(_, differs)| *differs) {
                put.uint(other.number);
                put_ref(put, *other, position);
            }
        });
    });
    assert!(out.len() - start <= LONGEST_BLOCK, "a block has the room that is kept free for it");
}

fn put_ref(put: &mut Put<'_>, to: BlockRef, from: u64) {
    put.uint((from - to.position) >> 3);
    put.array(&to.end.micros().to_le_bytes());
    put.uint(to.credits);
}

fn take_ref(take: &mut Take<'_>, number: u64, from: u64) -> Option<BlockRef> {
    let position = from.checked_sub(take.uint()?.checked_mul(8)?)?;
    let end = Timestamp::from_micros(take.i64()?);
    Some(BlockRef { number, position, end, credits: take.uint()? })
}

pub(super) fn take_block(take: &mut Take<'_>, position: u64) -> Option<Block> {
    let slot = u32::try_from(take.uint()?).ok()?;
    let number = take.uint()?;
    let credit_mask = take.array().map(u16::from_le_bytes)?;
    let mut positions = [0; BLOCK as usize];
    let mut after = position;
    for entry in positions.iter_mut().rev() {
        after = after.checked_sub(take.uint()?.checked_mul(8)?)?;
        *entry = after;
    }
    let this = take_ref(take, number, position)?;
    let previous = take_ref(take, number.checked_sub(1)?, position)?;
    let differs = take.byte()?;
    let mut other = |bit: u8| match differs & bit {
        0 => Some(previous),
        _ => {
            let number = take.uint()?;
            take_ref(take, number, position)
        }
    };
    let (jump, credit, debit) = (other(1)?, other(2)?, other(4)?);
    let with = ByDirection { credit, debit };
    let sound = [jump, credit, debit].iter().all(|other| other.number <= previous.number);
    sound.then_some(Block { slot, this, previous, jump, with, credit_mask, positions })
}
