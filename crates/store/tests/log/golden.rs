//! The logs that each version wrote once, kept for good: every later version must read them.
//!
//! As long as a version is what is written, the same frames must also give the same bytes.

use std::path::{Path, PathBuf};

use tongjang_store::disk::Disk;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::journal::frame::VERSION;

use crate::{SMALL, dir, reopen, segment, written};

const FRAMES: u64 = 24;

#[test]
fn the_log_of_each_version_is_read() {
    for version in 1..=VERSION {
        let disk = FaultyDisk::new(1);
        disk.create_dir(&dir()).unwrap();
        for (number, bytes) in kept(version) {
            disk.put(&segment(number), bytes);
        }
        let (log, recovered) = reopen(&disk).unwrap();
        assert_eq!(recovered.end.frame_number, FRAMES);
        assert_eq!(recovered.torn, None);
        log.close().unwrap();
    }
}

#[test]
fn version_2_is_still_written_as_it_was() {
    assert_eq!(VERSION, 2, "keep this test's files and add those of the new version");
    let (disk, _) = written(FRAMES, SMALL);
    if std::env::var_os("TONGJANG_WRITE_GOLDEN").is_some() {
        // Only before a release: what a released version wrote is never written again.
        std::fs::create_dir_all(folder(VERSION)).unwrap();
        for number in 0..2 {
            let name = segment(number);
            let file = folder(VERSION).join(name.file_name().unwrap());
            std::fs::write(file, disk.bytes(&name).unwrap()).unwrap();
        }
    }
    for (number, bytes) in kept(VERSION) {
        assert!(disk.bytes(&segment(number)) == Some(bytes), "segment {number}");
    }
}

fn folder(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/log-v{version}"))
}

fn kept(version: u16) -> Vec<(u64, Vec<u8>)> {
    (0..2)
        .map(|number| {
            let name = segment(number);
            let file = folder(version).join(name.file_name().unwrap());
            (number, std::fs::read(file).unwrap())
        })
        .collect()
}
