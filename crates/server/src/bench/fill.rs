//! `bench fill`: makes a ledger of any size and keeps it, and tells how the rate held.
//!
//! Requests are made by a thread of their own, a batch at a time, so this process needs no more
//! memory for a hundred million of them than for one. How long the ledger waited for that thread
//! is told; on a machine with a free core it is little.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tongjang_core::Request;
use tongjang_store::disk::RealDisk;

use super::count::count;
use super::explained::Explained;
use super::figures::{Elapsed, grouped, mib, now, ratio, share, short};
use super::ledger::{BATCH, Ledger};
use super::limits::RawDisk;
use super::machine::{Io, Memory, size};
use super::report::{Output, Report};
use super::workload::{Shape, Workload};
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the new ledger, which is kept; `tongjang serve --data` can serve it
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    spec: Spec,
    /// End without closing the ledger, as after a crash
    #[arg(long)]
    no_close: bool,
    #[command(flatten)]
    output: Output,
}

/// What a ledger is filled with.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Spec {
    /// How many transactions, with the first deposit into each account; such as 20k or 100M
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = count)]
    pub(crate) transactions: usize,
    /// How many accounts, at least 2
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = count)]
    pub(crate) accounts: usize,
    /// Which accounts take part how often: uniform, zipf, zipf=S, or hot (one account is on one
    /// side of every tenth booking)
    #[arg(long, default_value = "uniform")]
    pub(crate) shape: Shape,
    /// Give each booking an idempotency key, as is the case without this
    #[arg(long, overrides_with = "no_keys")]
    keys: bool,
    /// Book without idempotency keys
    #[arg(long)]
    pub(crate) no_keys: bool,
    /// How many of 100 bookings are deposits; the others are transfers
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(0..=100))]
    pub(crate) deposits: u64,
    /// Write the journal through the page cache, to compare; a server writes past it
    #[arg(long)]
    pub(crate) buffered: bool,
    /// How many requests become durable by one sync
    #[arg(long, value_name = "N", default_value_t = BATCH)]
    pub(crate) batch: usize,
}

/// A year lies between the first transaction and the last.
const YEAR_MICROS: u64 = 365 * 24 * 3600 * 1_000_000;

impl Spec {
    /// A ledger as it is filled without options.
    pub(crate) fn plain(transactions: usize, accounts: usize, shape: Shape) -> Self {
        let (keys, no_keys, deposits, buffered, batch) = (true, false, 0, false, BATCH);
        Self { transactions, accounts, shape, keys, no_keys, deposits, buffered, batch }
    }

    /// Checks what no single option can tell.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.accounts >= 2, "--accounts must be at least 2, or nothing can move");
        anyhow::ensure!(
            self.transactions >= self.accounts,
            "--transactions must be at least --accounts, as each account first gets money"
        );
        anyhow::ensure!((1..=1 << 20).contains(&self.batch), "--batch is from 1 to 1048576");
        Ok(())
    }

    fn told(&self) -> serde_json::Value {
        json!({
            "transactions": self.transactions,
            "accounts": self.accounts,
            "shape": self.shape.to_string(),
            "keys": !self.no_keys,
            "deposits_percent": self.deposits,
            "buffered": self.buffered,
            "batch": self.batch,
        })
    }
}

/// A stretch of the filling: a tenth of the transactions.
#[derive(Clone, Debug, Serialize)]
struct Tenth {
    /// How many transactions there are at its end.
    transactions: usize,
    seconds: f64,
    per_second: f64,
    /// The share of the time in which the ledger waited for requests to be made.
    waited: f64,
    journal_bytes: u64,
    process_written_bytes: Option<u64>,
    device_written_bytes: Option<u64>,
    /// What this process wrote a second, as a share of what the bare disk takes.
    of_disk_bandwidth: Option<f64>,
    memory: Memory,
    snapshots: usize,
}

/// What is told of a filling while it goes on.
pub(crate) struct Progress {
    pub(crate) transactions: usize,
    /// How long the ledger waited for requests so far.
    waited: f64,
    /// Whether this is the end of a tenth; everything is durable then.
    tenth: bool,
    length: u64,
}

