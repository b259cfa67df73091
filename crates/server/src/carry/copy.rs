//! A whole ledger from a folder into a database or back: event by event, as they are, and then the
//! directory. What was broken off goes on where it was, and in the end both sides are compared.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tongjang_core::Event;
use tongjang_core::apply::apply;
use tongjang_store::journal::frame::FIRST_EVENT;
use tongjang_store::journal::lock::lock;
use tongjang_store::journal::origin::mark_copied;
use tongjang_store::journal::{Journal, JournalConfig, chronicle as in_journal};
use tongjang_store::postgres::{
    Copying, Pool, PoolLimits, Postgres, Profile, Target, Way, chronicle as in_database,
};
use tongjang_store::{Store, StoreError};

use super::proof::{Proof, proof, settlements};
use crate::database::runtime;
use crate::directory::{in_postgres, in_sqlite};
use crate::serve::{UNFINISHED, make_folder};

/// So many events are added by one transaction.
const BATCH: usize = 4_096;

/// What a copy has come to.
pub(crate) struct Copied {
    /// How many events the ledger has.
    pub(crate) events: u64,
    /// How many of them an earlier run had copied.
    pub(crate) there: u64,
    /// How many users there are.
    pub(crate) users: usize,
    /// That both sides are the same.
    pub(crate) proof: Proof,
}

/// Told how many events were read so far.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(u64);

/// A database to copy from or to, to which nobody else is connected.
struct Side {
    ledger: Postgres,
    directory: Pool,
}

impl Side {
    fn open(target: Target, way: Way) -> anyhow::Result<Self> {
        let limits = PoolLimits { size: 2, ..PoolLimits::default() };
        let profile = Profile::DIRECTORY;
        let directory = target.pool(Copying::APPLICATION, profile, limits);
        let ledger = runtime()?.block_on(Postgres::open_to_copy(target, limits, way))?;
        Ok(Self { ledger, directory })
    }
}

/// Copies the ledger in the folder `from` into the database `to`.
///
/// # Errors
/// If either cannot be read or written, `to` holds anything else, or they differ in the end.
pub(crate) fn to_database(from: &Path, to: Target, watch: Watch<'_>) -> anyhow::Result<Copied> {
    let shown = from.display();
    ensure!(from.join("journal").is_dir(), "there is no ledger in {shown}");
    ensure!(!from.join(UNFINISHED).exists(), "the copy into {shown} is not finished itself");
    let config = JournalConfig::new(from, [0; 16]);
    let _locked = lock(&*config.disk, &from.join("journal")).map_err(|error| match error {
        StoreError::InUse { .. } => {
            anyhow::anyhow!("a server or an import has the ledger in {shown}; stop it first")
        }
        error => error.into(),
    })?;
    let source = Journal::open_to_read(&config)?;
    let id = in_journal::ledger_id(&config)?;
    let Side { ledger, directory } = Side::open(to, Way::Into)?;
    let mut copying = Copying::begin(&ledger, id, settlements(&source)?)?;
    let there = copying.done();
    let mut events = 0;
    let mut batch = Vec::new();
    in_journal::events(&config, |event: &Event| {
        events += 1;
        watch(events);
        if events > there && !copying.is_finished() {
            batch.push(event.clone());
            if batch.len() == BATCH {
                copying.add(std::mem::take(&mut batch))?;
            }
        }
        Ok::<_, StoreError>(())
    })?;
    if !batch.is_empty() {
        copying.add(batch)?;
    }
    ensure!(
        copying.done() == events,
        "{} events of the ledger in {shown} were copied before, and now it has {events}",
        copying.done()
    );
    let proof = proof(&source, &ledger.reader())?;
    let contents = in_sqlite::read_in(from)?;
    if !copying.is_finished() {
        runtime()?.block_on(in_postgres::finish_copy(&directory, &contents))?;
    }
    Ok(Copied { events, there, users: contents.users(), proof })
}

/// Copies the ledger in the database `from` into the folder `to`.
///
/// # Errors
/// If either cannot be read or written, `to` holds anything else, or they differ in the end.
pub(crate) fn to_folder(from: Target, to: &Path, watch: Watch<'_>) -> anyhow::Result<Copied> {
    let Side { ledger, directory } = Side::open(from, Way::From)?;
    let folder = Folder::begin(to, ledger.id())?;
    let config = JournalConfig::new(to, ledger.id().to_be_bytes());
    let mut events = 0;
    let there = if folder.is_finished {
        in_journal::events(&config, |_| {
            events += 1;
            watch(events);
            Ok::<_, StoreError>(())
        })?;
        events
    } else {
        let (mut store, _, opening) = Journal::open(config.clone())?;
        let there = opening.recovered.end.next_event - FIRST_EVENT;
        in_database::events(&ledger, |event: &Event| {
            events += 1;
            watch(events);
            if events > there {
                if store.is_full() || (events - there).is_multiple_of(BATCH as u64) {
                    store.commit(Box::new(|_| ()))?;
                    store.load(&[])?;
                }
                apply(store.book(), event);
            }
            Ok::<_, StoreError>(())
        })?;
        store.close()?;
        ensure!(there <= events, "{} has more events than the database", to.display());
        there
    };
    let copy = Journal::open_to_read(&config)?;
    let proof = proof(&ledger.reader(), &copy)?;
    let contents = runtime()?.block_on(in_postgres::read_in(&directory))?;
    if !folder.is_finished {
        in_sqlite::write_in(to, &contents)?;
        mark_copied(&config, events)?;
        folder.finish()?;
    }
    Ok(Copied { events, there, users: contents.users(), proof })
}

/// A folder that is copied into. Until all of it is there, a file in it says so.
struct Folder {
    mark: PathBuf,
    is_finished: bool,
}

impl Folder {
    /// Begins the copy of the ledger `id`, or goes on with it.
    fn begin(to: &Path, id: u128) -> anyhow::Result<Self> {
        let shown = to.display();
        let (mark, id_text) = (to.join(UNFINISHED), format!("{id:032x}\n"));
        let other =
            || anyhow::anyhow!("{shown} holds something already that is no part of this copy");
        match fs::read_to_string(&mark) {
            Ok(of) if of == id_text => return Ok(Self { mark, is_finished: false }),
            // It was killed before it had written even that.
            Ok(of) if of.is_empty() && !to.join("journal").exists() => {}
            Ok(_) => return Err(other()),
            Err(_) if to.join("journal").exists() => {
                let known = in_journal::ledger_id(&JournalConfig::new(to, [0; 16]))?;
                if known == id {
                    return Ok(Self { mark, is_finished: true });
                }
                return Err(other());
            }
            Err(_) => {
                let mut found = fs::read_dir(to).into_iter().flatten();
                if found.next().is_some() {
                    return Err(other());
                }
            }
        }
        make_folder(to)?;
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&mark)?;
            file.write_all(id_text.as_bytes())?;
            file.sync_all()?;
            File::open(to)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", mark.display()))?;
        Ok(Self { mark, is_finished: false })
    }

    fn finish(self) -> anyhow::Result<()> {
        let cannot = || format!("cannot remove {}", self.mark.display());
        fs::remove_file(&self.mark).with_context(cannot)?;
        let Some(folder) = self.mark.parent() else { bail!("the mark is in no folder") };
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(cannot)
    }
}
