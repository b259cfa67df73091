//! How much is read for an answer: that may grow with the logarithm of a history and no faster.

use std::collections::HashSet;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tongjang_core::{AccountId, Amount, Command, Direction, EntryNumber, Memo, Metadata};
use tongjang_store::disk::{Disk, DiskFile, Lock, RealDisk};
use tongjang_store::journal::{Journal, JournalConfig, JournalReader};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, StoreError};

use crate::ledger::{Ledger, deposit, withdraw};

/// The real disk, which counts what is read and has nothing at hand.
#[derive(Clone, Default)]
struct CountingDisk(Arc<Counts>);

#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    /// Reads that nobody was told of before, so each is waited for alone.
    waits: AtomicUsize,
    /// What the answer that is counted was told of.
    told: Mutex<HashSet<(PathBuf, u64)>>,
    /// How many files are open, and how many were so at most.
    open: AtomicUsize,
    most_open: AtomicUsize,
}

struct CountingFile {
    counts: Arc<Counts>,
    file: Arc<dyn DiskFile>,
}

impl CountingDisk {
    fn counting(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let open = self.0.open.fetch_add(1, Relaxed) + 1;
        self.0.most_open.fetch_max(open, Relaxed);
        Arc::new(CountingFile { counts: self.0.clone(), file })
    }

    /// The reads and waits that `ask` takes.
    fn of<T>(&self, ask: impl FnOnce() -> T) -> (T, usize, usize) {
        self.0.reads.store(0, Relaxed);
        self.0.waits.store(0, Relaxed);
        self.0.told.lock().unwrap().clear();
        (ask(), self.0.reads.load(Relaxed), self.0.waits.load(Relaxed))
    }
}

impl Disk for CountingDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        RealDisk::default().open(path)
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        RealDisk::default().open_to_read(path).map(|file| self.counting(file))
    }

    fn open_files(&self) -> usize {
        3
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        RealDisk::default().create(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        RealDisk::default().exists(path)
    }

    fn create_dir(&self, path: &Path) -> Result<(), StoreError> {
        RealDisk::default().create_dir(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        RealDisk::default().list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        RealDisk::default().rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        RealDisk::default().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        RealDisk::default().sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>, StoreError> {
        RealDisk::default().lock(path)
    }
}

impl Drop for CountingFile {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Relaxed);
    }
}

impl DiskFile for CountingFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError> {
        let place = (self.path().to_owned(), offset);
        let told = self.counts.told.lock().unwrap().remove(&place);
        self.counts.reads.fetch_add(1, Relaxed);
        self.counts.waits.fetch_add(usize::from(!told), Relaxed);
        self.file.read_at(bytes, offset)
    }

    fn read_at_once(&self, bytes: &mut [u8], _: u64) -> Result<bool, StoreError> {
        bytes.fill(0xa5);
        Ok(false)
    }

    fn will_read(&self, offset: u64, _: usize) {
        self.counts.told.lock().unwrap().insert((self.path().to_owned(), offset));
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<(), StoreError> {
        self.file.write_at(parts, offset)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.file.sync()
    }

    fn len(&self) -> Result<u64, StoreError> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<(), StoreError> {
        self.file.set_len(len)
    }
}

/// Every so many deposits there is one withdrawal.
const RARE: u64 = 500;

/// An account that comes to one size after the other, and the ledger's own account on the other
/// side of it, which has one entry more.
#[test]
fn what_is_read_grows_with_the_logarithm_of_a_history() {
    let largest: u64 = match std::env::var("TONGJANG_LONG_HISTORY") {
        Ok(entries) => entries.parse().unwrap(),
        Err(_) => 10_000,
    };
    let mut ledger = Ledger::with_segments(1 << 20);
    let (account, from, to) =
        (ledger.open_account(1), ledger.open_account(1), ledger.open_account(1));
    ledger.book(1, deposit(from, i128::from(largest), "")).unwrap();
    // Stands between any two rows, so that none are read in one piece.
    let between = Command::Transfer {
        from,
        to,
        amount: Amount::new(1).unwrap(),
        memo: Memo::new(&"𠮷".repeat(140)).unwrap(),
        to_memo: Some(Memo::new(&"土".repeat(140)).unwrap()),
        metadata: Metadata::EMPTY,
    };
    let mut entries = 0;
    for size in [10, 100, 1_000, 10_000, 100_000, 1_000_000] {
        if size > largest {
            break;
        }
        while entries < size {
            let more = (size - entries).min(1_000);
            let mut requests = Vec::new();
            for nth in entries..entries + more {
                let rare = nth % RARE == RARE - 1;
                let command = match rare {
                    true => withdraw(account, 1, "출금"),
                    false => deposit(account, 10, "입금"),
                };
                requests.push(ledger.request(1, None, command));
                requests.push(ledger.request(1, None, between.clone()));
            }
            assert!(ledger.perform(requests).iter().all(|answer| answer.outcome.is_ok()));
            entries += more;
        }
        let disk = CountingDisk::default();
        let config = JournalConfig { disk: Arc::new(disk.clone()), ..ledger.config() };
        let reader = Journal::open_to_read(&config).unwrap();
        let settlement = reader.accounts(None, Order::Asc, None, 1).unwrap()[0].id();
        measure(&disk, &reader, (account, size), (Direction::Debit, 0));
        measure(&disk, &reader, (settlement, size + 1), (Direction::Credit, 1));
    }
}

