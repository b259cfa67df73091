//! What the disk itself takes: the limit that a durable ledger cannot pass.
//!
//! It writes to a file that is there already, as the journal does, and syncs; nothing else. It does
//! so through the page cache and, where the file system can, past it (`O_DIRECT`); the faster way
//! is the limit. A measurement samples it between its own rounds, so that both meet the machine in
//! one mood.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use super::figures::{Elapsed, Latency, Times, median, now, short};

/// How many syncs a sample makes.
const SYNCS: u64 = 64;
const BLOCK: usize = 4096;
/// How much a sample writes in one go.
const BULK: usize = 32 << 20;
const PIECE: usize = 1 << 20;

/// Samples of the bare disk under a folder.
pub(crate) struct RawDisk {
    ways: Vec<Way>,
    piece: Blocks,
}

/// One way to write, and what was sampled of it.
struct Way {
    file: RawFile,
    syncs: Times,
    megabytes: Vec<f64>,
}

/// What was sampled of one way to write.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct DiskLimits {
    /// Whether it went past the page cache.
    pub(crate) direct: bool,
    /// A write of 4 KiB and fdatasync.
    pub(crate) sync: Latency,
    /// 32 MiB in writes of 1 MiB and one fdatasync: 10^6 bytes a second, the median.
    pub(crate) megabytes_per_second: f64,
}

impl DiskLimits {
    pub(crate) fn told(&self) -> String {
        format!(
            "bare 4 KiB write and fdatasync p50 / p99 {} µs, {} MB/s{}",
            self.sync.brief(),
            short(self.megabytes_per_second),
            if self.direct { ", past the page cache" } else { "" },
        )
    }
}

impl RawDisk {
    /// Makes the files in `dir` and writes all of them once.
    pub(crate) fn in_dir(dir: &Path) -> anyhow::Result<Self> {
        let files = RawFile::each_way(dir, "raw-limit", BULK as u64)?;
        let ways = files
            .into_iter()
            .map(|file| Way { file, syncs: Times::new(), megabytes: Vec::new() })
            .collect();
        Ok(Self { ways, piece: Blocks::of(PIECE) })
    }

    /// Takes a sample, each way.
    pub(crate) fn sample(&mut self) -> anyhow::Result<()> {
        let piece = self.piece.bytes();
        for Way { file: RawFile { file, .. }, syncs, megabytes } in &mut self.ways {
            for nth in 0..SYNCS {
                let start = now();
                file.write_all_at(&piece[..BLOCK], nth * BLOCK as u64)?;
                file.sync_data()?;
                syncs.record(start);
            }
            let start = now();
            for offset in (0..BULK).step_by(PIECE) {
                file.write_all_at(piece, offset as u64)?;
            }
            file.sync_data()?;
            megabytes.push(BULK as f64 / 1e6 / start.seconds());
        }
        Ok(())
    }

    /// All samples together, of the way whose sync is the faster one.
    pub(crate) fn limits(&self) -> DiskLimits {
        let all = self.each_way();
        let fastest = all.iter().min_by(|a, b| a.sync.p50_us.total_cmp(&b.sync.p50_us));
        let mut limits = *fastest.expect("the page cache is one way");
        for way in &all {
            limits.megabytes_per_second = limits.megabytes_per_second.max(way.megabytes_per_second);
        }
        limits
    }

    /// All samples together, by the way.
    pub(crate) fn each_way(&self) -> Vec<DiskLimits> {
        let told = |way: &Way| DiskLimits {
            direct: way.file.direct,
            sync: way.syncs.latency(),
            megabytes_per_second: median(&way.megabytes),
        };
        self.ways.iter().map(told).collect()
    }
}

