//! `bench engine`: transfers through the journal in process, three sides in turn.
//!
//! `journal` decides, encodes, writes and syncs; `sync` writes as many bytes to a file that is
//! there already and syncs as often, and does nothing else; `rules` decides in memory alone.

use serde::Serialize;
use serde_json::json;
use tongjang_core::Request;

use super::count::count;
use super::explained::Explained;
use super::figures::{Elapsed, Latency, Times, grouped, median, now, ratio, share, short};
use super::lean_book::LeanBook;
use super::ledger::{BATCH, Ledger, decide_all};
use super::limits::{RawDisk, as_many_syncs};
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::workload::{Shape, Workload};
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many accounts there are; several sizes are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "10k,1M", value_name = "N",
        value_parser = count)]
    accounts: Vec<usize>,
    /// How many transfers a round has, for batches of 64 and more
    #[arg(long, default_value_t = 500_000, value_name = "N", value_parser = count)]
    transfers: usize,
    /// How many at most for smaller batches, each of which waits for its sync
    #[arg(long, default_value_t = 4_000, value_name = "N", value_parser = count)]
    small: usize,
    /// Which accounts take part how often: uniform, zipf, zipf=S or hot
    #[arg(long, default_value = "uniform")]
    shape: Shape,
    /// The sizes of the batches
    #[arg(long, value_delimiter = ',', default_value = "1,64,1024,8192", value_name = "N")]
    batches: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Figures {
    accounts: usize,
    batch: usize,
    transfers: usize,
    per_second: f64,
    raw_sync_per_second: f64,
    rules_per_second: f64,
    of_raw_sync: Option<f64>,
    of_rules: Option<f64>,
    journal_bytes_per_transfer: f64,
    /// Batches of one alone, from the request to its sync: the others overlap.
    commit: Option<Latency>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    check(&args.accounts, &args.batches)?;
    let settings = json!({
        "accounts": args.accounts, "transfers": args.transfers, "small": args.small,
        "shape": args.shape.to_string(), "batches": args.batches, "rounds": common.rounds,
    });
    let mut report = Report::begin("engine", &common.dir(), settings)?;
    let mut table = Explained::new(&[
        ("accounts", Align::Right, "how many accounts the transfers are between"),
        ("batch", Align::Right, "how many transfers become durable by one sync"),
        ("journal/s", Align::Right, "transfers a second, decided, written and synced"),
        (
            "raw sync/s",
            Align::Right,
            "the same bytes and syncs by the bare disk, as transfers a second",
        ),
        ("rules/s", Align::Right, "transfers a second decided in memory, with nothing written"),
        ("of sync", Align::Right, "journal/s as a share of raw sync/s"),
        ("of rules", Align::Right, "journal/s as a share of rules/s"),
        ("B/transfer", Align::Right, "bytes of journal a transfer"),
        ("µs p50 / p99", Align::Right, "a batch of 1, from the request until it is durable"),
    ]);
    let scratch = Scratch::in_dir(&common.dir())?;
    let mut raw = RawDisk::in_dir(scratch.path())?;
    for &accounts in &args.accounts {
        eprintln!("opening {} accounts", grouped(accounts as f64));
        let mut bench = Bench::new(&scratch, accounts, args.shape)?;
        for &batch in &args.batches {
            let transfers =
                if batch < 64 { args.transfers.min(args.small) } else { args.transfers };
            eprintln!("batches of {batch}");
            let result = bench.measure(batch, transfers.max(1), common.rounds, &mut raw)?;
            table.row(vec![
                grouped(accounts as f64),
                grouped(batch as f64),
                grouped(result.per_second),
                grouped(result.raw_sync_per_second),
                grouped(result.rules_per_second),
                share(result.per_second, result.raw_sync_per_second),
                share(result.per_second, result.rules_per_second),
                short(result.journal_bytes_per_transfer),
                result.commit.map_or("–".to_owned(), |commit| commit.brief()),
            ]);
            report.result(result);
        }
        bench.ledger.close()?;
    }
    report.disk(&raw);
    report.say("every transfer has a key; rates are medians of the rounds");
    report.table(&table);
    report.end(&common.output)
}

