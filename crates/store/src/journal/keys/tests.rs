//! The index against a map that never forgets, on a disk that fails, crashes and is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use xxhash_rust::xxh3::Xxh3;

use super::*;
use crate::disk::Disk;
use crate::faulty::FaultyDisk;

const DIR: &str = "/ledger";
const SEED: u64 = 42;

fn disk() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    disk.create_dir(Path::new(DIR)).unwrap();
    disk
}

fn index(disk: &FaultyDisk, window: usize, sealing: Sealing) -> KeyIndex {
    let config = KeysConfig { window, sealing };
    let shelf = Shelf::new(Arc::new(disk.clone()), DIR.into(), [7; 16], config);
    KeyIndex::new(shelf, SEED)
}

/// The index that a snapshot of `index` brings back from `disk`.
fn reopened(index: &KeyIndex, disk: &FaultyDisk) -> Result<KeyIndex, StoreError> {
    let KeysConfig { window, sealing } = index.shelf.config;
    let mut again = self::index(disk, window, sealing);
    for name in index.kept().runs {
        again.restore_run(name)?;
    }
    for window in index.windows() {
        for shard in window.shards() {
            window.slots(shard).for_each(|slot| again.restore(shard, slot));
        }
    }
    Ok(again)
}

fn run_files(disk: &FaultyDisk) -> Vec<String> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.into_iter().filter(|name| name.starts_with("keys-")).collect()
}

fn key(n: u64) -> (UserId, IdempotencyKey) {
    (UserId::from_bits(u128::from(n % 5)), IdempotencyKey::new(&format!("key-{n}")).unwrap())
}

fn hash(n: u64) -> KeyHash {
    let (user, key) = key(n);
    KeyHash::of(SEED, user, &key)
}

fn position(n: u64) -> u64 {
    4096 + n * 8
}

/// Notes keys `from..until` and has the index tended after every three.
fn note(index: &mut KeyIndex, from: u64, until: u64) {
    for n in from..until {
        index.insert(hash(n), position(n));
        if n % 3 == 2 {
            index.tend(true, u64::MAX);
        }
    }
}

/// Every key below `until` must be found, whatever else is.
fn all_found(index: &KeyIndex, until: u64) {
    for n in 0..until {
        let found = index.candidates(hash(n)).unwrap();
        assert!(found.contains(&position(n)), "key {n} is lost");
    }
}

#[test]
fn a_key_is_found_where_it_was_put_and_nowhere_else() {
    let disk = disk();
    let mut index = index(&disk, 3_000, Sealing::Inline);
    for n in 0..30_000u64 {
        index.insert(hash(n), position(n));
        index.insert(hash(n), position(n));
        if n % 500 == 0 {
            index.tend(true, u64::MAX);
        }
    }
    all_found(&index, 30_000);
    assert!((2..=6).contains(&index.runs.len()), "{} runs", index.runs.len());
    let strangers =
        (100_000..130_000u64).filter(|n| !index.candidates(hash(*n)).unwrap().is_empty()).count();
    assert!(strangers < 10, "{strangers} strangers looked known");
    let counted: u64 = index.runs.iter().map(|run| run.header().count).sum();
    assert_eq!(counted + index.window.len() as u64, 30_000, "noting twice is noting once");
    let memory: usize = index.runs.iter().map(|run| run.lines().len() * 64).sum();
    assert!(memory < counted as usize * 3, "{memory} bytes for {counted} sealed keys");
}

#[test]
fn a_hash_is_what_it_was_when_it_was_taken_piece_by_piece() {
    for length in 1..=IdempotencyKey::MAX_CHARS {
        let user = UserId::from_bits(length as u128 * 0x1234_5678_9abc_def1);
        let key = IdempotencyKey::new(&"k".repeat(length)).unwrap();
        let mut hasher = Xxh3::with_seed(SEED);
        hasher.update(&user.bits().to_le_bytes());
        hasher.update(key.as_str().as_bytes());
        assert_eq!(KeyHash::of(SEED, user, &key), KeyHash(hasher.digest()), "{length}");
    }
}

#[test]
fn two_users_do_not_share_a_key() {
    let key = IdempotencyKey::new("k").unwrap();
    let [one, other] = [1, 2].map(|bits| KeyHash::of(1, UserId::from_bits(bits), &key));
    assert_ne!(one, other);
}

