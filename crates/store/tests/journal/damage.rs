//! Damage to a closed ledger: it is refused with its place, or it harms nothing. Never is anything
//! shown that was not booked.

use std::path::{Path, PathBuf};

use tongjang_sim::ask::{Desk, Keys, random_ask};
use tongjang_sim::crash::{DIR, check_reader, config, rows};
use tongjang_sim::drive::serve;
use tongjang_sim::model::Model;
use tongjang_sim::random::Random;
use tongjang_store::disk::Disk;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::verify::verify;
use tongjang_store::journal::{Journal, JournalReader, Opening};
use tongjang_store::{Order, Reader, Store, StoreError};

/// A ledger that was closed several times, and what it holds.
pub(crate) fn closed(seed: u64, days: usize, requests: usize) -> (FaultyDisk, Model) {
    let disk = FaultyDisk::new(seed);
    let mut random = Random::new(seed);
    let (mut desk, mut model) = (Desk::new(Keys::Few), Model::default());
    for _ in 0..days {
        let (mut journal, ..) = Journal::open(config(&disk)).unwrap();
        for _ in 0..requests / 8 {
            let batch: Vec<_> = (0..8)
                .map(|_| {
                    let request = desk.request(random_ask(&mut random));
                    desk.saw(&model.ask(&request).outcome);
                    request
                })
                .collect();
            serve(&mut journal, &batch, &mut Vec::new()).unwrap();
        }
        journal.close().unwrap();
    }
    (disk, model)
}

pub(crate) fn segments(disk: &FaultyDisk) -> Vec<PathBuf> {
    files(disk, &Path::new(DIR).join("journal"), "seg")
}

pub(crate) fn snapshots(disk: &FaultyDisk) -> Vec<PathBuf> {
    files(disk, Path::new(DIR), "snapshot-")
}

fn files(disk: &FaultyDisk, dir: &Path, part: &str) -> Vec<PathBuf> {
    let names = disk.list(dir).unwrap().into_iter();
    names.filter(|name| name.contains(part)).map(|name| dir.join(name)).collect()
}

type Opened = Result<(Journal, JournalReader, Opening), StoreError>;

/// The place that an error names must be in one of the ledger's files.
fn check_place(error: &StoreError, files: &[PathBuf]) {
    let StoreError::Corrupt { path, .. } = error else {
        panic!("damage, and not {error}");
    };
    assert!(files.contains(path), "{error}");
}

#[test]
fn a_flipped_bit_of_a_segment_is_refused_or_does_no_harm() {
    let (original, model) = closed(3, 3, 900);
    let files = segments(&original);
    assert!(files.len() > 2, "{files:?}");
    let used: Vec<u64> = files
        .iter()
        .map(|file| original.bytes(file).unwrap().iter().rposition(|byte| *byte != 0).unwrap_or(0))
        .map(|last| last as u64 + 1)
        .collect();
    let mut random = Random::new(17);
    let (mut refused, mut found) = (0, 0);
    for _ in 0..120 {
        let disk = original.copy();
        let nth = random.below(files.len());
        // Mostly where something stands, and now and then behind it.
        let behind = random.below(8) * 64;
        let offset = random.below(used[nth] as usize + behind).min((64 << 10) - 1) as u64;
        disk.flip(&files[nth], offset, random.below(8) as u32);
        let place = format!("{}:{offset}", files[nth].display());
        let verified = verify(&config(&disk), |_| ());
        match &verified {
            Err(error) => {
                found += 1;
                check_place(error, &files);
            }
            Ok(_) => assert!(offset >= used[nth], "{place} was not found by verify"),
        }
        let opened: Opened = Journal::open(config(&disk));
        match opened {
            Err(error) => {
                refused += 1;
                check_place(&error, &files);
            }
            Ok((_journal, reader, _)) => {
                // What lies before a snapshot is only read when somebody asks for it.
                let accounts = reader.accounts(None, Order::Asc, None, usize::MAX).unwrap();
                assert_eq!(accounts, model.accounts(), "{place}");
                for account in accounts {
                    match rows(&reader, account.id()) {
                        Ok(rows) => assert_eq!(rows, model.rows(account.id()), "{place}"),
                        Err(error) => check_place(&error, &files),
                    }
                }
            }
        }
    }
    assert!(found > 60 && refused > 0, "{found} found, {refused} refused");
}