/// Makes a ledger in `dir`, and calls `watch` after each batch. It is open still.
pub(crate) fn fill(
    dir: &Path,
    spec: &Spec,
    mut watch: impl FnMut(&Progress) -> anyhow::Result<()>,
) -> anyhow::Result<Ledger> {
    spec.check()?;
    let there = dir.join("journal").exists();
    anyhow::ensure!(!there, "there is a ledger in {}; name a new folder", dir.display());
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let disk = if spec.buffered { RealDisk::through_cache() } else { RealDisk::default() };
    let mut ledger = Ledger::open_on(disk, dir)?;
    let step = (YEAR_MICROS / (spec.transactions + 2 * spec.accounts) as u64).max(1);
    let mut workload = Workload::new(spec.transactions as u64).shaped(
        spec.shape,
        !spec.no_keys,
        spec.deposits,
        step,
    );
    ledger.open_accounts(&mut workload, spec.accounts, None)?;
    let mut progress = Progress {
        transactions: spec.accounts,
        waited: 0.0,
        tenth: false,
        length: ledger.length(),
    };
    watch(&progress)?;
    let left = spec.transactions - spec.accounts;
    let requests = generated(workload, left, spec.batch)?;
    let mut tenth = 1;
    loop {
        let start = now();
        let Ok(batch) = requests.recv() else { break };
        progress.waited += start.seconds();
        ledger.commit(&batch)?;
        progress.transactions += batch.len();
        let booked = progress.transactions - spec.accounts;
        progress.tenth = booked * 10 >= left * tenth;
        if progress.tenth {
            tenth = booked * 10 / left + 1;
            ledger.settle()?;
        }
        progress.length = ledger.length();
        watch(&progress)?;
    }
    anyhow::ensure!(progress.transactions == spec.transactions, "the requests ran out too early");
    ledger.settle()?;
    Ok(ledger)
}

/// Makes `count` requests in a thread of their own, a few batches ahead.
fn generated(
    mut workload: Workload,
    count: usize,
    batch: usize,
) -> anyhow::Result<Receiver<Vec<Request>>> {
    let (made, requests) = sync_channel(4);
    std::thread::Builder::new().name("requests".into()).spawn(move || {
        let mut left = count;
        while left > 0 {
            let some = left.min(batch);
            let requests: Vec<Request> = (0..some).map(|_| workload.booking()).collect();
            if made.send(requests).is_err() {
                return;
            }
            left -= some;
        }
    })?;
    Ok(requests)
}

/// Watches a filling for the report.
struct Watch<'a> {
    dir: &'a Path,
    raw: RawDisk,
    tenths: Vec<Tenth>,
    snapshots: BTreeSet<String>,
    begun: Instant,
    waited: f64,
    transactions: usize,
    io: Io,
    /// What the samples of the bare disk wrote is none of the ledger's.
    aside: Io,
    told: Instant,
    whole: usize,
}

