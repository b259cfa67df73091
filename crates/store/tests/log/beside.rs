//! Reading beside a server that writes: no lock, no change, no false alarm.
//!
//! The same reading finds damage, as that is what `tongjang verify` is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tongjang_store::StoreError;
use tongjang_store::disk::{Disk, RealDisk};
use tongjang_store::journal::log::{Known, Log, LogConfig, Recovered, Spares};

use crate::{Answers, LEDGER, SMALL, append, body, check_frame, dir, segment, written};

fn read(disk: Arc<dyn Disk>, dir: &std::path::Path) -> Result<Recovered, StoreError> {
    let mut next = 1;
    let (_, recovered) = Log::read_only(disk, dir, Known::default(), |info, bytes| {
        check_frame(info, bytes, &mut next);
        Ok(())
    })?;
    assert_eq!(recovered.end.frame_number, next - 1);
    Ok(recovered)
}

#[test]
fn a_log_is_read_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("journal");
    let config = LogConfig { spares: Spares::Background, ..SMALL };
    let mut log = Log::create(Arc::new(RealDisk::default()), &dir, LEDGER, config).unwrap();
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !written.load(SeqCst) {
                let recovered = read(Arc::new(RealDisk::default()), &dir).unwrap();
                assert!(recovered.end.frame_number >= seen, "it never shrinks");
                seen = recovered.end.frame_number;
            }
        });
        for number in 1..=1500 {
            append(&mut log, number, &Answers::default()).unwrap();
        }
        log.close().unwrap();
        written.store(true, SeqCst);
        reader.join().unwrap();
    });
    assert_eq!(read(Arc::new(RealDisk::default()), &dir).unwrap().end.frame_number, 1500);
}

#[test]
fn reading_only_cuts_nothing_and_needs_no_lock() {
    let (disk, marks) = written(20, SMALL);
    let lock = disk.lock(&dir().join("LOCK")).unwrap().unwrap();
    let last = marks[19].frame_position;
    disk.flip(&segment(last / SMALL.segment_bytes), last % SMALL.segment_bytes + 64, 0);
    let (before, operations) = (disk.bytes(&segment(0)), disk.operations());
    let recovered = read(Arc::new(disk.clone()), &dir()).unwrap();
    assert_eq!(recovered.end.frame_number, 19);
    assert!(recovered.torn.is_some());
    assert_eq!((disk.bytes(&segment(0)), disk.operations()), (before, operations));
    drop(lock);
}

#[test]
fn reading_only_finds_damage() {
    let (disk, marks) = written(20, SMALL);
    disk.flip(&segment(0), marks[4].frame_position + 64 + body(5).len() as u64 / 2, 0);
    let error = read(Arc::new(disk), &dir()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
