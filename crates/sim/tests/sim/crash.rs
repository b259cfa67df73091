//! A crash, or a failing disk, at every operation of a ledger's life.

use std::path::{Path, PathBuf};

use tongjang_sim::crash::{Scenario, config, open};
use tongjang_sim::random::Random;
use tongjang_store::faulty::{FaultyDisk, Operation};
use tongjang_store::journal::Journal;

use crate::{seeds, with_seed};

/// What a crash at operation `index` leaves, in two of the many ways.
fn crash_at(scenario: &Scenario, seed: u64, index: usize) -> (usize, [FaultyDisk; 2]) {
    let disk = FaultyDisk::new(seed);
    disk.crash_at(index);
    let run = scenario.run(&disk);
    assert!(disk.has_crashed(), "operation {index} was never reached");
    // Only the snapshot of a ledger that is being closed may fail without a word: all is durable.
    let all_answered = run.answered == scenario.requests().count();
    assert!(run.error.is_some() || all_answered, "a crash at {index} was passed over");
    (run.answered, [0, 1].map(|nth| disk.survivor(seed ^ (index as u64 * 2 + nth))))
}

fn operations(scenario: &Scenario, seed: u64) -> usize {
    let disk = FaultyDisk::new(seed);
    let run = scenario.run(&disk);
    assert!(run.error.is_none(), "{run:?}");
    disk.operations()
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_answered() {
    for seed in seeds(2) {
        with_seed(seed, || {
            let scenario = Scenario::new(seed, 3, 6, 24);
            for index in 0..operations(&scenario, seed) {
                let (answered, survivors) = crash_at(&scenario, seed, index);
                survivors.iter().for_each(|disk| scenario.check(disk, answered));
            }
        });
    }
}

#[test]
fn a_longer_life_survives_crashes_here_and_there() {
    for seed in seeds(2) {
        with_seed(seed, || {
            let mut random = Random::new(seed);
            let scenario = Scenario::new(seed ^ 0x5eed, 4, 40, 120);
            let operations = operations(&scenario, seed);
            for _ in 0..12 {
                let index = random.below(operations);
                let (answered, [disk, _]) = crash_at(&scenario, seed, index);
                scenario.check(&disk, answered);
            }
        });
    }
}

#[test]
fn a_crash_while_a_crash_is_recovered_from_loses_nothing_either() {
    for seed in seeds(3) {
        with_seed(seed, || {
            let mut random = Random::new(seed);
            let scenario = Scenario::new(seed, 3, 6, 24);
            let operations = operations(&scenario, seed);
            for _ in 0..12 {
                let index = random.below(operations);
                let (answered, [left, _]) = crash_at(&scenario, seed, index);
                let trial = left.copy();
                let (journal, ..) = open(&trial);
                drop(journal);
                for again in 0..trial.operations() {
                    let disk = left.copy();
                    disk.crash_at(again);
                    // It may come to its end: some operations only follow the opening.
                    drop(Journal::open(config(&disk)));
                    scenario.check(&disk.survivor(again as u64), answered);
                }
            }
        });
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_answered_that_could_be_lost() {
    for seed in seeds(2) {
        with_seed(seed, || {
            let scenario = Scenario::new(seed, 3, 6, 24);
            let operations = operations(&scenario, seed);
            let mut failures = 0;
            for index in 0..operations {
                let disk = FaultyDisk::new(seed);
                disk.fail_at(index);
                let run = scenario.run(&disk);
                failures += usize::from(run.error.is_some());
                disk.crash();
                for nth in 0..2 {
                    let left = disk.survivor(seed ^ (index as u64 * 2 + nth));
                    scenario.check(&left, run.answered);
                }
            }
            // Only a spare segment that nobody came to need may fail unnoticed.
            assert!(failures * 2 > operations, "{failures} of {operations} failures were seen");
        });
    }
}

#[test]
fn a_seed_gives_the_same_operations_each_time() {
    let lives = || {
        let disk = FaultyDisk::new(5);
        Scenario::new(5, 3, 6, 24).run(&disk);
        disk.operation_log()
    };
    assert_eq!(lives(), lives());
}

/// Snapshots that a thread writes beside the teller: where in them a crash comes depends on that
/// thread, so only the disk's choices are of the seed.
#[test]
fn a_crash_while_a_snapshot_is_written_beside_the_teller_loses_nothing() {
    let mut beside = 0;
    for seed in seeds(2) {
        beside += with_seed(seed, || {
            let mut random = Random::new(seed);
            let scenario = Scenario::new(seed ^ 0xbe51de, 3, 400, 8).with_snapshots_every(4 << 10);
            let disk = FaultyDisk::new(seed);
            assert!(scenario.run(&disk).error.is_none());
            let log = disk.operation_log();
            let snapshot = |path: &Path| path.to_string_lossy().contains("snapshot");
            let written = |(operation, path): &&(Operation, PathBuf)| {
                *operation == Operation::Rename && snapshot(path)
            };
            let snapshots = log.iter().filter(written).count();
            let operations = log.len();
            for index in (0..20).map(|_| random.below(operations)) {
                let disk = FaultyDisk::new(seed);
                disk.crash_at(index);
                let run = scenario.run(&disk);
                scenario.check(&disk.survivor(seed ^ index as u64), run.answered);
            }
            snapshots - scenario.days()
        });
    }
    assert!(beside > 0, "no snapshot was ever written beside the teller");
}
