//! A forger who alters a booking and puts every checksum right again: `verify` still finds him,
//! as the hashes of the passbooks or the balances do not fit.

use tongjang_core::{Fingerprint, Memo, Request};
use tongjang_sim::ask::{Desk, Keys};
use tongjang_sim::crash::{config, verified};
use tongjang_sim::drive::serve;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::Journal;
use tongjang_store::journal::frame::{Decoded, FRAME_HEADER, FrameHeader, Seal};
use tongjang_store::journal::segment::{DecodedSegment, SEGMENT_HEADER, SegmentHeader};
use tongjang_store::journal::verify::verify;
use tongjang_store::{Order, Reader, Store, StoreError};
use xxhash_rust::xxh3::xxh3_64;

use crate::damage::{closed, segments, snapshots};

/// The tag of a booked transaction's record.
const BOOKED: u8 = 2;
/// The ledger's id, from which its seal follows.
const ID: [u8; 16] = [7; 16];

/// Lets `alter` change the contents of records, without changing their length, and puts right the
/// checks of the records, the checksums of the frames, their links, the headers of the segments,
/// and the snapshots. Says how many records were altered.
fn forge(disk: &FaultyDisk, mut alter: impl FnMut(&mut [u8]) -> bool) -> usize {
    let (seal, mut altered, mut last) = (Seal::of(&ID), 0, 0);
    let mut renamed = Vec::new();
    for path in segments(disk) {
        let mut bytes = disk.bytes(&path).unwrap();
        let header = bytes[..SEGMENT_HEADER].try_into().map(SegmentHeader::decode).unwrap();
        let DecodedSegment::Header(header) = header else { break };
        let header = SegmentHeader { previous: last, ..header };
        bytes[..SEGMENT_HEADER].copy_from_slice(&header.encode()[..]);
        let mut at = SEGMENT_HEADER;
        while let Some(header) = bytes.get(at..at + FRAME_HEADER) {
            let Decoded::Header(frame, before) =
                FrameHeader::decode(header.try_into().unwrap(), seal)
            else {
                break;
            };
            let body = &mut bytes[at + FRAME_HEADER..][..frame.body_len as usize];
            altered += forge_records(body, &mut alter);
            let body_checksum = seal.checksum(body);
            let (header, checksum) =
                FrameHeader { previous: last, body_checksum, ..frame }.encode(seal);
            bytes[at..at + FRAME_HEADER].copy_from_slice(&header);
            renamed.push((before, checksum));
            last = checksum;
            at = (at + FRAME_HEADER + frame.body_len as usize).next_multiple_of(8);
        }
        disk.put(&path, bytes);
    }
    for path in snapshots(disk) {
        let mut bytes = disk.bytes(&path).unwrap();
        // The fourth member of the mark after the header is the checksum of the frame before.
        let mark = 40 + 24..40 + 32;
        let before = u64::from_le_bytes(bytes[mark.clone()].try_into().unwrap());
        let (_, checksum) = renamed.iter().find(|(old, _)| *old == before).unwrap();
        bytes[mark].copy_from_slice(&checksum.to_le_bytes());
        let check = xxh3_64(&bytes[40..]);
        bytes[32..40].copy_from_slice(&check.to_le_bytes());
        disk.put(&path, bytes);
    }
    altered
}

fn forge_records(body: &mut [u8], alter: &mut impl FnMut(&mut [u8]) -> bool) -> usize {
    let (mut at, mut altered) = (0, 0);
    while at < body.len() {
        let length = u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        let contents = &mut body[at + 8..at + length];
        if contents[0] == BOOKED && alter(contents) {
            altered += 1;
            let check = xxh3_64(contents) as u32;
            body[at + 4..at + 8].copy_from_slice(&check.to_le_bytes());
        }
        at += length.next_multiple_of(8);
    }
    altered
}

/// Alters the `nth` record for which `alter` says that it can.
fn only(nth: usize, mut alter: impl FnMut(&mut [u8]) -> bool) -> impl FnMut(&mut [u8]) -> bool {
    let mut seen = 0;
    move |contents| {
        let mut changed = contents.to_vec();
        if !alter(&mut changed) {
            return false;
        }
        seen += 1;
        if seen == nth {
            contents.copy_from_slice(&changed);
        }
        seen == nth
    }
}

fn change_memo(contents: &mut [u8]) -> bool {
    let place = contents.windows(6).position(|letters| letters == b"Coffee");
    place.is_some_and(|place| {
        contents[place..place + 6].copy_from_slice(b"Casino");
        true
    })
}

/// Makes the amount one larger, and the figures of both entries too.
fn change_amount(contents: &mut [u8]) -> bool {
    const FIXED: usize = 19;
    let has_memo = contents[2] & 1 != 0;
    let mut at = FIXED;
    if !bump(contents, &mut at, 1) {
        return false;
    }
    if has_memo {
        let length = uint(contents, &mut at);
        at += length as usize;
    }
    assert_eq!(uint(contents, &mut at), 2);
    for _ in 0..2 {
        let flags = contents[at];
        at += 1;
        // Slot and number stay.
        uint(contents, &mut at);
        uint(contents, &mut at);
        let credit = flags & 1 == 0;
        if !bump(contents, &mut at, if credit { 1 } else { -1 }) {
            return false;
        }
        uint(contents, &mut at);
        if !bump(contents, &mut at, i128::from(credit)) {
            return false;
        }
        at += 32;
        if flags & 4 != 0 {
            let length = uint(contents, &mut at);
            at += length as usize;
        }
    }
    true
}

