//! Where a journal's first events come from: a ledger that several tellers wrote may have two at
//! one time, and a copy of it has them too. What the one teller of a journal adds is always later.

use std::io::IoSlice;
use std::path::PathBuf;

use super::JournalConfig;
use crate::StoreError;

/// The file in the journal's folder that says in decimal how many of its events were copied.
const NAME: &str = "COPIED";
/// No number of events has more digits, and a line's end follows them.
const LONGEST: u64 = 21;

/// Remembers, durably, that the first `events` events of the ledger in `config.dir` were copied
/// from a ledger with several tellers.
///
/// # Errors
/// If the disk fails.
pub fn mark_copied(config: &JournalConfig, events: u64) -> Result<(), StoreError> {
    let (dir, path) = (config.segments(), path(config));
    let unfinished = path.with_extension("tmp");
    let file = config.disk.create(&unfinished)?;
    file.write_at(&[IoSlice::new(format!("{events}\n").as_bytes())], 0)?;
    file.sync()?;
    config.disk.rename(&unfinished, &path)?;
    config.disk.sync_dir(&dir)
}

/// How many of the first events were copied: none, unless [`mark_copied`] says otherwise.
///
/// # Errors
/// [`StoreError::Corrupt`] if that is no number of events, or the disk's.
pub(super) fn copied(config: &JournalConfig) -> Result<u64, StoreError> {
    let path = path(config);
    if !config.disk.exists(&path)? {
        return Ok(0);
    }
    let file = config.disk.open_to_read(&path)?;
    let mut text = vec![0; file.len()?.min(LONGEST) as usize];
    file.read_at(&mut text, 0)?;
    let line = std::str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n'));
    line.and_then(|digits| digits.parse().ok()).ok_or_else(|| StoreError::Corrupt {
        path,
        offset: 0,
        what: "it is not the number of events that were copied; restore a backup".to_owned(),
    })
}

fn path(config: &JournalConfig) -> PathBuf {
    config.segments().join(NAME)
}
