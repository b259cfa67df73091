//! A crash, or a failing disk, at every operation of a ledger's life.

use std::path::{Path, PathBuf};

use tongjang_sim::crash::{Scenario, config, open};
use tongjang_sim::random::Random;
use tongjang_store::faulty::{FaultyDisk, Operation};
use tongjang_store::journal::{Journal, KeysConfig, Sealing};

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
    let scenario = |seed| Scenario::new(seed ^ 0xbe51de, 3, 400, 8).with_snapshots_every(4 << 10);
    for seed in seeds(2) {
        with_seed(seed, || {
            let mut random = Random::new(seed);
            let scenario = scenario(seed);
            let operations = operations(&scenario, seed);
            for index in (0..20).map(|_| random.below(operations)) {
                let disk = FaultyDisk::new(seed);
                disk.crash_at(index);
                let run = scenario.run(&disk);
                scenario.check(&disk.survivor(seed ^ index as u64), run.answered);
            }
        });
    }
    let beside = some_life(scenario, |scenario, disk| {
        let snapshot = |path: &Path| path.to_string_lossy().contains("snapshot");
        let log = disk.operation_log();
        let written = |(operation, path): &&(Operation, PathBuf)| {
            *operation == Operation::Rename && snapshot(path)
        };
        log.iter().filter(written).count() > scenario.days()
    });
    assert!(beside, "no snapshot was ever written beside the teller");
}

/// Whether some life is as it `should` be. How far a thread comes beside the teller is for the
/// machine to say, so one life alone may not be.
fn some_life(
    scenario: impl Fn(u64) -> Scenario,
    should: impl Fn(&Scenario, &FaultyDisk) -> bool,
) -> bool {
    (1..200).any(|seed| {
        let (scenario, disk) = (scenario(seed), FaultyDisk::new(seed));
        assert!(scenario.run(&disk).error.is_none());
        should(&scenario, &disk)
    })
}

/// A life in which windows of keys are full after a few requests, so that runs are written,
/// merged and removed all the time.
fn small_windows(seed: u64, sealing: Sealing) -> Scenario {
    let scenario = match sealing {
        Sealing::Inline => Scenario::new(seed, 3, 6, 24),
        Sealing::Background => Scenario::new(seed ^ 0xbe51de, 3, 500, 12),
    };
    scenario.with_keys(KeysConfig { window: 5, sealing })
}

/// How often that was done to a run of keys.
fn to_runs(disk: &FaultyDisk, operation: Operation) -> usize {
    let log = disk.operation_log();
    let run = |path: &Path| path.to_string_lossy().contains("keys-");
    log.iter().filter(|(done, path)| *done == operation && run(path)).count()
}

#[test]
fn a_crash_while_keys_are_sealed_or_merged_loses_none() {
    let (mut written, mut removed) = (0, 0);
    for seed in seeds(2) {
        let (renames, removes) = with_seed(seed, || {
            let scenario = small_windows(seed, Sealing::Inline);
            let disk = FaultyDisk::new(seed);
            assert!(scenario.run(&disk).error.is_none());
            for index in 0..disk.operations() {
                let (answered, survivors) = crash_at(&scenario, seed, index);
                survivors.iter().for_each(|disk| scenario.check(disk, answered));
            }
            (to_runs(&disk, Operation::Rename), to_runs(&disk, Operation::Remove))
        });
        (written, removed) = (written + renames, removed + removes);
    }
    assert!(written > 10 && removed > 0, "{written} runs were written, {removed} removed");
}

#[test]
fn a_disk_that_fails_while_keys_are_sealed_or_merged_loses_none() {
    for seed in seeds(2) {
        with_seed(seed, || {
            let scenario = small_windows(seed, Sealing::Inline);
            for index in 0..operations(&scenario, seed) {
                let disk = FaultyDisk::new(seed);
                disk.fail_at(index);
                let run = scenario.run(&disk);
                let (_, path) = disk.operation_log().swap_remove(index);
                if path.to_string_lossy().contains("keys-") {
                    assert!(run.error.is_none(), "commits go on without runs: {run:?}");
                }
                disk.crash();
                scenario.check(&disk.survivor(seed ^ index as u64), run.answered);
            }
        });
    }
}

/// The archivist's thread beside the teller, and snapshots beside both.
#[test]
fn a_crash_while_the_archivist_works_beside_the_teller_loses_no_key() {
    let scenario = |seed| small_windows(seed, Sealing::Background).with_snapshots_every(64 << 10);
    for seed in seeds(2) {
        with_seed(seed, || {
            let mut random = Random::new(seed);
            let scenario = scenario(seed);
            let operations = operations(&scenario, seed);
            for index in (0..8).map(|_| random.below(operations)) {
                let disk = FaultyDisk::new(seed);
                disk.crash_at(index);
                let run = scenario.run(&disk);
                // It may have been done with fewer operations this time.
                disk.crash();
                scenario.check(&disk.survivor(seed ^ index as u64), run.answered);
            }
        });
    }
    let merged = some_life(scenario, |_, disk| to_runs(disk, Operation::Remove) > 0);
    assert!(merged, "no run was ever merged and removed");
}
