//! The log that version 1 wrote once, kept for good: every later version must read it.
//!
//! As long as version 1 is what is written, the same frames must also give the same bytes.

use std::path::Path;

use tongjang_store::disk::Disk;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::frame::VERSION;

use crate::{SMALL, dir, reopen, segment, written};

const FRAMES: u64 = 24;

#[test]
fn the_log_of_version_1_is_read() {
    let disk = FaultyDisk::new(1);
    disk.create_dir(&dir()).unwrap();
    for (number, bytes) in kept() {
        disk.put(&segment(number), bytes);
    }
    let (log, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.end.frame_number, FRAMES);
    assert_eq!(recovered.torn, None);
    log.close().unwrap();
}

#[test]
fn version_1_is_still_written_as_it_was() {
    assert_eq!(VERSION, 1, "keep this test's files and add those of the new version");
    let (disk, _) = written(FRAMES, SMALL);
    for (number, bytes) in kept() {
        assert!(disk.bytes(&segment(number)) == Some(bytes), "segment {number}");
    }
}

fn kept() -> Vec<(u64, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log-v1");
    (0..2)
        .map(|number| {
            let name = segment(number);
            (number, std::fs::read(folder.join(name.file_name().unwrap())).unwrap())
        })
        .collect()
}
