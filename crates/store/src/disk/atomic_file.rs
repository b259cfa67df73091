//! A file that is there whole or not at all: written beside, synced, and then renamed.
//!
//! Snapshots are written this way; the journal's first segment is made so too.

use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile};
use crate::StoreError;

/// So much is gathered before it is written.
const GATHERED: usize = 1 << 20;

/// A file in the making. Nothing has its name before [`commit`](Self::commit); dropped before
/// that, it leaves a `.tmp` behind, which the next one of that name overwrites.
pub struct AtomicFile {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: String,
    file: Arc<dyn DiskFile>,
    written: u64,
    gathered: Vec<u8>,
    failed: Option<StoreError>,
}

impl AtomicFile {
    /// Begins a file that will be `name` in `dir`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn begin(disk: Arc<dyn Disk>, dir: &Path, name: &str) -> Result<Self, StoreError> {
        let file = disk.create(&dir.join(temporary(name)))?;
        let gathered = Vec::with_capacity(GATHERED);
        let (dir, name) = (dir.to_owned(), name.to_owned());
        Ok(Self { disk, dir, name, file, written: 0, gathered, failed: None })
    }

    /// Adds `bytes` at the end.
    ///
    /// # Errors
    /// If the disk does not take them; the file is then never committed.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.gathered.len() + bytes.len() > GATHERED {
            self.spill(bytes)
        } else {
            self.gathered.extend_from_slice(bytes);
            Ok(())
        }
    }

    /// How many bytes were put.
    pub fn len(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Whether nothing was put.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes it durable and gives it its name, in place of a file that had it.
    ///
    /// # Errors
    /// The name then stands for the old file or for the new one, each whole.
    pub fn commit(mut self) -> Result<(), StoreError> {
        self.spill(&[])?;
        self.file.sync()?;
        self.disk.rename(&self.dir.join(temporary(&self.name)), &self.dir.join(&self.name))?;
        self.disk.sync_dir(&self.dir)
    }

    fn spill(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let parts = [IoSlice::new(&self.gathered), IoSlice::new(bytes)];
        let written = self.file.write_at(&parts, self.written);
        self.failed = written.clone().err();
        self.written += (self.gathered.len() + bytes.len()) as u64;
        self.gathered.clear();
        written
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spill(&[]).map_err(io::Error::other)
    }
}

/// Writes `bytes` as the file `name` in `dir`, whole or not at all.
///
/// # Errors
/// The name then stands for the old file or for the new one, each whole.
pub fn write_atomically(
    disk: Arc<dyn Disk>,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let mut file = AtomicFile::begin(disk, dir, name)?;
    file.put(bytes)?;
    file.commit()
}

fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}