#[test]
fn without_snapshots_a_flipped_bit_is_refused_at_the_start_unless_it_is_in_the_last_write() {
    let (original, model) = closed(4, 2, 400);
    snapshots(&original).iter().for_each(|path| original.take_away(path));
    let file = segments(&original).remove(0);
    let mut random = Random::new(18);
    for _ in 0..40 {
        let disk = original.copy();
        disk.flip(&file, random.below(48 << 10) as u64, random.below(8) as u32);
        match Journal::open(config(&disk)) {
            Err(error) => check_place(&error, &segments(&original)),
            Ok((_journal, reader, opening)) => {
                assert!(opening.snapshot.is_none());
                // The last write cannot be told from one that a crash interrupted. That is said.
                let there = opening.recovered.events as usize;
                let cut = model.events.len() - there;
                assert!(cut <= 8 && (cut == 0 || opening.recovered.torn.is_some()));
                check_reader(&reader, &Model::after(&model.events[..there]));
            }
        }
    }
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_named() {
    let (original, model) = closed(5, 3, 200);
    let files = snapshots(&original);
    assert_eq!(files.len(), 2);
    let mut random = Random::new(19);
    for nth in 0..60 {
        let disk = original.copy();
        let damaged = 1 + nth % 2;
        for file in files.iter().rev().take(damaged) {
            let length = disk.bytes(file).unwrap().len();
            match random.below(4) {
                0 => disk.put(file, disk.bytes(file).unwrap()[..random.below(length)].to_vec()),
                1 => disk.put(file, [disk.bytes(file).unwrap(), vec![0]].concat()),
                _ => disk.flip(file, random.below(length) as u64, random.below(8) as u32),
            }
        }
        let (journal, reader, opening) = Journal::open(config(&disk)).unwrap();
        assert_eq!(opening.unusable.len(), damaged);
        opening.unusable.iter().for_each(|error| check_place(error, &files));
        let expected = files.iter().rev().nth(damaged);
        assert_eq!(opening.snapshot.as_ref(), expected);
        check_reader(&reader, &model);
        verify(&config(&disk), |_| ()).unwrap();
        journal.close().unwrap();
        let (.., opening) = Journal::open(config(&disk)).unwrap();
        assert!(opening.unusable.is_empty(), "closing leaves a sound snapshot");
    }
}

#[test]
fn a_snapshot_of_a_longer_journal_is_not_forgotten() {
    let (early, _) = closed(6, 1, 200);
    // The same seed, so the early ledger is how the late one began.
    let (late, model) = closed(6, 2, 200);
    check_reader(&Journal::open_to_read(&config(&late)).unwrap(), &model);
    // An old backup of the journal beside today's snapshot.
    let restored = late.copy();
    for file in segments(&late) {
        match early.bytes(&file) {
            Some(bytes) => restored.put(&file, bytes),
            None => restored.take_away(&file),
        }
    }
    for result in [
        Journal::open(config(&restored)).map(|_| ()),
        Journal::open_to_read(&config(&restored)).map(|_| ()),
        verify(&config(&restored), |_| ()).map(|_| ()),
    ] {
        check_place(&result.unwrap_err(), &segments(&late));
    }
}

#[test]
fn no_new_ledger_is_begun_where_one_has_lost_its_journal() {
    let (disk, _) = closed(5, 2, 40);
    let lost = disk.copy();
    let all = segments(&disk);
    all.iter().for_each(|file| lost.take_away(file));
    let refused = Journal::open(config(&lost)).map(|_| ()).unwrap_err();
    check_place(&refused, &all);
    assert_eq!(snapshots(&lost), snapshots(&disk));
    all.iter().for_each(|file| lost.put(file, disk.bytes(file).unwrap()));
    Journal::open(config(&lost)).unwrap();
}

#[test]
fn a_segment_that_is_gone_is_missed() {
    let (original, _) = closed(7, 2, 1500);
    let mut files = segments(&original);
    // A spare is not missed by anybody.
    files.retain(|file| original.bytes(file).unwrap()[..8] != [0; 8]);
    assert!(files.len() > 1);
    for (nth, file) in files.iter().enumerate() {
        let disk = original.copy();
        disk.take_away(file);
        assert!(verify(&config(&disk), |_| ()).is_err(), "segment {nth}");
        snapshots(&disk).iter().for_each(|path| disk.take_away(path));
        // Without snapshots nothing is left that knew of the last one.
        let last = files.len() == nth + 1;
        assert!(last || Journal::open(config(&disk)).is_err(), "segment {nth}");
    }
}

/// What a snapshot names may be gone as soon as somebody else writes one.
#[test]
fn a_ledger_in_use_is_not_even_looked_at() {
    let disk = FaultyDisk::new(4);
    let (_journal, ..) = Journal::open(config(&disk)).unwrap();
    disk.flip(&Path::new(DIR).join("journal/00000000.seg"), 16, 0);
    let error = Journal::open(config(&disk)).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_full_journal_takes_nothing_more_in_and_can_still_be_read() {
    let disk = FaultyDisk::new(5);
    let mut short = config(&disk);
    short.log.longest = 5 * short.log.segment_bytes;
    let (mut random, mut desk, mut model) =
        (Random::new(5), Desk::new(Keys::Each), Model::default());
    let (mut journal, reader, _) = Journal::open(short.clone()).unwrap();
    loop {
        let before = journal.length();
        let request = desk.request(random_ask(&mut random));
        let mut answers = Vec::new();
        if let Err(error) = serve(&mut journal, std::slice::from_ref(&request), &mut answers) {
            assert!(matches!(error, StoreError::Full { .. }), "{error}");
            assert!(answers.is_empty() && journal.length() == before);
            break;
        }
        desk.saw(&model.ask(&request).outcome);
        assert!(journal.length() <= short.log.longest);
    }
    assert!(journal.length() > 3 * short.log.segment_bytes, "it was hardly used");
    assert!(reader.ready().unwrap_err().to_string().contains("is full"));
    check_reader(&reader, &model);
    assert!(journal.close().is_err());
    let (_journal, reader, _) = Journal::open(short).unwrap();
    assert!(reader.ready().is_err());
    check_reader(&reader, &model);
}
