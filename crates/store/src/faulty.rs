//! A disk in memory that crashes, tears, forgets and lies, for the tests of what must survive it.
//!
//! It keeps apart what a process sees and what is durable. A crash lets any part of what was not
//! synced survive: whole writes or single sectors of them, in any order, and any of the names
//! that were made, changed or removed. One thing it never does: a sector of 512 bytes that is
//! being rewritten holds its old or its new content, never a mixture. SQLite calls this
//! power-safe overwriting and assumes it by default; PostgreSQL's write-ahead log relies on it
//! too. Folders are durable at once.

mod content;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::content::Content;
use self::random::Random;
use crate::StoreError;
use crate::disk::{BLOCK, Disk, DiskFile, Lock};

pub use self::content::SECTOR;

/// What changes a disk. Reads are not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A file was made or emptied.
    Create,
    /// Bytes were written.
    Write,
    /// A file's length was set.
    SetLen,
    /// A file was synced.
    Sync,
    /// A file got another name.
    Rename,
    /// A file was removed.
    Remove,
    /// A folder was synced.
    SyncDir,
}

/// "Input/output error", as Linux numbers it.
const EIO: i32 = 5;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct FaultyDisk(Arc<Mutex<State>>);

struct State {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that no `sync_dir` made durable yet, in their order.
    unsynced_names: Vec<NameChange>,
    folders: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    operations: Vec<(Operation, PathBuf)>,
    crash_at: Option<usize>,
    fail_at: BTreeSet<usize>,
    crashed: bool,
    random: Random,
}

#[derive(Clone)]
enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// What an operation is to do, apart from being counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Succeed,
    Fail,
    /// The process is gone before the answer; what it asked for is under way.
    Crash,
}

impl FaultyDisk {
    /// An empty disk. Whatever it leaves to chance is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            contents: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            folders: BTreeSet::new(),
            locks: BTreeSet::new(),
            operations: Vec::new(),
            crash_at: None,
            fail_at: BTreeSet::new(),
            crashed: false,
            random: Random::new(seed),
        })))
    }

    /// How many operations there were.
    pub fn operations(&self) -> usize {
        self.0.lock().operations.len()
    }

    /// All operations, and on what.
    pub fn operation_log(&self) -> Vec<(Operation, PathBuf)> {
        self.0.lock().operations.clone()
    }

    /// Crashes at operation `index`, counted from 0: it gets no answer, and neither does anything
    /// after it.
    pub fn crash_at(&self, index: usize) {
        self.0.lock().crash_at = Some(index);
    }

    /// Crashes now.
    pub fn crash(&self) {
        self.0.lock().crashed = true;
    }

    /// Whether it has crashed.
    pub fn has_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Lets operation `index`, counted from 0, fail with `EIO`. A write that fails may have been
    /// done in part; after a sync that failed, what was not durable may never become so, although
    /// it is still seen.
    pub fn fail_at(&self, index: usize) {
        self.0.lock().fail_at.insert(index);
    }

    /// The disk as it may be found after a crash, chosen by `seed`. This one stays as it is, so
    /// many survivors can be taken from one crash.
    pub fn survivor(&self, seed: u64) -> Self {
        let state = self.0.lock();
        let mut random = Random::new(seed);
        let mut names = state.durable_names.clone();
        for change in &state.unsynced_names {
            if random.chance(1, 2) {
                change.apply(&mut names);
            }
        }
        let contents = state.contents.iter().map(|content| content.survive(&mut random)).collect();
        Self(Arc::new(Mutex::new(State {
            contents,
            durable_names: names.clone(),
            names,
            unsynced_names: Vec::new(),
            folders: state.folders.clone(),
            locks: BTreeSet::new(),
            operations: Vec::new(),
            crash_at: None,
            fail_at: BTreeSet::new(),
            crashed: false,
            random,
        })))
    }

    /// The same content on a disk of its own, all of it durable.
    pub fn copy(&self) -> Self {
        let copy = self.survivor(0);
        let state = self.0.lock();
        let mut copied = copy.0.lock();
        copied.names.clone_from(&state.names);
        copied.durable_names.clone_from(&state.names);
        copied.contents = state.contents.iter().map(Content::settled).collect();
        drop(copied);
        copy
    }

    /// Flips bit `bit` of the byte at `offset` of a file, on the disk and as it is seen.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip(&self, path: &Path, offset: u64, bit: u32) {
        let mut state = self.0.lock();
        let content = state.names.get(path).copied().expect("the file to damage exists");
        state.contents[content].flip(place(offset), 1 << bit);
    }

    /// The bytes of a file as they are seen, if it is there.
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(path).map(|&content| state.contents[content].seen().to_vec())
    }

    /// Puts a file there, durable at once and not counted.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let content = state.contents.len();
        state.contents.push(Content::durable(bytes));
        state.names.insert(path.to_owned(), content);
        state.durable_names.insert(path.to_owned(), content);
    }

    /// Takes a file away, durably at once and not counted.
    pub fn take_away(&self, path: &Path) {
        let mut state = self.0.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    fn opened(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        let state = self.0.lock();
        state.alive("open", path)?;
        let content = *state.names.get(path).ok_or_else(|| missing("open", path))?;
        Ok(Arc::new(FaultyFile { disk: self.clone(), path: path.to_owned(), content }))
    }
}