#[test]
fn an_index_comes_back_from_its_runs_and_slots() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Inline);
    note(&mut index, 0, 1000);
    let again = reopened(&index, &disk.copy()).unwrap();
    all_found(&again, 1000);
    assert_eq!(again.sum().unwrap(), index.sum().unwrap());
}

#[test]
fn what_is_read_back_from_the_journal_once_more_is_not_there_twice() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Inline);
    note(&mut index, 0, 100);
    let mut again = reopened(&index, &disk).unwrap();
    note(&mut again, 30, 100);
    assert_eq!(again.sum().unwrap(), index.sum().unwrap());
}

#[test]
fn a_window_that_a_snapshot_copied_in_parts_is_not_sealed_before_it_is_whole() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Inline);
    // The shards of every second key were copied before the key came.
    for n in (0..100).filter(|n| n % 2 == 1) {
        let entry = Entry::new(hash(n).print(), position(n));
        index.restore(entry.print().shard(), entry.slot());
    }
    for n in 20..150 {
        index.insert(hash(n), position(n));
        index.tend_while_reading();
        assert!(index.runs.is_empty() || n >= 99, "sealed at {n}");
    }
    assert!(!index.runs.is_empty());
    (20..150).for_each(|n| assert!(index.candidates(hash(n)).unwrap().contains(&position(n))));
}

#[test]
fn keys_of_one_print_are_all_found() {
    let disk = disk();
    let mut index = index(&disk, 3000, Sealing::Inline);
    let same = KeyHash(0x1234_5678_9abc_def0);
    let positions: Vec<u64> = (0..3000).map(position).collect();
    positions.iter().for_each(|position| index.insert(same, *position));
    index.tend(true, u64::MAX);
    assert_eq!((index.runs.len(), index.window.len()), (1, 0));
    assert_eq!(index.candidates(same).unwrap(), positions);
}

#[test]
fn a_failing_disk_costs_memory_and_no_key() {
    let disk = disk();
    let mut sound = index(&disk, 16, Sealing::Inline);
    note(&mut sound, 0, 110);
    for failing in 0..disk.operations() {
        let disk = self::disk();
        disk.fail_at(failing);
        let mut index = index(&disk, 16, Sealing::Inline);
        note(&mut index, 0, 110);
        all_found(&index, 110);
        assert!(index.window.len() < 64, "operation {failing}: it is never tried again");
        let again = reopened(&index, &disk.copy()).unwrap();
        all_found(&again, 110);
        assert_eq!(again.sum().unwrap(), sound.sum().unwrap());
    }
}

#[test]
fn a_full_disk_costs_memory_and_no_key() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Inline);
    (0..2000).for_each(|operation| disk.fail_at(operation));
    note(&mut index, 0, 1000);
    all_found(&index, 1000);
    assert_eq!(index.runs.len(), 0);
    assert!(disk.operations() < 1000, "it was tried over and over");
    assert_eq!(run_files(&disk), [""; 0]);
}

#[test]
fn a_published_run_survives_a_crash_at_any_later_operation() {
    let disk = disk();
    let mut sound = index(&disk, 16, Sealing::Inline);
    note(&mut sound, 0, 110);
    for crash in 0..disk.operations() {
        let disk = self::disk();
        disk.crash_at(crash);
        let mut index = index(&disk, 16, Sealing::Inline);
        note(&mut index, 0, 110);
        for seed in 0..3 {
            let again = reopened(&index, &disk.survivor(seed)).unwrap();
            all_found(&again, 110);
            assert_eq!(again.sum().unwrap(), sound.sum().unwrap());
        }
    }
}

