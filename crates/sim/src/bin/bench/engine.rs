//! Transfers through the journal in process: three sides in turn, at each size of a batch.
//!
//! `journal` decides, encodes, writes and syncs; `sync` writes as many bytes to a file that is
//! there already and syncs as often, and does nothing else; `rules` decides in memory alone.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use tongjang_core::apply::apply;
use tongjang_core::{AccountId, Book, Decision, Event, Request, decide};
use tongjang_store::Store;
use tongjang_store::journal::{Journal, JournalConfig};

use crate::lean_book::LeanBook;
use crate::machine::{grouped, median, now};
use crate::workload::Workload;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many accounts there are.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: usize,
    /// How many transfers a round has, for batches of 64 and more.
    #[arg(long, default_value_t = 500_000)]
    transfers: usize,
    /// One transfer in so many pays into one and the same account.
    #[arg(long, default_value_t = 0)]
    hot: u64,
    /// The sizes of the batches.
    #[arg(long, value_delimiter = ',', default_value = "1,64,1024,8192")]
    batches: Vec<usize>,
}

pub(crate) fn run(dir: &Path, rounds: usize, args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let config = JournalConfig::new(dir.path(), *b"a bench's ledger");
    let (mut journal, _, _) = Journal::open(config)?;
    let mut rules = LeanBook::default();
    let mut workload = Workload::new(1);
    open_accounts(&mut journal, Some(&mut rules), &mut workload, args.accounts)?;
    workload.hot = args.hot;
    println!("{} accounts, every transfer with a key", grouped(args.accounts as f64));
    println!(
        "{:>7} {:>12} {:>12} {:>12} {:>9} {:>9} {:>10}",
        "batch", "journal/s", "raw sync/s", "rules/s", "of sync", "of rules", "B/transfer"
    );
    for &batch in &args.batches {
        let count = if batch < 64 { args.transfers.min(4_000) } else { args.transfers };
        let count = count.next_multiple_of(batch);
        let (mut through, mut raw, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        let mut bytes = 0.0;
        for _ in 0..rounds {
            let requests: Vec<Request> = (0..count).map(|_| workload.transfer()).collect();
            let start = now();
            decide_all(&mut rules, &requests);
            alone.push(count as f64 / start.elapsed_seconds());
            let before = journal.length();
            let start = now();
            commit_all(&mut journal, &requests, batch)?;
            through.push(count as f64 / start.elapsed_seconds());
            bytes = (journal.length() - before) as f64 / count as f64;
            raw.push(sync_all(dir.path(), count, batch, bytes)?);
        }
        let (through, raw, alone) = (median(&mut through), median(&mut raw), median(&mut alone));
        println!(
            "{batch:>7} {:>12} {:>12} {:>12} {:>9.2} {:>9.2} {bytes:>10.0}",
            grouped(through),
            grouped(raw),
            grouped(alone),
            through / raw,
            through / alone,
        );
    }
    journal.close()?;
    Ok(())
}

/// Seconds since an instant.
pub(crate) trait Elapsed {
    fn elapsed_seconds(&self) -> f64;
}

impl Elapsed for std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
    fn elapsed_seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Makes a ledger of so many accounts and transactions.
pub(crate) fn fill(
    journal: &mut Journal,
    workload: &mut Workload,
    accounts: usize,
    transactions: usize,
) -> anyhow::Result<()> {
    open_accounts(journal, None, workload, accounts)?;
    let mut left = transactions.saturating_sub(accounts);
    while left > 0 {
        let count = left.min(65_536);
        let requests: Vec<Request> = (0..count).map(|_| workload.transfer()).collect();
        commit_all(journal, &requests, 8192)?;
        left -= count;
    }
    Ok(())
}

/// Opens the accounts and puts money into each, on both sides.
fn open_accounts(
    journal: &mut Journal,
    mut rules: Option<&mut LeanBook>,
    workload: &mut Workload,
    accounts: usize,
) -> anyhow::Result<()> {
    for chunk in 0..accounts.div_ceil(8192) {
        let count = 8192.min(accounts - chunk * 8192);
        let openings: Vec<Request> = (0..count).map(|_| workload.open()).collect();
        let opened = commit_all(journal, &openings, 8192)?;
        let ids: Vec<AccountId> = opened
            .iter()
            .filter_map(|event| match event {
                Event::Opened(opening) => Some(opening.account.id),
                _ => None,
            })
            .collect();
        let deposits: Vec<Request> =
            ids.iter().map(|id| workload.deposit(*id, 1_000_000_000)).collect();
        commit_all(journal, &deposits, 8192)?;
        workload.accounts.extend(ids);
        if let Some(rules) = &mut rules {
            decide_all(*rules, &openings);
            decide_all(*rules, &deposits);
        }
    }
    Ok(())
}

fn decide_all<B: Book>(book: &mut B, requests: &[Request])
where
    B::Error: std::fmt::Debug,
{
    for request in requests {
        match decide(book, request).expect("a key can be looked up") {
            Decision::New(event) => apply(book, &event),
            other => panic!("every request of a measurement succeeds: {other:?}"),
        }
    }
}

/// Commits all, `batch` at a time, and waits until the last is durable.
pub(crate) fn commit_all(
    journal: &mut Journal,
    requests: &[Request],
    batch: usize,
) -> anyhow::Result<Vec<Event>> {
    let (done, durable) = std::sync::mpsc::channel();
    let mut commits = 0;
    let mut openings = Vec::new();
    for chunk in requests.chunks(batch) {
        let chunk: Vec<&Request> = chunk.iter().collect();
        journal.load(&chunk)?;
        for (nth, request) in chunk.iter().enumerate() {
            if nth.is_multiple_of(512) {
                journal.warm(&chunk[nth..chunk.len().min(nth + 512)]);
            }
            if journal.is_full() {
                let done = done.clone();
                journal.commit(Box::new(move |result| done.send(result).expect("we wait")))?;
                commits += 1;
            }
            match decide(journal.book(), request)? {
                Decision::New(event) => {
                    apply(journal.book(), &event);
                    if matches!(event, Event::Opened(_)) {
                        openings.push(event);
                    }
                }
                other => anyhow::bail!("every request of a measurement succeeds: {other:?}"),
            }
        }
        let done = done.clone();
        journal.commit(Box::new(move |result| done.send(result).expect("we wait")))?;
        commits += 1;
        if batch == 1 {
            // One at a time: the next request comes when this one is answered.
            durable.recv().context("the journal answers")??;
            commits -= 1;
        }
    }
    for _ in 0..commits {
        durable.recv().context("the journal answers")??;
    }
    Ok(openings)
}

/// How many transfers a second the disk alone takes: as many bytes, as many syncs.
fn sync_all(dir: &Path, count: usize, batch: usize, bytes: f64) -> anyhow::Result<f64> {
    let size = (bytes * batch as f64) as usize;
    let path = dir.join("raw");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
    let commits = count / batch;
    let (length, piece) = ((size * commits).max(1), vec![7u8; size]);
    if file.metadata()?.len() < length as u64 {
        let zeros = vec![0u8; 1 << 20];
        for offset in (0..length).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset as u64)?;
        }
        file.sync_all()?;
    }
    let start = now();
    for commit in 0..commits {
        file.write_all_at(&piece, (commit * size) as u64)?;
        file.sync_data()?;
    }
    Ok(count as f64 / start.elapsed_seconds())
}