impl Watch<'_> {
    fn see(&mut self, progress: &Progress) -> anyhow::Result<()> {
        // Looking at the folder for each batch would be part of what is measured.
        if self.told.seconds() > 1.0 || progress.tenth {
            self.told = now();
            self.look_for_snapshots()?;
            let rate = (progress.transactions - self.transactions) as f64 / self.begun.seconds();
            let part = 100.0 * progress.transactions as f64 / self.whole as f64;
            let transactions = grouped(progress.transactions as f64);
            eprintln!("{transactions} transactions, {part:.0}%, {}/s", grouped(rate));
        }
        if progress.tenth { self.end_tenth(progress) } else { Ok(()) }
    }

    fn end_tenth(&mut self, progress: &Progress) -> anyhow::Result<()> {
        let seconds = self.begun.seconds();
        let now_written = Io::so_far(self.dir);
        let io = now_written.since(&self.io);
        let count = (progress.transactions - self.transactions) as f64;
        self.tenths.push(Tenth {
            transactions: progress.transactions,
            seconds,
            per_second: count / seconds,
            waited: (progress.waited - self.waited) / seconds,
            journal_bytes: progress.length,
            process_written_bytes: io.process_written,
            device_written_bytes: io.device_written,
            of_disk_bandwidth: None,
            memory: Memory::of(None),
            snapshots: self.snapshots.len(),
        });
        self.raw.sample()?;
        self.io = Io::so_far(self.dir);
        self.aside = self.aside.plus(&self.io.since(&now_written));
        (self.transactions, self.waited) = (progress.transactions, progress.waited);
        self.begun = now();
        Ok(())
    }

    fn look_for_snapshots(&mut self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("snapshot-") {
                self.snapshots.insert(name);
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { dir, spec, .. } = args;
    spec.check()?;
    let mut report = Report::begin("fill", dir, spec.told())?;
    let beside = super::scratch::Scratch::in_dir(dir)?;
    let mut raw = RawDisk::in_dir(beside.path())?;
    raw.sample()?;
    let start = Io::so_far(dir);
    let begun = now();
    let mut watch = Watch {
        dir,
        raw,
        tenths: Vec::new(),
        snapshots: BTreeSet::new(),
        begun,
        waited: 0.0,
        transactions: 0,
        io: start,
        aside: Io::none(),
        told: begun,
        whole: spec.transactions,
    };
    let mut opening = None;
    let ledger = fill(dir, spec, |progress| {
        if opening.is_none() {
            // From here on only bookings are counted.
            opening = Some(watch.begun.seconds());
            (watch.transactions, watch.begun) = (progress.transactions, now());
            watch.io = Io::so_far(dir);
        }
        watch.see(progress)
    })?;
    let limits = watch.raw.limits();
    drop(beside);
    let io = Io::so_far(dir).since(&start).since(&watch.aside);
    let journal_bytes = ledger.length();
    let closing = now();
    let kept = if args.no_close { Some(ledger) } else { ledger.close().map(|()| None)? };
    let closing = closing.seconds();
    watch.look_for_snapshots()?;
    let (length, taken) = size(dir)?;
    let count = spec.transactions as f64;
    let booked: f64 = watch.tenths.iter().map(|tenth| tenth.seconds).sum();
    let rate = (spec.transactions - spec.accounts) as f64 / booked;
    let memory = Memory::of(None);
    for tenth in &mut watch.tenths {
        let bandwidth = limits.megabytes_per_second * 1e6;
        tenth.of_disk_bandwidth = tenth
            .process_written_bytes
            .and_then(|bytes| ratio(bytes as f64 / tenth.seconds, bandwidth));
        report.result(&*tenth);
    }
    report.disk(&watch.raw);
    report.say(&format!(
        "one go, each transaction once: there is no round that warms up; written {}",
        if spec.buffered {
            "through the page cache"
        } else {
            "past the page cache where the disk can"
        },
    ));
    report.summary(json!({
        "opening_seconds": opening,
        "booking_seconds": booked,
        "closing_seconds": (!args.no_close).then_some(closing),
        "per_second": rate,
        "journal_bytes": journal_bytes,
        "journal_bytes_per_transaction": journal_bytes as f64 / count,
        "files_bytes": length,
        "disk_bytes": taken,
        "process_written_bytes": io.process_written,
        "process_written_bytes_per_transaction": io.process_written.map(|b| b as f64 / count),
        "device_written_bytes": io.device_written,
        "device_written_bytes_per_transaction": io.device_written.map(|b| b as f64 / count),
        "snapshots_seen": watch.snapshots.len(),
        "memory": memory,
    }));
    tell(&mut report, &watch);
    let each = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |b| short(b as f64 / count));
    report.say(&format!(
        "\n{} transactions at {}/s on average, and {} accounts before them in {} s",
        grouped(count),
        grouped(rate),
        grouped(spec.accounts as f64),
        short(opening.unwrap_or_default()),
    ));
    report.say(&format!(
        "bytes a transaction: {} of journal, {} written by this process, {} by the device",
        short(journal_bytes as f64 / count),
        each(io.process_written),
        each(io.device_written),
    ));
    report.say(&format!(
        "{} MiB of files, {} MiB of disk; {} snapshots seen; memory at most {} MiB",
        grouped(mib(length)),
        grouped(mib(taken)),
        watch.snapshots.len(),
        memory.peak_mib.map_or("?".to_owned(), |peak| grouped(peak as f64)),
    ));
    match &kept {
        None => report.say(&format!("closed in {} s; {}", short(closing), dir.display())),
        Some(_) => report.say(&format!("not closed; {}", dir.display())),
    }
    report.end(&args.output)?;
    if kept.is_some() {
        // The ledger is left as a crash would leave it: nothing is dropped, nothing is closed.
        std::process::exit(0);
    }
    Ok(())
}

fn tell(report: &mut Report, watch: &Watch<'_>) {
    let mut table = Explained::new(&[
        (
            "transactions",
            Align::Right,
            "how many there are in all at the end of the tenth, with the \
            first deposits into the accounts, which are before the first tenth",
        ),
        ("per second", Align::Right, "transactions a second in this tenth"),
        ("of the first", Align::Right, "that rate as a share of the first tenth's"),
        (
            "waited",
            Align::Right,
            "the share of this tenth in which the ledger waited for requests \
            to be made",
        ),
        ("journal MiB", Align::Right, "the journal's length at the end of the tenth, in all"),
        (
            "written MiB",
            Align::Right,
            "what this process wrote to disks in this tenth, snapshots \
            and indexes with it",
        ),
        (
            "of bandwidth",
            Align::Right,
            "written MiB a second as a share of what the bare disk \
            takes",
        ),
        ("memory MiB", Align::Right, "resident memory of this process at the end of the tenth"),
        ("snapshots", Align::Right, "how many different ones were seen since the ledger was made"),
    ]);
    let first = watch.tenths.first().map_or(f64::NAN, |tenth| tenth.per_second);
    for tenth in &watch.tenths {
        let memory = tenth.memory.now_mib.map_or("?".to_owned(), |mib| grouped(mib as f64));
        let written = tenth.process_written_bytes.map(mib);
        table.row(vec![
            grouped(tenth.transactions as f64),
            grouped(tenth.per_second),
            share(tenth.per_second, first),
            format!("{:.0}%", 100.0 * tenth.waited),
            grouped(mib(tenth.journal_bytes)),
            written.map_or("?".to_owned(), grouped),
            tenth.of_disk_bandwidth.map_or("?".to_owned(), |part| share(part, 1.0)),
            memory,
            tenth.snapshots.to_string(),
        ]);
    }
    report.table(&table);
}