fn check(accounts: &[usize], batches: &[usize]) -> anyhow::Result<()> {
    anyhow::ensure!(accounts.iter().all(|count| *count >= 2), "--accounts must be at least 2");
    anyhow::ensure!(batches.iter().all(|batch| *batch >= 1), "--batches are from 1 on");
    Ok(())
}

/// A journal and the rules alone, with the same accounts.
pub(crate) struct Bench<'a> {
    scratch: &'a Scratch,
    ledger: Ledger,
    rules: LeanBook,
    workload: Workload,
    accounts: usize,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(scratch: &'a Scratch, accounts: usize, shape: Shape) -> anyhow::Result<Self> {
        // Several may be compared side by side.
        let dir = tempfile::Builder::new().prefix("engine-").tempdir_in(scratch.path())?.keep();
        let mut ledger = Ledger::open(&dir)?;
        let mut rules = LeanBook::default();
        let mut workload = Workload::new(1).shaped(shape, true, 0, 1);
        ledger.open_accounts(&mut workload, accounts, Some(&mut rules))?;
        Ok(Self { scratch, ledger, rules, workload, accounts })
    }

    /// The journal's share of a round: how long so many transfers take in batches of `batch`.
    pub(crate) fn journal(&mut self, batch: usize, transfers: usize) -> anyhow::Result<Side> {
        let requests = self.requests(transfers);
        self.through_journal(&requests, batch)
    }

    fn requests(&mut self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.workload.booking()).collect()
    }

    fn through_journal(&mut self, requests: &[Request], batch: usize) -> anyhow::Result<Side> {
        let mut commits = Times::new();
        let before = self.ledger.length();
        let start = now();
        if batch == 1 {
            for request in requests {
                let start = now();
                self.ledger.commit_all(std::slice::from_ref(request), 1)?;
                commits.record(start);
            }
        } else {
            self.ledger.commit_all(requests, batch)?;
        }
        let per_second = requests.len() as f64 / start.seconds();
        let bytes = (self.ledger.length() - before) as f64 / requests.len() as f64;
        Ok(Side { per_second, bytes, commits })
    }

    fn measure(
        &mut self,
        batch: usize,
        transfers: usize,
        rounds: u32,
        raw_disk: &mut RawDisk,
    ) -> anyhow::Result<Figures> {
        let count = transfers.next_multiple_of(batch);
        let (mut through, mut raw, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        let (mut bytes, mut commits) = (Vec::new(), Times::new());
        for round in 0..=rounds {
            let requests = self.requests(count);
            let start = now();
            decide_all(&mut self.rules, &requests);
            let rules = count as f64 / start.seconds();
            let side = self.through_journal(&requests, batch)?;
            let syncs = as_many_syncs(self.scratch.path(), count, batch, side.bytes)?;
            raw_disk.sample()?;
            // The first round warms up.
            if round > 0 {
                alone.push(rules);
                through.push(side.per_second);
                bytes.push(side.bytes);
                raw.push(syncs);
                commits.add(&side.commits);
            }
        }
        let (per_second, raw, alone) = (median(&through), median(&raw), median(&alone));
        Ok(Figures {
            accounts: self.accounts,
            batch,
            transfers: count,
            per_second,
            raw_sync_per_second: raw,
            rules_per_second: alone,
            of_raw_sync: ratio(per_second, raw),
            of_rules: ratio(per_second, alone),
            journal_bytes_per_transfer: median(&bytes),
            commit: (commits.count() > 0).then(|| commits.latency()),
        })
    }
}

/// What the journal did in a round.
pub(crate) struct Side {
    pub(crate) per_second: f64,
    /// A transfer, in the journal.
    pub(crate) bytes: f64,
    commits: Times,
}

/// The batches among which the engine is at its best, to compare others with: the larger one is
/// the most that the teller takes, the smaller one stays in the processor's caches.
pub(crate) const GOOD: [usize; 2] = [1024, BATCH];
