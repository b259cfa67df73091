//! The machine's own file system, by plain system calls.
//!
//! The journal's calls end here; every error names what was attempted and the file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::process::{Resource, getrlimit};

use super::{Disk, DiskFile, Lock};
use crate::StoreError;

/// So many files at least and at most are kept open to read from, whatever the process may open.
const OPEN_FILES: std::ops::RangeInclusive<u64> = 64..=16_384;

/// The file system of the machine. By default whole blocks are written past the operating
/// system's cache where it can.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RealDisk {
    through_cache: bool,
}

impl RealDisk {
    /// A disk on which all that is written goes through the operating system's cache, to measure
    /// what it costs to go past it.
    pub fn through_cache() -> Self {
        Self { through_cache: true }
    }

    fn opened(
        self,
        attempt: &'static str,
        path: &Path,
        options: &OpenOptions,
    ) -> Result<Arc<dyn DiskFile>, StoreError> {
        let file = options.open(path).map_err(|error| StoreError::io(attempt, path, error))?;
        let past_cache = if self.through_cache { None.into() } else { OnceLock::new() };
        let refused = AtomicBool::new(false);
        Ok(Arc::new(RealFile { path: path.to_owned(), file, past_cache, refused }))
    }
}

struct RealFile {
    path: PathBuf,
    file: File,
    /// The same file past the operating system's cache, opened when it is first needed; `None` if
    /// the file system has no such thing, or it is not to be used.
    past_cache: OnceLock<Option<File>>,
    /// A write past the cache was refused, so none is tried any more.
    refused: AtomicBool,
}

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        self.opened("open", path, OpenOptions::new().read(true).write(true))
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        self.opened("open", path, OpenOptions::new().read(true))
    }

    fn open_files(&self) -> usize {
        // Of what the process may open a quarter: those who read at this moment may hold as many
        // again for a while, and the connections take the other half.
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 4;
        usize::try_from(most.clamp(*OPEN_FILES.start(), *OPEN_FILES.end())).unwrap_or(usize::MAX)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut options = OpenOptions::new();
        // Balances and memos are nobody's to read but the server's, whatever folder they are in.
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        self.opened("create", path, &options)
    }

    fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        fs::exists(path).map_err(|error| StoreError::io("look for", path, error))
    }

    fn create_dir(&self, path: &Path) -> Result<(), StoreError> {
        fs::create_dir_all(path).map_err(|error| StoreError::io("create", path, error))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        let mut names = fs::read_dir(dir)
            .and_then(Iterator::collect::<Result<Vec<_>, io::Error>>)
            .map_err(|error| StoreError::io("list", dir, error))?
            .into_iter()
            // A name that is no UTF-8 is none of ours.
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect::<Vec<_>>();
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        fs::rename(from, to).map_err(|error| StoreError::io("rename", from, error))
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        fs::remove_file(path).map_err(|error| StoreError::io("remove", path, error))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        File::open(dir)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::io("sync", dir, error))
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| StoreError::io("open", path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path, error)),
        }
    }
}

/// Opens what `file` is once more, under whatever name it has by now.
fn past_cache(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;

    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()
}

impl RealFile {
    fn error(&self, attempt: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        let path = self.path.clone();
        move |error| StoreError::io(attempt, path, error)
    }
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError> {
        self.file.read_exact_at(bytes, offset).map_err(self.error("read"))
    }