impl State {
    fn alive(&self, attempt: &'static str, path: &Path) -> Result<(), StoreError> {
        if self.crashed { Err(gone(attempt, path)) } else { Ok(()) }
    }

    /// Counts an operation and says what becomes of it.
    fn begin(&mut self, operation: Operation, path: &Path) -> Result<Fate, StoreError> {
        self.alive("reach", path)?;
        let index = self.operations.len();
        self.operations.push((operation, path.to_owned()));
        if self.crash_at == Some(index) {
            self.crashed = true;
            return Ok(Fate::Crash);
        }
        Ok(if self.fail_at.remove(&index) { Fate::Fail } else { Fate::Succeed })
    }

    /// A change of names: it is seen at once, and durable after the folder's sync.
    fn change(
        &mut self,
        operation: Operation,
        path: &Path,
        change: NameChange,
    ) -> Result<(), StoreError> {
        let fate = self.begin(operation, path)?;
        if fate != Fate::Fail {
            change.apply(&mut self.names);
            self.unsynced_names.push(change);
        }
        answer(fate, "change", path)
    }
}

impl NameChange {
    /// Does nothing if an earlier change that it needs did not survive.
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(path, content) => {
                names.insert(path.clone(), *content);
            }
            Self::Rename(from, to) => {
                if let Some(content) = names.remove(from) {
                    names.insert(to.clone(), content);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Create(path, _) | Self::Rename(path, _) | Self::Remove(path) => path,
        }
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        self.opened(path)
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        self.opened(path)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, StoreError> {
        let mut state = self.0.lock();
        let new = state.contents.len();
        match state.names.get(path).copied() {
            Some(content) => {
                let fate = state.begin(Operation::Create, path)?;
                if fate != Fate::Fail {
                    state.contents[content].set_len(0);
                }
                answer(fate, "create", path)?;
            }
            None => {
                state.contents.push(Content::default());
                state.change(Operation::Create, path, NameChange::Create(path.to_owned(), new))?;
            }
        }
        drop(state);
        self.opened(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, StoreError> {
        let state = self.0.lock();
        state.alive("look for", path)?;
        Ok(state.names.contains_key(path) || state.folders.contains(path))
    }

    fn create_dir(&self, path: &Path) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        state.alive("create", path)?;
        state.folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        let state = self.0.lock();
        state.alive("list", dir)?;
        if !state.folders.contains(dir) {
            return Err(missing("list", dir));
        }
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        if !state.names.contains_key(from) {
            return Err(missing("rename", from));
        }
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        state.change(Operation::Rename, from, change)
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        if !state.names.contains_key(path) {
            return Err(missing("remove", path));
        }
        state.change(Operation::Remove, path, NameChange::Remove(path.to_owned()))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        let fate = state.begin(Operation::SyncDir, dir)?;
        if fate == Fate::Succeed {
            let State { unsynced_names, durable_names, .. } = &mut *state;
            unsynced_names.retain(|change| {
                let here = change.path().parent() == Some(dir);
                if here {
                    change.apply(durable_names);
                }
                !here
            });
        }
        answer(fate, "sync", dir)
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>, StoreError> {
        let mut state = self.0.lock();
        state.alive("lock", path)?;
        if !state.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(FaultyLock { disk: self.clone(), path: path.to_owned() })))
    }
}

struct FaultyLock {
    disk: FaultyDisk,
    path: PathBuf,
}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    content: usize,
}

