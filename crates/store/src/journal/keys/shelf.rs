//! Where the runs stand: beside the snapshots, each under its number.
//!
//! A snapshot names the runs that it needs, and those alone count. Others are left over from a
//! crash, or were merged; they go when no snapshot names them any more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::KeysConfig;
use crate::StoreError;
use crate::disk::Disk;

const PREFIX: &str = "keys-";
const TEMPORARY: &str = ".tmp";

/// What a snapshot calls a run. The checksum is its header's, and so covers all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::journal) struct RunName {
    pub(in crate::journal) number: u64,
    pub(in crate::journal) check: u64,
}

/// The folder, and which of its runs are in use.
pub(in crate::journal) struct Shelf {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) ledger_id: [u8; 16],
    pub(super) config: KeysConfig,
    live: Mutex<Live>,
}

/// The runs that this process reads or writes.
#[derive(Default)]
struct Live {
    numbers: BTreeSet<u64>,
    /// The highest number that was ever among them. None is given twice: whoever removes a run
    /// may have read its name a while ago.
    highest: u64,
}

impl Shelf {
    /// The shelf in `dir` of ledger `ledger_id`.
    pub(in crate::journal) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        ledger_id: [u8; 16],
        config: KeysConfig,
    ) -> Arc<Self> {
        Arc::new(Self { disk, dir, ledger_id, config, live: Mutex::default() })
    }

    /// A number that no run has, for one that is going to be written.
    ///
    /// # Errors
    /// If the folder cannot be read, or a file in it has the last number there is.
    pub(super) fn reserve(&self) -> Result<u64, StoreError> {
        let names = self.disk.list(&self.dir)?;
        let mut live = self.live.lock();
        let there = names.iter().filter_map(|name| run_number(name)).max().unwrap_or(0);
        let last = there.max(live.highest);
        let number = last.checked_add(1).ok_or_else(|| StoreError::Corrupt {
            path: self.path(last),
            offset: 0,
            what: "no run has such a number; remove it".into(),
        })?;
        live.highest = number;
        live.numbers.insert(number);
        Ok(number)
    }

    /// Run `number` is in use.
    pub(super) fn keep(&self, number: u64) {
        let mut live = self.live.lock();
        live.highest = live.highest.max(number);
        live.numbers.insert(number);
    }

    /// Run `number` is no longer in use, unless a snapshot names it.
    pub(super) fn let_go(&self, number: u64) {
        self.live.lock().numbers.remove(&number);
    }

    /// Removes the runs that are neither in use nor `needed`.
    ///
    /// # Errors
    /// If the folder cannot be read or one of them not be removed; the rest stays until next time.
    pub(in crate::journal) fn sweep(&self, needed: &BTreeSet<u64>) -> Result<(), StoreError> {
        // The names first: whoever writes a run reserves its number before there is a name.
        for name in self.disk.list(&self.dir)? {
            let Some(number) = run_number(&name) else { continue };
            if !needed.contains(&number) && !self.live.lock().numbers.contains(&number) {
                self.disk.remove(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// Where run `number` stands.
    pub(in crate::journal) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{number:016x}"))
    }

    pub(super) fn temporary(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{number:016x}{TEMPORARY}"))
    }
}

/// The number of the run that is called `name`, or will be.
fn run_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let digits = digits.strip_suffix(TEMPORARY).unwrap_or(digits);
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::FaultyDisk;

    #[test]
    fn no_number_is_given_twice() {
        let (disk, dir) = (Arc::new(FaultyDisk::new(1)), PathBuf::from("/ledger"));
        disk.create_dir(&dir).unwrap();
        let shelf = Shelf::new(disk.clone(), dir, [1; 16], KeysConfig::default());
        assert_eq!(shelf.reserve().unwrap(), 1);
        // It was not written, or its name was removed again.
        shelf.let_go(1);
        assert_eq!(shelf.reserve().unwrap(), 2);
        shelf.keep(9);
        shelf.let_go(9);
        assert_eq!(shelf.reserve().unwrap(), 10);
        disk.put(&shelf.path(u64::MAX), Vec::new());
        assert!(matches!(shelf.reserve(), Err(StoreError::Corrupt { .. })));
    }
}