    fn read_at_once(&self, bytes: &mut [u8], offset: u64) -> Result<bool, StoreError> {
        let all = bytes.len();
        let mut parts = [IoSliceMut::new(bytes)];
        match rustix::io::preadv2(&self.file, &mut parts, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read == all),
            // Nothing at hand, a kernel or a file system that cannot tell, or a true error: the
            // read that follows says which.
            Err(_) => Ok(false),
        }
    }

    fn will_jump(&self) {
        // It is a hint: where it fails, the kernel reads more than was asked for.
        let _ = fadvise(&self.file, 0, None, Advice::Random);
    }

    fn will_read(&self, offset: u64, len: usize) {
        // No length would mean all to the end of the file.
        if let Some(len) = NonZeroU64::new(len as u64) {
            // It is a hint: where it fails, the reads that follow are slower and no worse.
            let _ = fadvise(&self.file, offset, Some(len), Advice::WillNeed);
        }
    }

    fn write_at(&self, parts: &[IoSlice<'_>], mut offset: u64) -> Result<(), StoreError> {
        let mut parts = parts.to_vec();
        let mut left = parts.as_mut_slice();
        // Empty parts at the front would make a call that writes nothing, which is an error below.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = match rustix::io::pwritev(&self.file, left, offset) {
                Ok(0) => return Err(self.error("write")(io::ErrorKind::WriteZero.into())),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.error("write")(errno.into())),
            };
            offset += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    fn write_blocks(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        let file = self.past_cache.get_or_init(|| past_cache(&self.file)).as_ref();
        let file = file.filter(|_| !self.refused.load(Relaxed));
        match file.map(|file| file.write_all_at(bytes, offset)) {
            Some(Ok(())) => return Ok(()),
            // A file system may find only now that it cannot, or only not at such places.
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                self.refused.store(true, Relaxed);
                let path = self.path.display();
                tracing::debug!(%path, "cannot be written past the operating system's cache");
            }
            Some(Err(error)) => return Err(self.error("write")(error)),
            None => {}
        }
        self.write_at(&[IoSlice::new(bytes)], offset)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(self.error("sync"))
    }

    fn len(&self) -> Result<u64, StoreError> {
        self.file.metadata().map(|meta| meta.len()).map_err(self.error("ask the length of"))
    }

    fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.file.set_len(len).map_err(self.error("resize"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::disk::BLOCK;

    #[test]
    fn nobody_but_its_owner_reads_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        RealDisk::default().create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }

    #[test]
    fn a_look_that_fails_leaves_it_to_the_read_to_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk::default().create(&folder.path().join("file")).unwrap();
        // No system takes such an offset; the one before 0 would mean the file's own.
        let wrong = 1 << 63;
        assert!(!file.read_at_once(&mut [0; 8], wrong).unwrap());
        assert!(matches!(file.read_at(&mut [0; 8], wrong), Err(StoreError::Io { .. })));
    }

    #[test]
    fn a_block_is_read_as_it_was_written_whichever_way_it_went() {
        let folder = tempfile::tempdir().unwrap();
        let old = vec![1; 3 * BLOCK];
        for disk in [RealDisk::default(), RealDisk::through_cache()] {
            let (path, name) = (folder.path().join("file"), folder.path().join("name"));
            let file = disk.create(&path).unwrap();
            file.write_at(&[IoSlice::new(&old)], 0).unwrap();
            // The name by which it was opened is not its name any more.
            disk.rename(&path, &name).unwrap();
            let beside = disk.open_to_read(&name).unwrap();
            let mut seen = vec![0; old.len()];
            beside.read_at(&mut seen, 0).unwrap();
            assert_eq!(seen, old, "and now it is in the cache");
            let buffer: Vec<u8> = (0..3 * BLOCK).map(|at| at as u8 ^ (at >> 8) as u8).collect();
            let start = buffer.as_ptr().align_offset(BLOCK);
            // The second one lies in memory where it does not go past the cache.
            for (start, offset) in [(start, BLOCK), (start + 1, 2 * BLOCK)] {
                let block = &buffer[start..start + BLOCK];
                file.write_blocks(block, offset as u64).unwrap();
                beside.read_at(&mut seen, 0).unwrap();
                assert_eq!(seen[offset..offset + BLOCK], *block);
            }
            assert_eq!(seen[..BLOCK], old[..BLOCK]);
        }
    }
}
