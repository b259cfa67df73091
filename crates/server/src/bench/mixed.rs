//! `bench mixed`: reading and writing at once over HTTP, four reads for each deposit, against the
//! deposits alone.
//!
//! Either each connection does both and waits for every answer, so that what it writes is bounded
//! by what it reads; or, with `--pace`, those who write and those who read do so at a rate, on
//! connections of their own, whether or not the answers keep up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tongjang_store::journal::{Journal, JournalConfig};

use super::count::count;
use super::explained::Explained;
use super::figures::{Latency, Times, grouped, median, ratio, share};
use super::fill::{Spec, fill};
use super::http::{deposits, seconds};
use super::limits::RawDisk;
use super::load::{Ask, CLOSED, Done, Group, get, load};
use super::queries::Population;
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::served::{Served, token};
use super::workload::Shape;
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// A ledger that `bench fill` made. It is written to: the deposits stay in it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["transactions", "accounts"])]
    ledger: Option<PathBuf>,
    /// Without --ledger: how many transactions the ledger has that is made and removed
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = count)]
    transactions: usize,
    /// Without --ledger: how many accounts it has
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = count)]
    accounts: usize,
    /// How many connections, each with one request at a time
    #[arg(long, value_delimiter = ',', default_value = "1,64", value_name = "N")]
    connections: Vec<usize>,
    /// How many of 100 requests read
    #[arg(long, default_value_t = 80, value_name = "PERCENT",
        value_parser = clap::value_parser!(u64).range(1..=99))]
    reads: u64,
    /// Write so many times a second, and read in proportion, on as many connections of their own
    #[arg(long, value_delimiter = ',', value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    pace: Vec<u32>,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Figures {
    connections: usize,
    /// How many writes a second were asked for; without it as many as were answered.
    pace: Option<u32>,
    alone_writes_per_second: f64,
    mixed_per_second: f64,
    mixed_writes_per_second: f64,
    mixed_reads_per_second: f64,
    /// Writes beside reads as a share of the writes alone.
    writes_of_alone: Option<f64>,
    /// How many times the requests of the writes alone are answered when most of them read.
    mixed_of_alone: Option<f64>,
    alone_writes: Latency,
    mixed_writes: Latency,
    mixed_reads: Latency,
}

const READ_TIMES: &str = "read µs p50 / p90 / p99 / p99.9 / max";

/// The classes of requests.
const WRITE: usize = 0;
const READ: usize = 1;

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.connections.iter().all(|n| *n >= 1), "--connections are from 1 on");
    let settings = json!({
        "ledger": args.ledger, "connections": args.connections, "seconds": args.seconds,
        "transactions": args.ledger.is_none().then_some(args.transactions),
        "accounts": args.ledger.is_none().then_some(args.accounts),
        "reads_percent": args.reads, "pace": args.pace, "rounds": common.rounds,
    });
    let place = args.ledger.clone().unwrap_or_else(|| common.dir());
    anyhow::ensure!(
        args.ledger.is_none() || place.is_dir(),
        "there is no ledger in {}",
        place.display()
    );
    let mut report = Report::begin("mixed", &place, settings)?;
    let scratch = Scratch::in_dir(&place)?;
    let data = match &args.ledger {
        Some(dir) => dir.clone(),
        None => {
            eprintln!("filling {} transactions", grouped(args.transactions as f64));
            let dir = scratch.path().join("ledger");
            let spec = Spec::plain(args.transactions, args.accounts, Shape::Uniform);
            fill(&dir, &spec, |_| Ok(()))?.close()?;
            dir
        }
    };
    // Only a new ledger takes an id, and reading makes none.
    let reader = Journal::open_to_read(&JournalConfig::new(&data, [0; 16]))
        .with_context(|| format!("cannot read the ledger in {}", data.display()))?;
    let people = Population::of(&reader)?;
    drop(reader);
    anyhow::ensure!(
        people.ours && !people.accounts.is_empty(),
        "this books on the ledger, so it takes only one that `tongjang bench fill` made"
    );
    let token = token(&data)?;
    let writes = deposits(&token, &people.accounts);
    let reads = pages(&token, &people);
    let mix = mix(args.reads, reads.clone(), writes.clone());
    let served = Served::ledger(&data)?;
    let raw = RawDisk::in_dir(scratch.path())?;
    let length = Duration::from_secs_f64(args.seconds);
    let mut bench = Bench { served, writes, reads, mix, percent: args.reads, raw, length, runs: 0 };
    let mut table = Explained::new(&[
        (
            "connections",
            Align::Right,
            "how many; with --pace so many that write and as many that \
            read",
        ),
        ("pace/s", Align::Right, "deposits a second that were due; – without --pace"),
        ("writes alone/s", Align::Right, "deposits a second while nobody reads"),
        ("writes/s", Align::Right, "deposits a second beside the reads"),
        ("reads/s", Align::Right, "pages a second beside those deposits"),
        ("of alone", Align::Right, "writes/s as a share of writes alone/s"),
        ("alone µs p50 / p99", Align::Right, "a deposit while nobody reads"),
        ("write µs p50 / p99", Align::Right, "a deposit beside the reads"),
        (READ_TIMES, Align::Right, "a page, percentiles and the slowest"),
    ]);
    let paces = if args.pace.is_empty() {
        vec![None]
    } else {
        args.pace.iter().copied().map(Some).collect()
    };
    let runs = args.connections.iter().flat_map(|n| paces.iter().map(move |pace| (*n, *pace)));
    for (connections, pace) in runs {
        eprintln!(
            "{connections} connections{}",
            pace.map_or(String::new(), |n| format!(", {n}/s"))
        );
        let figures = bench.measure(connections, pace, common.rounds)?;
        table.row(vec![
            grouped(connections as f64),
            pace.map_or("–".into(), |pace| grouped(pace.into())),
            grouped(figures.alone_writes_per_second),
            grouped(figures.mixed_writes_per_second),
            grouped(figures.mixed_reads_per_second),
            share(figures.mixed_writes_per_second, figures.alone_writes_per_second),
            figures.alone_writes.brief(),
            figures.mixed_writes.brief(),
            figures.mixed_reads.all(),
        ]);
        report.result(figures);
    }
    bench.served.stop()?;
    report.disk(&bench.raw);
    report.say(&format!(
        "{}% of the requests read the newest page of an account, 50 rows{}",
        args.reads,
        if args.pace.is_empty() {
            "; each connection does both"
        } else {
            ", on as many connections of their own; times count from when a request was due"
        }
    ));
    if args.pace.is_empty() {
        report.say(CLOSED);
    }
    report.table(&table);
    report.end(&common.output)
}

