//! A file that is there only once it is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What is written to a file, for its owner's eyes only, since it is about other people's money.
/// Until [`finish`](Self::finish) it is in `FILE.partial`, and what was in the file before stays.
#[derive(Debug)]
pub(super) struct WholeFile {
    path: PathBuf,
    /// `None` where a device or a pipe is written to, which nothing may replace.
    partial: Option<PathBuf>,
    out: BufWriter<File>,
}

impl WholeFile {
    /// Begins the file at `path`.
    ///
    /// # Errors
    /// If it cannot be written there.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let is_other = fs::metadata(path).is_ok_and(|found| !found.is_file());
        let partial = (!is_other).then(|| partial_of(path));
        let mut options = File::options();
        options.write(true).create(!is_other).truncate(!is_other);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(partial.as_deref().unwrap_or(path));
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let out = BufWriter::with_capacity(64 * 1024, file);
        Ok(Self { path: path.to_owned(), partial, out })
    }

    /// Makes it durable and puts it in its place.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        self.out.flush().with_context(cannot)?;
        if let Some(partial) = &self.partial {
            self.out.get_ref().sync_all().with_context(cannot)?;
            fs::rename(partial, &self.path).with_context(cannot)?;
            self.partial = None;
        }
        Ok(())
    }
}

/// The name of a file that is not whole yet.
pub(super) fn partial_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    name.into()
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // It is of no use, and may not even be there.
            let _ = fs::remove_file(partial);
        }
    }
}