impl DiskFile for FaultyFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), StoreError> {
        let state = self.disk.0.lock();
        state.alive("read", &self.path)?;
        let offset = place(offset);
        let seen = state.contents[self.content].seen().get(offset..offset + bytes.len());
        let early = || StoreError::io("read", &self.path, io::ErrorKind::UnexpectedEof.into());
        bytes.copy_from_slice(seen.ok_or_else(early)?);
        Ok(())
    }

    fn read_at_once(&self, bytes: &mut [u8], offset: u64) -> Result<bool, StoreError> {
        // Now and then something is not at hand, always the same, and the bytes are spoilt.
        if (offset >> 3).is_multiple_of(3) {
            bytes.fill(0xa5);
            return Ok(false);
        }
        self.read_at(bytes, offset).map(|()| true)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<(), StoreError> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut state = self.disk.0.lock();
        let fate = state.begin(Operation::Write, &self.path)?;
        if fate == Fate::Fail {
            let length = state.random.below(bytes.len() + 1);
            bytes.truncate(length);
        }
        state.contents[self.content].write(place(offset), &bytes);
        answer(fate, "write", &self.path)
    }

    fn write_blocks(&self, bytes: &[u8], offset: u64) -> Result<(), StoreError> {
        let whole = offset.is_multiple_of(BLOCK as u64) && bytes.len().is_multiple_of(BLOCK);
        assert!(whole, "whole blocks, and not {} bytes at {offset}", bytes.len());
        assert!(bytes.as_ptr().addr().is_multiple_of(BLOCK), "a block's place in memory");
        self.write_at(&[IoSlice::new(bytes)], offset)
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.disk.0.lock();
        let fate = state.begin(Operation::Sync, &self.path)?;
        let State { contents, random, .. } = &mut *state;
        match fate {
            Fate::Succeed => contents[self.content].sync(),
            Fate::Fail => contents[self.content].fail_sync(random),
            Fate::Crash => {}
        }
        answer(fate, "sync", &self.path)
    }

    fn len(&self) -> Result<u64, StoreError> {
        let state = self.disk.0.lock();
        state.alive("ask the length of", &self.path)?;
        Ok(state.contents[self.content].seen().len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<(), StoreError> {
        let mut state = self.disk.0.lock();
        let fate = state.begin(Operation::SetLen, &self.path)?;
        if fate != Fate::Fail {
            state.contents[self.content].set_len(place(len));
        }
        answer(fate, "resize", &self.path)
    }
}

fn answer(fate: Fate, attempt: &'static str, path: &Path) -> Result<(), StoreError> {
    match fate {
        Fate::Succeed => Ok(()),
        Fate::Fail => Err(StoreError::io(attempt, path, io::Error::from_raw_os_error(EIO))),
        Fate::Crash => Err(gone(attempt, path)),
    }
}

fn gone(attempt: &'static str, path: &Path) -> StoreError {
    StoreError::io(attempt, path, io::Error::other("the disk has crashed"))
}

fn missing(attempt: &'static str, path: &Path) -> StoreError {
    StoreError::io(attempt, path, io::ErrorKind::NotFound.into())
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a disk in memory is smaller than the memory")
}