/// A page whose rows are all in different files holds only a few of them open at once.
#[test]
fn a_page_of_rows_that_stand_far_apart_holds_few_files_open() {
    let mut ledger = Ledger::with_segments(64 << 10);
    let (account, other) = (ledger.open_account(1), ledger.open_account(1));
    for _ in 0..40 {
        // More than a segment.
        let between = (0..300).map(|_| ledger.request(1, None, deposit(other, 1, ""))).collect();
        assert!(ledger.perform(between).iter().all(|answer| answer.outcome.is_ok()));
        ledger.book(1, deposit(account, 1, "")).unwrap();
    }
    let disk = CountingDisk::default();
    let config = JournalConfig { disk: Arc::new(disk.clone()), ..ledger.config() };
    let reader = Journal::open_to_read(&config).unwrap();
    disk.0.most_open.store(0, Relaxed);
    let (filter, after) = (EntryFilter::all(account), None);
    let query =
        EntryQuery { filter, order: Order::Desc, after, offset: 0, limit: 40, scan_limit: 100 };
    let (page, reads, waits) = disk.of(|| reader.entries(&query).unwrap());
    assert_eq!(page.rows.len(), 40);
    assert!(reads > 40 && waits < 10, "{reads} reads, {waits} waits");
    // Those that are kept, and one that is being read.
    let most = disk.0.most_open.load(Relaxed);
    assert!(most <= disk.open_files() + 1, "{most} files were open");
}

fn measure(
    disk: &CountingDisk,
    reader: &JournalReader,
    (account, size): (AccountId, u64),
    (rare, late): (Direction, u64),
) {
    // Where the account's blocks stand close, a time is found in some pieces of the journal.
    let pieces = 5;
    // A walk goes back over a root of the list, and down in its tree by two steps a level.
    let walk = 2 * (size.ilog2() as usize).saturating_sub(3);
    let few = |what: &str, counted: usize, most: usize| {
        assert!(counted <= most, "{what}: {counted} reads and not {most} at most, of {size}");
    };
    let booked_at = |number: u64| {
        let number = EntryNumber::new(number).unwrap();
        reader.entry(account, number).unwrap().unwrap().booked_at
    };
    let all = EntryFilter::all(account);
    let page = |filter: &EntryFilter, order, offset, limit| {
        let (filter, after) = (filter.clone(), None);
        let query = EntryQuery { filter, order, after, offset, limit, scan_limit: 100 };
        let (page, reads, waits) = disk.of(|| reader.entries(&query).unwrap());
        (page.rows, reads, waits)
    };
    // Rows, the one before them, and the blocks in which they and the listing's first are.
    let blocks = 50 / 16 + 3;
    let (rows, reads, waits) = page(&all, Order::Desc, 0, 50);
    assert_eq!(rows.len() as u64, size.min(50));
    few("waits of the newest page", waits, blocks);
    few("the newest page", reads, 51 + blocks);
    for part in 0..50 {
        let number = 1 + size * part / 50;
        let (time, later) = (booked_at(number), booked_at(number + (size - number) / 2));
        let middle = EntryFilter { from: Some(time), ..all.clone() };
        let (to, direction) = (Some(later), None);
        let range = EntryFilter { to, direction, ..middle.clone() };

        let (summary, reads, waits) = disk.of(|| reader.summary(&range, 0).unwrap().unwrap());
        assert_eq!(summary.count, (size - number) / 2);
        few("waits of a summary", waits, 2 * walk + 4);
        few("a summary", reads, 2 * (walk + pieces) + 2 * 5 + 4);

        for order in [Order::Asc, Order::Desc] {
            let (rows, reads, waits) = page(&all, order, number - 1, 50);
            assert_eq!(rows.len() as u64, 50.min(size - number + 1));
            few("waits of a jump", waits, 2 * walk + blocks);
            few("a jump", reads, 51 + 2 * walk + blocks);
        }
        let (rows, reads, waits) = page(&middle, Order::Asc, 0, 50);
        assert_eq!(rows[0].entry.number.get(), number);
        few("waits of a page by time", waits, 2 * walk + blocks);
        few("a page by time", reads, 51 + 5 + pieces + 2 * walk + blocks);

        let until = EntryFilter { to: Some(time), ..all.clone() };
        let (rows, _, waits) = page(&until, Order::Desc, 0, 50);
        assert_eq!(rows.len() as u64, 50.min(number - 1));
        // In a longer history its blocks, which stand close here, are found beside that time.
        few("waits of a page up to a time", waits, if size < 2_000 { walk } else { 0 } + blocks);

        let before = EntryFilter { to: Some(time), direction: Some(rare), ..all.clone() };
        let (rows, reads, _) = page(&before, Order::Desc, 0, 3);
        assert_eq!(rows.len() as u64, ((number - 1).saturating_sub(late) / RARE).min(3));
        few("a page of what is rare", reads, 5 + pieces + 3 * walk + 2 * 4);
    }
}
