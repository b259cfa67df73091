//! A crash at every operation of a scripted run, and at every operation of the recovery.
//!
//! Whatever the disk lost, tore or reordered: what was answered is there, and nothing else but
//! perhaps the one frame that was on its way.

use tongjang_store::faulty::{FaultyDisk, Operation};
use tongjang_store::journal::log::{Log, LogConfig, Spares};

use crate::{Answers, INLINE, SMALL, append, create, dir, reopen, written};

const FRAMES: u64 = 40;
const SEEDS: u64 = 12;

/// How far a run came: what was handed over, and what was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reach {
    created: bool,
    handed: u64,
    answered: u64,
}

/// Appends frames until the disk crashes. Later answers never turn good again.
fn run(disk: &FaultyDisk, config: LogConfig) -> Reach {
    let mut reach = Reach { created: false, handed: 0, answered: 0 };
    let Ok(mut log) = create(disk, config) else { return reach };
    reach.created = true;
    let answers = Answers::default();
    for number in 1..=FRAMES {
        reach.handed = number;
        if append(&mut log, number, &answers).is_err() {
            break;
        }
    }
    let closed = log.close();
    reach.answered = answered(&answers);
    assert_eq!(closed.is_ok(), reach.answered == reach.handed);
    reach
}

/// The last frame that was answered with success; everything before it was, and nothing after.
pub(crate) fn answered(answers: &Answers) -> u64 {
    let answers = answers.lock();
    let good = answers.iter().take_while(|(_, answer)| answer.is_ok()).count();
    assert!(answers[good..].iter().all(|(_, answer)| answer.is_err()), "poisoned for good");
    good as u64
}

/// Opens what survived, and goes on writing there. Says which frame was the last found.
fn check(survivor: &FaultyDisk, reach: Reach, told: &str) -> u64 {
    if !Log::exists(survivor, &dir()).unwrap() {
        assert!(!reach.created, "{told}: a log that was created is there");
        return 0;
    }
    let opened = reopen(survivor);
    let (mut log, recovered) = opened.unwrap_or_else(|error| panic!("{told}: {error}"));
    let last = recovered.end.frame_number;
    assert!(last >= reach.answered, "{told}: {last} frames, {reach:?}");
    assert!(last <= reach.handed.min(reach.answered + 1), "{told}: {last} frames, {reach:?}");
    let answers = Answers::default();
    for number in last + 1..=last + 2 {
        append(&mut log, number, &answers).unwrap();
    }
    log.close().unwrap();
    assert_eq!(answered(&answers), 2);
    let (log, recovered) = reopen(survivor).unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(recovered.end.frame_number, last + 2, "{told}");
    assert_eq!(recovered.torn, None, "{told}");
    log.close().unwrap();
    last
}

#[test]
fn after_a_crash_at_any_operation_what_was_answered_is_there_and_nothing_else() {
    for config in [SMALL, INLINE] {
        let whole = FaultyDisk::new(0);
        run(&whole, config);
        let (mut with_extra, mut without) = (0, 0);
        for index in 0..whole.operations() {
            let disk = FaultyDisk::new(index as u64);
            disk.crash_at(index);
            let reach = run(&disk, config);
            assert!(disk.has_crashed());
            for seed in 0..SEEDS {
                let told = format!("{config:?}, crash at {index}, seed {seed}");
                let last = check(&disk.survivor(seed), reach, &told);
                *if last > reach.answered { &mut with_extra } else { &mut without } += 1;
            }
        }
        assert!(with_extra > 100 && without > 100, "both kinds happened: {with_extra}, {without}");
    }
}

#[test]
fn a_crash_is_survived_also_while_another_thread_prepares_segments() {
    let whole = FaultyDisk::new(0);
    let config = LogConfig { spares: Spares::Background, ..SMALL };
    run(&whole, config);
    for index in 0..whole.operations() {
        let disk = FaultyDisk::new(index as u64);
        disk.crash_at(index);
        let reach = run(&disk, config);
        for seed in 0..4 {
            check(&disk.survivor(seed), reach, &format!("crash at {index}, seed {seed}"));
        }
    }
}

#[test]
fn a_second_crash_while_recovering_from_the_first_is_survived() {
    let whole = FaultyDisk::new(0);
    run(&whole, SMALL);
    let mut second_crashes = 0;
    for index in 0..whole.operations() {
        let disk = FaultyDisk::new(index as u64);
        disk.crash_at(index);
        let reach = run(&disk, SMALL);
        for seed in 0..3 {
            let recovering = disk.survivor(seed);
            if !Log::exists(&recovering, &dir()).unwrap() {
                continue;
            }
            reopen(&recovering).unwrap().0.close().unwrap();
            for again in 0..recovering.operations() {
                let disk = disk.survivor(seed);
                disk.crash_at(again);
                // The crash may hit the opening or the spare that is made after it.
                let _ = reopen(&disk).and_then(|(log, _)| log.close());
                assert!(disk.has_crashed());
                second_crashes += 1;
                let told = format!("crash at {index}, seed {seed}, then at {again}");
                check(&disk.survivor(seed + 100), reach, &told);
            }
        }
    }
    assert!(second_crashes > 500, "{second_crashes}");
}

#[test]
fn an_unfinished_write_is_cut_and_said() {
    let (disk, marks) = written(3, SMALL);
    let end = marks[2];
    let (mut log, _) = reopen(&disk).unwrap();
    // The next frame is written, but its sync never comes back.
    disk.crash_at(disk.operations() + 1);
    let _ = append(&mut log, 4, &Answers::default());
    log.close().unwrap_err();
    let (mut cut, mut kept) = (0, 0);
    for seed in 0..40 {
        let survivor = disk.survivor(seed);
        let (log, recovered) = reopen(&survivor).unwrap();
        log.close().unwrap();
        match recovered.torn {
            Some(torn) => {
                assert_eq!((torn.path, torn.offset), (crate::segment(0), end.position));
                assert!(torn.bytes > 0);
                let bytes = survivor.bytes(&crate::segment(0)).unwrap();
                assert!(bytes[end.position as usize..].iter().all(|&byte| byte == 0));
                cut += 1;
            }
            None => kept += u64::from(recovered.end.frame_number == 4),
        }
    }
    assert!(cut > 0 && kept > 0, "{cut} {kept}");
}

#[test]
fn one_frame_costs_one_write_and_one_sync() {
    let disk = FaultyDisk::new(0);
    let mut log = create(&disk, SMALL).unwrap();
    let before = disk.operations();
    for number in 1..=3 {
        append(&mut log, number, &Answers::default()).unwrap();
    }
    log.close().unwrap();
    let operations = disk.operation_log().split_off(before);
    let kinds: Vec<Operation> = operations.into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(kinds, [Operation::Write, Operation::Sync].repeat(3));
}
