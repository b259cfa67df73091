//! How much room events may take, and how the rest of a segment is filled.

use tongjang_core::{Event, KeyUse};

use super::{FILLER, LONGEST, LONGEST_BLOCK, put_record};

/// Makes the empty `out` a body of `length` bytes that says nothing.
pub(in crate::journal) fn put_filler(out: &mut Vec<u8>, length: usize) {
    put_record(out, |out| out.push(FILLER));
    assert!(out.len() <= length && length.is_multiple_of(8), "a frame has room for a record");
    out.resize(length, 0);
}

/// No record of `event`, with the blocks that it may bring along, takes more bytes than this.
pub(in crate::journal) fn at_most(event: &Event) -> usize {
    /// Numbers and ids of a record, at their longest.
    const FIGURES: usize = 384;
    let key = |used: Option<&KeyUse>| used.map_or(0, |used| used.key.as_str().len());
    match event {
        Event::Opened(opening) => {
            let place = opening.account.place.as_ref();
            let texts =
                place.map_or(0, |(bank, number)| bank.as_str().len() + number.as_str().len());
            FIGURES + texts + key(opening.key.as_ref())
        }
        Event::Booked(booked) => {
            let transaction = &booked.transaction;
            let memos: usize =
                transaction.entries.iter().map(|entry| entry.memo.as_str().len()).sum();
            let pairs = transaction.metadata.pairs().iter();
            let pairs: usize = pairs.map(|(key, value)| key.len() + value.len() + 4).sum();
            let texts = transaction.memo.as_str().len() + memos + pairs;
            FIGURES + texts + key(booked.key.as_ref()) + 2 * LONGEST_BLOCK
        }
        Event::Refused(_) | Event::StatusChanged(_) => LONGEST,
    }
}
