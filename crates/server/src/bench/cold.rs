//! Cold reads: a ledger's files, put out of the page cache before each query.
//!
//! `posix_fadvise(POSIX_FADV_DONTNEED)` drops what is clean, which all of a ledger is that nobody
//! writes; it needs no rights and leaves everybody else's cache alone. How much a query then read
//! from the disk is told, so that it can be seen whether it was cold.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;

use super::figures::{Times, now};
use super::workload::Random;

/// The files of a ledger, open to be dropped from the cache.
pub(crate) struct Files {
    files: Vec<(File, u64)>,
}

const PAGE: u64 = 4096;

impl Files {
    /// All files of the ledger in `dir`.
    pub(crate) fn of(dir: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        for folder in [dir.to_path_buf(), dir.join("journal")] {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("there is no ledger in {}", dir.display()))?;
            for entry in entries {
                let path = entry?.path();
                if path.is_file() {
                    let file = File::open(&path)?;
                    let length = file.metadata()?.len();
                    files.push((file, length));
                }
            }
        }
        Ok(Self { files })
    }

    /// Puts all of them out of the page cache.
    pub(crate) fn drop_from_cache(&self) -> anyhow::Result<()> {
        for (file, _) in &self.files {
            dont_need(file)?;
        }
        Ok(())
    }

    /// The limit of a cold read: one page of 4 KiB anywhere in the largest file, so many times.
    pub(crate) fn sample(&self, count: usize, random: &mut Random) -> anyhow::Result<Times> {
        let mut times = Times::new();
        let largest = self.files.iter().max_by_key(|(_, length)| *length);
        let Some((file, length)) = largest.filter(|(_, length)| *length >= PAGE) else {
            return Ok(times);
        };
        let mut page = [0; PAGE as usize];
        for _ in 0..count {
            dont_need(file)?;
            let offset = random.below(length / PAGE) * PAGE;
            let start = now();
            file.read_exact_at(&mut page, offset)?;
            times.record(start);
        }
        Ok(times)
    }
}

#[cfg(target_os = "linux")]
pub(super) fn dont_need(file: &File) -> anyhow::Result<()> {
    Ok(rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn dont_need(_: &File) -> anyhow::Result<()> {
    anyhow::bail!("this system cannot drop a file from its cache; add --no-cold")
}
