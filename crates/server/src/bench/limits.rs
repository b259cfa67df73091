//! What the disk itself takes: the limit that a durable ledger cannot pass.
//!
//! It writes to a file that is there already, as the journal does, and syncs; nothing else. A
//! measurement samples it between its own rounds, so that both meet the machine in one mood.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::figures::{Elapsed, Latency, Times, median, now, short};

/// How many syncs a sample makes.
const SYNCS: u64 = 64;
const PAGE: usize = 4096;
/// How much a sample writes in one go.
const BULK: usize = 32 << 20;
const PIECE: usize = 1 << 20;

/// Samples of the bare disk under a folder.
pub(crate) struct RawDisk {
    file: File,
    syncs: Times,
    megabytes: Vec<f64>,
}

/// What was sampled.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DiskLimits {
    /// A write of 4 KiB and fdatasync.
    pub(crate) sync: Latency,
    /// 32 MiB in writes of 1 MiB and one fdatasync: 10^6 bytes a second, the median.
    pub(crate) megabytes_per_second: f64,
}

impl DiskLimits {
    pub(crate) fn told(&self) -> String {
        format!(
            "bare 4 KiB write and fdatasync p50 / p99 {} µs, {} MB/s",
            self.sync.brief(),
            short(self.megabytes_per_second)
        )
    }
}

impl RawDisk {
    /// Makes the file in `dir` and writes all of it once.
    pub(crate) fn in_dir(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("raw-limit");
        let attempt = || format!("cannot write {}", path.display());
        let file = written(&path, BULK as u64).with_context(attempt)?;
        Ok(Self { file, syncs: Times::new(), megabytes: Vec::new() })
    }

    /// Takes a sample.
    pub(crate) fn sample(&mut self) -> anyhow::Result<()> {
        let page = [7; PAGE];
        for nth in 0..SYNCS {
            let start = now();
            self.file.write_all_at(&page, nth * PAGE as u64)?;
            self.file.sync_data()?;
            self.syncs.record(start);
        }
        let piece = vec![7; PIECE];
        let start = now();
        for offset in (0..BULK).step_by(PIECE) {
            self.file.write_all_at(&piece, offset as u64)?;
        }
        self.file.sync_data()?;
        self.megabytes.push(BULK as f64 / 1e6 / start.seconds());
        Ok(())
    }

    /// All samples together.
    pub(crate) fn limits(&self) -> DiskLimits {
        DiskLimits { sync: self.syncs.latency(), megabytes_per_second: median(&self.megabytes) }
    }
}

/// How many transactions a second the disk alone takes: as many bytes, as many syncs as `count`
/// of them in batches of `batch` that write `bytes` each.
pub(crate) fn as_many_syncs(
    dir: &Path,
    count: usize,
    batch: usize,
    bytes: f64,
) -> anyhow::Result<f64> {
    let size = ((bytes * batch as f64) as usize).max(1);
    let commits = count.div_ceil(batch);
    let file = written(&dir.join("raw"), (size * commits) as u64)?;
    let piece = vec![7u8; size];
    let start = now();
    for commit in 0..commits {
        file.write_all_at(&piece, (commit * size) as u64)?;
        file.sync_data()?;
    }
    Ok(count as f64 / start.seconds())
}

/// A file with at least so many bytes that were written once, as growing costs a sync far more.
fn written(path: &Path, length: u64) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let there = file.metadata()?.len();
    if there < length {
        let zeros = vec![0; PIECE];
        for offset in (there..length).step_by(PIECE) {
            file.write_all_at(&zeros, offset)?;
        }
        file.sync_all()?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_disk_is_sampled() {
        let dir = tempfile::tempdir().unwrap();
        let mut raw = RawDisk::in_dir(dir.path()).unwrap();
        raw.sample().unwrap();
        let limits = raw.limits();
        assert_eq!(limits.sync.count, SYNCS);
        assert!(limits.megabytes_per_second > 0.0);
        assert!(as_many_syncs(dir.path(), 100, 10, 160.0).unwrap() > 0.0);
        assert!(std::fs::metadata(dir.path().join("raw")).unwrap().len() >= 16_000);
    }
}