/// How many transactions a second the disk alone takes: as many bytes, as many syncs as `count`
/// of them in batches of `batch` that write `bytes` each, the faster way.
pub(crate) fn as_many_syncs(
    dir: &Path,
    count: usize,
    batch: usize,
    bytes: f64,
) -> anyhow::Result<f64> {
    let (size, commits) = ((bytes * batch as f64) as usize, count.div_ceil(batch));
    let blocks = Blocks::of(size.max(1));
    let whole = blocks.bytes().len();
    let mut fastest = 0f64;
    for RawFile { file, direct } in RawFile::each_way(dir, "raw", (whole * commits) as u64)? {
        // Past the cache only whole blocks can be written.
        let piece = if direct { blocks.bytes() } else { &blocks.bytes()[..size.max(1)] };
        let start = now();
        for commit in 0..commits {
            file.write_all_at(piece, (commit * piece.len()) as u64)?;
            file.sync_data()?;
        }
        fastest = fastest.max(count as f64 / start.seconds());
    }
    Ok(fastest)
}

/// A file to write to.
struct RawFile {
    file: File,
    direct: bool,
}

impl RawFile {
    /// A file for each way, with at least so many bytes that were written once: growing costs a
    /// sync far more.
    fn each_way(dir: &Path, name: &str, length: u64) -> anyhow::Result<Vec<Self>> {
        let buffered = written(&dir.join(name), length)?;
        let mut ways = vec![Self { file: buffered, direct: false }];
        if let Some(flag) = past_cache() {
            let path = dir.join(format!("{name}-direct"));
            // What is cached of it would have to be thrown away by the first writes.
            let _ = super::cold::dont_need(&written(&path, length)?);
            let opened = OpenOptions::new().write(true).custom_flags(flag).open(&path);
            // Some file systems have no such thing, and some say so only when they are to write.
            let can = |file: &File| file.write_all_at(Blocks::of(BLOCK).bytes(), 0).is_ok();
            ways.extend(opened.ok().filter(can).map(|file| Self { file, direct: true }));
        }
        Ok(ways)
    }
}

#[cfg(target_os = "linux")]
fn past_cache() -> Option<i32> {
    i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()
}

#[cfg(not(target_os = "linux"))]
fn past_cache() -> Option<i32> {
    None
}

fn written(path: &Path, length: u64) -> anyhow::Result<File> {
    let grown = || -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(path)?;
        let there = file.metadata()?.len();
        if there < length {
            let zeros = vec![0; PIECE];
            for offset in (there..length).step_by(PIECE) {
                file.write_all_at(&zeros, offset)?;
            }
            file.sync_all()?;
        }
        Ok(file)
    };
    grown().with_context(|| format!("cannot write {}", path.display()))
}

/// Whole blocks that lie in memory where `O_DIRECT` wants them.
struct Blocks {
    memory: Vec<u8>,
    from: usize,
    length: usize,
}

impl Blocks {
    /// At least so many bytes.
    fn of(bytes: usize) -> Self {
        let length = bytes.next_multiple_of(BLOCK);
        let memory = vec![7; length + BLOCK];
        let from = memory.as_ptr().align_offset(BLOCK);
        Self { memory, from, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[self.from..self.from + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_disk_is_sampled_each_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut raw = RawDisk::in_dir(dir.path()).unwrap();
        raw.sample().unwrap();
        let (limits, ways) = (raw.limits(), raw.each_way());
        assert!(!ways[0].direct && ways.iter().skip(1).all(|way| way.direct));
        for way in &ways {
            assert_eq!(way.sync.count, SYNCS);
            assert!(limits.sync.p50_us <= way.sync.p50_us);
            assert!(limits.megabytes_per_second >= way.megabytes_per_second);
        }
        assert!(as_many_syncs(dir.path(), 100, 10, 160.0).unwrap() > 0.0);
        assert!(std::fs::metadata(dir.path().join("raw")).unwrap().len() >= 16_000);
    }

    #[test]
    fn blocks_are_whole_and_lie_at_their_place() {
        for bytes in [1, BLOCK, BLOCK + 1] {
            let blocks = Blocks::of(bytes);
            assert_eq!(blocks.bytes().len(), bytes.next_multiple_of(BLOCK));
            assert_eq!(blocks.bytes().as_ptr().align_offset(BLOCK), 0);
        }
    }
}