#[test]
fn damage_to_a_run_loses_no_key_without_a_word() {
    let disk = disk();
    let mut index = index(&disk, 500, Sealing::Inline);
    note(&mut index, 0, 1100);
    let names = run_files(&disk);
    assert!(names.len() > 1);
    for name in &names {
        let path = Path::new(DIR).join(name);
        let length = disk.bytes(&path).unwrap().len() as u64;
        let (mut refused, mut found) = (0, 0);
        for step in 0..60 {
            let damaged = disk.copy();
            // Not in the header's padding, which nobody reads.
            let offset = if step < 20 { step * 5 } else { 4096 + step * 7919 % (length - 4096) };
            damaged.flip(&path, offset, step as u32 % 8);
            let Ok(again) = reopened(&index, &damaged) else {
                refused += 1;
                continue;
            };
            found += usize::from(again.sum().is_err());
            for n in (0..1100).step_by(3) {
                if let Ok(candidates) = again.candidates(hash(n)) {
                    assert!(candidates.contains(&position(n)), "{n} is lost by {offset}");
                }
            }
        }
        assert_eq!(refused + found, 60, "{name}: a flipped bit was not found");
        assert!(refused > 10 && found > 10, "{refused} refused, {found} found");
    }
    for change in [None, Some(0), Some(4095), Some(5000)] {
        let damaged = disk.copy();
        let path = Path::new(DIR).join(&names[0]);
        match change {
            None => damaged.take_away(&path),
            Some(length) => damaged.put(&path, disk.bytes(&path).unwrap()[..length].to_vec()),
        }
        assert!(reopened(&index, &damaged).is_err());
    }
    // A run in the place of another is no run.
    let swapped = disk.copy();
    let [one, two] = [0, 1].map(|nth| Path::new(DIR).join(&names[nth]));
    swapped.put(&one, disk.bytes(&two).unwrap());
    assert!(reopened(&index, &swapped).is_err());
}

#[test]
fn a_run_that_cannot_be_merged_is_left_alone() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Inline);
    note(&mut index, 0, 18);
    let first = Path::new(DIR).join(&run_files(&disk)[0]);
    // In the first block of entries.
    disk.flip(&first, 4096 + 40, 0);
    note(&mut index, 18, 600);
    // The damaged one and its three neighbours stay; the others are merged.
    assert!((5..12).contains(&index.runs.len()), "{}", index.runs.len());
    assert!((0..600).filter(|n| index.candidates(hash(*n)).is_err()).count() >= 16);
    for n in 18..600 {
        if let Ok(found) = index.candidates(hash(n)) {
            assert!(found.contains(&position(n)));
        }
    }
}

#[test]
fn runs_that_nobody_needs_are_swept() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Inline);
    note(&mut index, 0, 54);
    let early = index.kept().runs;
    note(&mut index, 54, 500);
    assert!(run_files(&disk).len() > index.runs.len(), "merged runs stay where they are");
    let early: BTreeSet<u64> = early.iter().map(|name| name.number).collect();
    index.shelf().sweep(&early).unwrap();
    assert_eq!(run_files(&disk).len(), index.runs.len() + early.len());
    index.shelf().sweep(&BTreeSet::new()).unwrap();
    assert_eq!(run_files(&disk).len(), index.runs.len());
    all_found(&reopened(&index, &disk).unwrap(), 500);
    // What a crash left over goes at the next start.
    disk.put(&Path::new(DIR).join("keys-00000000000000ff.tmp"), vec![1; 100]);
    disk.put(&Path::new(DIR).join("keys-00000000000000fe"), vec![1; 100]);
    let again = reopened(&index, &disk).unwrap();
    again.shelf().sweep(&BTreeSet::new()).unwrap();
    assert_eq!(run_files(&disk).len(), index.runs.len());
}

#[test]
fn a_merged_run_is_not_swept_before_the_teller_has_the_one_in_its_place() {
    let disk = disk();
    let shelf = index(&disk, 1, Sealing::Inline).shelf.clone();
    let mut archivist = Archivist::new(shelf.clone(), Vec::new());
    for n in 0..4 {
        let mut window = Window::new();
        window.insert(Entry::new(hash(n).print(), position(n)));
        let (from, until) = (position(n), position(n + 1));
        archivist.seal(&Frozen { window, from, until }, &mut |_| Ok(())).unwrap();
    }
    archivist.merge_all();
    assert_eq!(archivist.runs.len(), 1);
    // The snapshot that he begins now would name the four.
    shelf.sweep(&BTreeSet::new()).unwrap();
    assert_eq!(run_files(&disk).len(), 5);
    archivist.hand_over().merged.into_iter().for_each(|number| shelf.let_go(number));
    shelf.sweep(&BTreeSet::new()).unwrap();
    assert_eq!(run_files(&disk).len(), 1);
}

