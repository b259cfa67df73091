//! Cold reads: a ledger's files, put out of the page cache before each query.
//!
//! `posix_fadvise(POSIX_FADV_DONTNEED)` drops what is clean, which all of a ledger is that nobody
//! writes; it needs no rights and leaves everybody else's cache alone. How much a query then read
//! from the disk is told, so that it can be seen whether it was cold.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::figures::{Times, now};
use super::workload::Random;

/// The files of a ledger, to be dropped from the cache. They are opened anew each time: a large
/// ledger has more of them than a process may have open.
pub(crate) struct Files {
    files: Vec<(PathBuf, u64)>,
}

const PAGE: u64 = 4096;

impl Files {
    /// All files of the ledger in `dir`.
    pub(crate) fn of(dir: &Path) -> anyhow::Result<Self> {
        let (mut files, mut folders) = (Vec::new(), vec![dir.to_path_buf()]);
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("there is no ledger in {}", dir.display()))?;
            for entry in entries {
                let entry = entry?;
                match entry.metadata()? {
                    data if data.is_dir() => folders.push(entry.path()),
                    data => files.push((entry.path(), data.len())),
                }
            }
        }
        Ok(Self { files })
    }

    /// Puts all of them out of the page cache.
    pub(crate) fn drop_from_cache(&self) -> anyhow::Result<()> {
        self.files.iter().try_for_each(|(path, _)| match File::open(path) {
            Ok(file) => dont_need(&file),
            // A snapshot may have been replaced meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", path.display())),
        })
    }

    /// The limit of a cold read: one page of 4 KiB anywhere in the largest file, so many times.
    pub(crate) fn sample(&self, count: usize, random: &mut Random) -> anyhow::Result<Times> {
        let mut times = Times::new();
        let largest = self.files.iter().max_by_key(|(_, length)| *length);
        let Some((path, length)) = largest.filter(|(_, length)| *length >= PAGE) else {
            return Ok(times);
        };
        let file = File::open(path)?;
        let mut page = [0; PAGE as usize];
        for _ in 0..count {
            dont_need(&file)?;
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn files_in_folders_are_found_and_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("journal")).unwrap();
        std::fs::write(dir.path().join("journal/0.seg"), vec![1; 3 * PAGE as usize]).unwrap();
        std::fs::write(dir.path().join("snapshot"), b"short").unwrap();
        let files = Files::of(dir.path()).unwrap();
        assert_eq!(files.files.len(), 2);
        std::fs::remove_file(dir.path().join("snapshot")).unwrap();
        files.drop_from_cache().unwrap();
        assert_eq!(files.sample(4, &mut Random(1)).unwrap().count(), 4);
        assert!(Files::of(&dir.path().join("nowhere")).is_err());
    }
}