/// The newest page of any account.
fn pages(token: &str, people: &Population) -> Ask {
    let pages: Vec<Vec<u8>> = people
        .accounts
        .iter()
        .map(|account| get(&format!("/v1/accounts/{account}/entries?limit=50"), token))
        .collect();
    Arc::new(move |random, request| {
        request.extend_from_slice(&pages[random.below(pages.len() as u64) as usize]);
        READ
    })
}

/// Both, so many of 100 reads.
fn mix(percent: u64, reads: Ask, writes: Ask) -> Ask {
    Arc::new(move |random, request| {
        let ask = if random.below(100) < percent { &reads } else { &writes };
        ask(random, request)
    })
}

struct Bench {
    served: Served,
    writes: Ask,
    reads: Ask,
    mix: Ask,
    /// How many of 100 requests read.
    percent: u64,
    raw: RawDisk,
    length: Duration,
    runs: u64,
}

impl Bench {
    fn side(&mut self, connections: usize, pace: Option<u32>, mixed: bool) -> anyhow::Result<Done> {
        // Every run has keys of its own; those of other benches on this ledger, too.
        self.runs += 1;
        let seed = self.runs + (u64::from(std::process::id()) << 12);
        let group = |ask, per_second| Group { ask, connections, per_second };
        let pace = pace.map(f64::from);
        let mut groups = match (pace, mixed) {
            (None, true) => vec![group(&self.mix, None)],
            _ => vec![group(&self.writes, pace)],
        };
        if let (Some(pace), true) = (pace, mixed) {
            let reads = pace * self.percent as f64 / (100 - self.percent) as f64;
            groups.push(group(&self.reads, Some(reads)));
        }
        load(&self.served.address, &groups, 2, self.length, seed)
    }

    fn measure(
        &mut self,
        connections: usize,
        pace: Option<u32>,
        rounds: u32,
    ) -> anyhow::Result<Figures> {
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        let mut times = [Times::new(), Times::new(), Times::new()];
        for round in 0..=rounds {
            let alone = self.side(connections, pace, false)?;
            let mixed = self.side(connections, pace, true)?;
            self.raw.sample()?;
            // The first round warms up.
            if round > 0 {
                let sides = [(&alone, WRITE), (&mixed, WRITE), (&mixed, READ)];
                for (place, (done, class)) in sides.into_iter().enumerate() {
                    rates[place].push(done.times[class].count() as f64 / done.seconds);
                    times[place].add(&done.times[class]);
                }
            }
        }
        let [alone, writes, reads] = rates.map(|rates| median(&rates));
        let [alone_writes, mixed_writes, mixed_reads] = times.map(|times| times.latency());
        Ok(Figures {
            connections,
            pace,
            alone_writes_per_second: alone,
            mixed_per_second: writes + reads,
            mixed_writes_per_second: writes,
            mixed_reads_per_second: reads,
            writes_of_alone: ratio(writes, alone),
            mixed_of_alone: ratio(writes + reads, alone),
            alone_writes,
            mixed_writes,
            mixed_reads,
        })
    }
}