#[test]
fn the_archivists_thread_seals_and_merges_beside_the_teller() {
    let disk = disk();
    let durable = Arc::new(Durable::new(0));
    let mut index = index(&disk, 64, Sealing::Background);
    index.begin(durable.clone()).unwrap();
    note(&mut index, 0, 1000);
    let (files, frozen) = (run_files(&disk), index.frozen.is_some());
    let lost = (0..1000).find(|n| !index.candidates(hash(*n)).unwrap().contains(&position(*n)));
    durable.set(Ok(position(1000)));
    // Nothing was durable, so nothing was sealed; and what waits to be can be read.
    assert_eq!((files, frozen, lost), (Vec::new(), true, None));
    let mut next = 1000;
    while index.runs.iter().map(|run| run.header().count).sum::<u64>() < 1000 {
        assert!(next < 100_000, "the archivist writes nothing");
        note(&mut index, next, next + 30);
        next += 30;
        durable.set(Ok(position(next)));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    all_found(&index, next);
    index.rest();
    all_found(&index, next);
    let again = reopened(&index, &disk).unwrap();
    all_found(&again, next);
    assert_eq!(again.sum().unwrap(), index.sum().unwrap());
}

#[test]
fn the_archivists_thread_ends_though_it_waits_for_what_will_never_be_durable() {
    let disk = disk();
    let mut index = index(&disk, 16, Sealing::Background);
    index.begin(Arc::new(Durable::new(0))).unwrap();
    (0..16).for_each(|n| index.insert(hash(n), position(n)));
    index.tend(true, u64::MAX);
    index.rest();
    assert!(index.frozen.is_some() && run_files(&disk).is_empty());
    all_found(&index, 16);
}

#[test]
#[should_panic(expected = "a window is frozen between two batches")]
fn a_window_is_not_frozen_in_the_middle_of_a_batch() {
    let mut index = index(&disk(), 16, Sealing::Inline);
    (0..16).for_each(|n| index.insert(hash(n), position(n)));
    index.tend(true, position(15));
}

#[test]
fn what_is_not_durable_is_never_sealed() {
    for sealing in [Sealing::Inline, Sealing::Background] {
        let disk = disk();
        let durable = Arc::new(Durable::new(0));
        durable.set(Err(StoreError::Poisoned { cause: "the disk failed".into() }));
        let mut index = index(&disk, 16, sealing);
        index.begin(durable).unwrap();
        let mut noted = 0;
        while index.retry_at.is_none() && index.runs.is_empty() {
            assert!(noted < 100_000, "the archivist says nothing");
            note(&mut index, noted, noted + 30);
            noted += 30;
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(run_files(&disk), [""; 0], "{sealing:?}");
        all_found(&index, noted);
    }
}

/// What may happen to an index.
#[derive(Clone, Debug)]
enum Step {
    /// So many new keys, out of few prints or of many.
    Note(u8, bool),
    Tend,
    /// It is closed and opened again.
    Reopen,
    /// The journal is read back once more from so many keys ago.
    Again(u8),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), any::<bool>()).prop_map(|(count, few)| Step::Note(count, few)),
        4 => Just(Step::Tend),
        1 => Just(Step::Reopen),
        1 => any::<u8>().prop_map(Step::Again),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_index_knows_what_a_map_knows(steps in vec(step(), 1..60), window in 1..200usize) {
        let disk = disk();
        let mut index = index(&disk, window, Sealing::Inline);
        let mut known: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut noted: Vec<(KeyHash, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Note(count, few) => for _ in 0..count {
                    let n = noted.len() as u64;
                    let hash = if few { hash(n % 7) } else { hash(n) };
                    index.insert(hash, position(n));
                    known.entry(hash.0).or_default().push(position(n));
                    noted.push((hash, position(n)));
                },
                Step::Tend => index.tend(true, u64::MAX),
                Step::Reopen => index = reopened(&index, &disk).unwrap(),
                Step::Again(back) => {
                    let from = noted.len().saturating_sub(back.into());
                    noted[from..].iter().for_each(|(hash, at)| index.insert(*hash, *at));
                }
                Step::Sweep => index.shelf().sweep(&BTreeSet::new()).unwrap(),
            }
        }
        let mut sum = KeySum::default();
        noted.iter().for_each(|(hash, position)| sum.insert(*hash, *position));
        prop_assert_eq!(index.sum().unwrap(), sum);
        index.touch(&noted.iter().map(|(hash, _)| *hash).collect::<Vec<_>>());
        for (hash, positions) in known {
            let mut found = index.candidates(KeyHash(hash)).unwrap();
            found.sort_unstable();
            found.dedup();
            prop_assert!(positions.iter().all(|position| found.contains(position)));
        }
        let strangers = (1_000_000..1_000_100).filter(|n| {
            !index.candidates(hash(*n)).unwrap().is_empty()
        });
        prop_assert!(strangers.count() < 3);
    }
}