/// Makes only a balance larger, so that it does not follow from the entry before.
fn change_balance(contents: &mut [u8]) -> bool {
    let mut at = 19;
    uint(contents, &mut at);
    if contents[2] & 1 != 0 {
        let length = uint(contents, &mut at);
        at += length as usize;
    }
    at += 2;
    uint(contents, &mut at);
    uint(contents, &mut at);
    bump(contents, &mut at, 1)
}

fn uint(bytes: &[u8], at: &mut usize) -> u128 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= u128::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

/// Adds `more` to the zigzag integer at `at`, if it keeps its length, and goes on to what follows.
fn bump(bytes: &mut [u8], at: &mut usize, more: i128) -> bool {
    let start = *at;
    let zigzag = uint(bytes, at);
    let value = ((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128)) + more;
    let mut rest = ((value << 1) ^ (value >> 127)) as u128;
    for byte in &mut bytes[start..*at] {
        *byte = (*byte & 0x80) | (rest & 0x7f) as u8;
        rest >>= 7;
    }
    let last = bytes[*at - 1];
    rest == 0 && (last != 0 || *at == start + 1)
}

fn found(disk: &FaultyDisk) -> String {
    let error = verify(&config(disk), |_| ()).unwrap_err();
    let StoreError::Corrupt { path, what, .. } = &error else { panic!("{error}") };
    assert!(segments(disk).contains(path), "{error}");
    what.clone()
}

#[test]
fn a_changed_memo_is_found_though_every_checksum_is_right() {
    let mut by_hash = 0;
    for nth in 1..8 {
        let (disk, model) = closed(11, 2, 400);
        assert_eq!(forge(&disk, only(nth, change_memo)), 1);
        // The start does not check the hashes, and so sees nothing.
        let (journal, reader, opening) = Journal::open(config(&disk)).unwrap();
        assert!(opening.unusable.is_empty() && opening.snapshot.is_some());
        let accounts = reader.accounts(None, Order::Asc, None, usize::MAX).unwrap();
        assert_eq!(accounts, model.accounts());
        drop((journal, reader));
        // Where there is a key, its fingerprint comes first, which he could put right, too.
        let what = found(&disk);
        assert!(what.contains("hash") || what.contains("fingerprint"), "{what}");
        by_hash += usize::from(what.contains("hash"));
    }
    assert!(by_hash > 0);
}

#[test]
fn a_changed_balance_is_found_though_every_checksum_is_right() {
    for nth in [2, 30] {
        let (disk, _) = closed(12, 2, 400);
        assert_eq!(forge(&disk, only(nth, change_balance)), 1);
        found(&disk);
        // Without a snapshot the start itself leads the balances on, and refuses.
        snapshots(&disk).iter().for_each(|path| disk.take_away(path));
        assert!(matches!(Journal::open(config(&disk)), Err(StoreError::Corrupt { .. })));
    }
}

#[test]
fn a_changed_amount_is_found_though_all_its_figures_fit() {
    let (disk, _) = closed(13, 2, 400);
    let mut changeable = 0;
    let copy = disk.copy();
    forge(&copy, |contents| {
        changeable += usize::from(change_amount(&mut contents.to_vec()));
        false
    });
    assert!(changeable > 30, "{changeable}");
    // The last one too, after which nothing is that could not fit.
    for nth in [1, changeable / 2, changeable] {
        let disk = disk.copy();
        snapshots(&disk).iter().for_each(|path| disk.take_away(path));
        assert_eq!(forge(&disk, only(nth, change_amount)), 1);
        found(&disk);
    }
}

#[test]
fn an_honest_copy_is_left_alone_by_the_forgers_tool() {
    let (disk, model) = closed(14, 2, 400);
    let copy = disk.copy();
    assert_eq!(forge(&copy, |_| false), 0);
    for path in segments(&disk).iter().chain(&snapshots(&disk)) {
        assert!(disk.bytes(path) == copy.bytes(path), "{}", path.display());
    }
    assert_eq!(verified(&copy).summary, model.add_up());
}

/// Whoever may write everything can write another ledger: nothing inside tells it from the true
/// one. A head hash that was noted elsewhere does.
#[test]
fn a_ledger_that_was_written_anew_is_told_by_a_head_hash_kept_elsewhere() {
    let book = |memo: &str| {
        let disk = FaultyDisk::new(0);
        let mut desk = Desk::new(Keys::Each);
        let (mut journal, reader, _) = Journal::open(config(&disk)).unwrap();
        let mut answers = Vec::new();
        serve(&mut journal, &[desk.request([0, 0, 1, 1, 0, 0, 0, 9])], &mut answers).unwrap();
        desk.saw(&answers[0].outcome);
        let Request { key, mut command, .. } = desk.request([3, 0, 0, 0, 99, 0, 0, 9]);
        let tongjang_core::Command::Deposit { memo: said, account, .. } = &mut command else {
            panic!("a deposit was asked for");
        };
        *said = Memo::new(memo).unwrap();
        let account = *account;
        let key = key.map(|(key, _)| (key, Fingerprint::of(&command)));
        let request = Request { key, command, ..desk.request([3, 0, 0, 0, 99, 0, 0, 9]) };
        serve(&mut journal, &[request], &mut answers).unwrap();
        journal.close().unwrap();
        verified(&disk);
        reader.account(account).unwrap().unwrap().head_hash()
    };
    assert_eq!(book("급여"), book("급여"));
    assert_ne!(book("급여"), book("상여"));
}
