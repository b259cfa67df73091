//! `bench history`: what people ask of a passbook, on ledgers of different sizes.
//!
//! Each query is asked of any account and of the busiest one, with all of the ledger in the page
//! cache and with none of it. The ledgers take turns within each round, and so do their servers,
//! which come after.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tongjang_store::journal::{Journal, JournalConfig, JournalReader};

use super::cold::Files;
use super::count::count;
use super::explained::Explained;
use super::figures::{Elapsed, Latency, Times, grouped, now, ratio, share, short};
use super::fill::{Spec, fill};
use super::load::one_by_one;
use super::machine::Io;
use super::plot::{Chart, Panel, Series};
use super::queries::{Kind, Population, Query, Whose};
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::served::{Served, token};
use super::workload::{Random, Shape};
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Ledgers that are there; any will do. They are only read, unless --http is given: a server
    /// opens them then, as `tongjang serve` does, and a user is added
    #[arg(long, value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    ledger: Vec<PathBuf>,
    /// Make ledgers of so many transactions, with 200 entries an account and one hot account, and
    /// remove them afterwards
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = size,
        conflicts_with = "ledger", default_value = "100k,1M,10M")]
    sizes: Vec<usize>,
    /// How many queries of each kind a round makes with everything cached
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    queries: usize,
    /// How many with nothing cached; all files are put out of the cache before each
    #[arg(long, value_name = "N", default_value_t = 50)]
    cold: usize,
    /// Ask nothing with nothing cached
    #[arg(long)]
    no_cold: bool,
    /// Ask over HTTP too, one request at a time; `bench fill` must have made the ledgers
    #[arg(long)]
    http: bool,
    /// Draw latency against size
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// How many transactions a ledger has that is to be asked.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let size = count(text)?;
    (size >= 100).then_some(size).ok_or_else(|| format!("{text:?} is no size from 100 on"))
}

/// A ledger that is asked.
struct Asked {
    dir: PathBuf,
    reader: JournalReader,
    people: Population,
    files: Files,
    raw: Times,
    cells: Vec<Cell>,
}

/// A kind of query on a ledger.
struct Cell {
    whose: Whose,
    kind: Kind,
    warm: Times,
    cold: Times,
    warm_bytes: Option<u64>,
    cold_bytes: Option<u64>,
    http: Times,
    /// What the warm ones showed.
    rows: usize,
}

#[derive(Serialize)]
struct Figures {
    ledger: String,
    transactions: u64,
    accounts: usize,
    busiest_entries: u64,
    account: Whose,
    query: Kind,
    warm: Latency,
    /// How many rows a page had on average; null where a query shows none.
    rows_per_page: Option<f64>,
    cold: Option<Latency>,
    /// From the disk, in process; zero shows that the warm ones were warm.
    warm_read_bytes_per_query: Option<f64>,
    cold_read_bytes_per_query: Option<f64>,
    /// How many single reads of 4 KiB a cold query takes as long as, at the median.
    cold_times_raw_read: Option<f64>,
    http: Option<Latency>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.queries >= 1, "--queries must be at least 1");
    let settings = json!({
        "ledgers": args.ledger, "sizes": args.ledger.is_empty().then_some(&args.sizes),
        "queries": args.queries, "cold": (!args.no_cold).then_some(args.cold),
        "http": args.http, "rounds": common.rounds, "rows_a_page": 50,
    });
    let place = args.ledger.first().cloned().unwrap_or_else(|| common.dir());
    let there = args.ledger.is_empty() || place.is_dir();
    anyhow::ensure!(there, "there is no ledger in {}", place.display());
    let mut report = Report::begin("history", &place, settings)?;
    let (_scratch, dirs) = ledgers(args)?;
    let mut asked = dirs.into_iter().map(Asked::open).collect::<anyhow::Result<Vec<_>>>()?;
    asked.sort_by_key(|ledger| ledger.people.transactions);
    let mut random = Random(9);
    for round in 0..=common.rounds {
        eprintln!("round {round} of {}", common.rounds);
        for ledger in &mut asked {
            // The first round warms up.
            ledger.round(args, round > 0, &mut random)?;
        }
    }
    if args.http {
        let served = asked.iter().map(Asked::served).collect::<anyhow::Result<Vec<_>>>()?;
        for round in 0..=common.rounds {
            eprintln!("round {round} of {} over HTTP", common.rounds);
            for (ledger, (served, token)) in asked.iter_mut().zip(&served) {
                let answered = ledger.over_http(args.queries, &mut random, served, token)?;
                // The first round warms up.
                if round > 0 {
                    ledger.cells.iter_mut().zip(&answered).for_each(|(of, by)| of.http.add(by));
                }
            }
        }
        served.into_iter().try_for_each(|(served, _)| served.stop())?;
    }
    tell(&mut report, args, &asked);
    if let Some(path) = &args.svg {
        let drawn = chart(&asked, !args.no_cold).svg();
        std::fs::write(path, drawn).with_context(|| format!("cannot write {}", path.display()))?;
    }
    report.end(&common.output)
}

/// The ledgers to ask, made first if none are named.
fn ledgers(args: &Args) -> anyhow::Result<(Option<Scratch>, Vec<PathBuf>)> {
    if !args.ledger.is_empty() {
        return Ok((None, args.ledger.clone()));
    }
    let scratch = Scratch::in_dir(&args.common.dir())?;
    let mut dirs = Vec::new();
    for &size in &args.sizes {
        let dir = scratch.path().join(size.to_string());
        let start = now();
        let spec = Spec::plain(size, (size / 100).max(20), Shape::Hot);
        let mut tenth = 0;
        let ledger = fill(&dir, &spec, |progress| {
            let done = progress.transactions * 10 / size;
            if done > tenth {
                tenth = done;
                eprintln!("{} of {} transactions", grouped(progress.transactions as f64), size);
            }
            Ok(())
        })?;
        ledger.close()?;
        eprintln!("{} transactions in {} s", grouped(size as f64), short(start.seconds()));
        dirs.push(dir);
    }
    Ok((Some(scratch), dirs))
}

impl Asked {
    fn open(dir: PathBuf) -> anyhow::Result<Self> {
        // Only a new ledger takes an id, and reading makes none.
        let reader = Journal::open_to_read(&JournalConfig::new(&dir, [0; 16]))
            .with_context(|| format!("cannot read the ledger in {}", dir.display()))?;
        let people = Population::of(&reader)?;
        anyhow::ensure!(
            !people.accounts.is_empty(),
            "no customer of {} moved money",
            dir.display()
        );
        let files = Files::of(&dir)?;
        let cells = [Whose::Any, Whose::Busiest]
            .into_iter()
            .flat_map(|whose| Kind::ALL.map(|kind| Cell::new(whose, kind)))
            .collect();
        Ok(Self { dir, reader, people, files, raw: Times::new(), cells })
    }

    fn queries(
        &self,
        cell: usize,
        count: usize,
        random: &mut Random,
    ) -> anyhow::Result<Vec<Query>> {
        let Cell { whose, kind, .. } = self.cells[cell];
        self.people.queries(&self.reader, whose, kind, count, random)
    }

    fn round(&mut self, args: &Args, counts: bool, random: &mut Random) -> anyhow::Result<()> {
        for nth in 0..self.cells.len() {
            // Looking up what a query needs reads around it, so it is ahead of the clock.
            let (mut warm, mut cold) = (Times::new(), Times::new());
            let queries = self.queries(nth, args.queries, random)?;
            // The cold ones before have emptied the cache: what these need is read once for all.
            queries.iter().try_for_each(|query| query.ask(&self.reader).map(drop))?;
            let (before, mut rows) = (Io::so_far(&self.dir), 0);
            for query in &queries {
                let start = now();
                rows += query.ask(&self.reader)?;
                warm.record(start);
            }
            let warm_read = Io::so_far(&self.dir).since(&before).process_read;
            let mut bytes = None;
            if !args.no_cold {
                let queries = self.queries(nth, args.cold, random)?;
                let mut read = Io::none();
                for query in queries {
                    self.files.drop_from_cache()?;
                    let (before, start) = (Io::so_far(&self.dir), now());
                    query.ask(&self.reader)?;
                    cold.record(start);
                    read = read.plus(&Io::so_far(&self.dir).since(&before));
                }
                bytes = read.process_read;
                let raw = self.files.sample(args.cold.min(20), random)?;
                if counts {
                    self.raw.add(&raw);
                }
            }
            if counts {
                let cell = &mut self.cells[nth];
                cell.warm.add(&warm);
                cell.rows += rows;
                cell.warm_bytes = warm_read.map(|bytes| bytes + cell.warm_bytes.unwrap_or(0));
                cell.cold.add(&cold);
                cell.cold_bytes = bytes.map(|bytes| bytes + cell.cold_bytes.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// A server on it, and a token for it.
    fn served(&self) -> anyhow::Result<(Served, String)> {
        anyhow::ensure!(
            self.people.ours,
            "--http needs ledgers that `tongjang bench fill` made, as only the owner of an \
             account may see it; {} is somebody's own",
            self.dir.display()
        );
        let token = token(&self.dir)?;
        Ok((Served::ledger(&self.dir)?, token))
    }

    /// A round over HTTP, cell by cell, where everything is cached and one request follows the
    /// other.
    fn over_http(
        &self,
        count: usize,
        random: &mut Random,
        served: &Served,
        token: &str,
    ) -> anyhow::Result<Vec<Times>> {
        let mut all = Vec::new();
        for (nth, cell) in self.cells.iter().enumerate() {
            let settlement = self.people.busiest.is_settlement();
            if cell.whose == Whose::Busiest && settlement {
                all.push(Times::new());
                continue;
            }
            let queries = self.queries(nth, count, random)?;
            let paths: Vec<String> = queries.iter().map(Query::path).collect();
            // Once for the cache, as in process, and once for the clock.
            one_by_one(&served.address, token, &paths)?;
            all.push(one_by_one(&served.address, token, &paths)?);
        }
        Ok(all)
    }

    fn figures(&self) -> impl Iterator<Item = Figures> {
        self.cells.iter().map(|cell| {
            let told = |times: &Times| (times.count() > 0).then(|| times.latency());
            let (cold, raw) = (told(&cell.cold), told(&self.raw));
            Figures {
                ledger: self.dir.display().to_string(),
                transactions: self.people.transactions,
                accounts: self.people.accounts.len(),
                busiest_entries: self.people.busiest_entries,
                account: cell.whose,
                query: cell.kind,
                warm: cell.warm.latency(),
                rows_per_page: ratio(cell.rows as f64, cell.warm.count() as f64)
                    .filter(|_| cell.kind.is_page()),
                cold,
                warm_read_bytes_per_query: cell
                    .warm_bytes
                    .and_then(|bytes| ratio(bytes as f64, cell.warm.count() as f64)),
                cold_read_bytes_per_query: cold
                    .and_then(|cold| ratio(cell.cold_bytes? as f64, cold.count as f64)),
                cold_times_raw_read: cold.zip(raw).and_then(|(c, raw)| ratio(c.p50_us, raw.p50_us)),
                http: told(&cell.http),
            }
        })
    }
}

impl Cell {
    fn new(whose: Whose, kind: Kind) -> Self {
        let (warm, cold, http) = (Times::new(), Times::new(), Times::new());
        Self { whose, kind, warm, cold, warm_bytes: None, cold_bytes: None, http, rows: 0 }
    }
}

fn tell(report: &mut Report, args: &Args, asked: &[Asked]) {
    let mut table = Explained::new(&[
        ("query", Align::Left, "what is asked for; a page is at most 50 rows"),
        ("of", Align::Left, "of any customer's account, or of the one with the most entries"),
        (
            "transactions",
            Align::Right,
            "how many the ledger has; or how many times as long the \
            largest ledger takes as the smallest",
        ),
        (
            "rows",
            Align::Right,
            "how many rows a page had on average: near the end of an account \
            there are fewer",
        ),
        ("warm µs p50 / p99", Align::Right, "in process, when the same was asked once before"),
        ("cold µs p50 / p99", Align::Right, "in process, when nothing of the ledger is cached"),
        ("cold KiB", Align::Right, "what a cold query reads from the disk on average"),
        (
            "× raw read",
            Align::Right,
            "a cold query's p50 as a multiple of one bare cold read of \
            4 KiB",
        ),
        (
            "HTTP µs p50 / p99",
            Align::Right,
            "warm, over HTTP, one request at a time; – without \
            --http, and for an account of the ledger's own",
        ),
    ]);
    let figures: Vec<Vec<Figures>> = asked.iter().map(|of| of.figures().collect()).collect();
    let mut ratios = Vec::new();
    let rows = figures.first().map_or(0, Vec::len);
    for row in 0..rows {
        let across: Vec<&Figures> = figures.iter().map(|ledger| &ledger[row]).collect();
        for one in &across {
            let brief = |latency: Option<Latency>| latency.map_or("–".into(), |l| l.brief());
            let kib = one.cold_read_bytes_per_query.map_or("–".into(), |b| short(b / 1024.0));
            table.row(vec![
                one.query.told().to_owned(),
                one.account.told().to_owned(),
                grouped(one.transactions as f64),
                one.rows_per_page.map_or("–".into(), short),
                one.warm.brief(),
                brief(one.cold),
                kib,
                one.cold_times_raw_read.map_or("–".into(), short),
                brief(one.http),
            ]);
        }
        let (Some(first), Some(last)) = (across.first(), across.last()) else { continue };
        if across.len() < 2 {
            continue;
        }
        let of = |pick: fn(&Latency) -> f64, side: fn(&Figures) -> Option<Latency>| {
            Some((pick(&side(last)?), pick(&side(first)?)))
        };
        let both = |side: fn(&Figures) -> Option<Latency>| {
            (of(|l| l.p50_us, side), of(|l| l.p99_us, side))
        };
        let (warm, cold) = (both(|f| Some(f.warm)), both(|f| f.cold));
        type Pair = (Option<(f64, f64)>, Option<(f64, f64)>);
        let told = |(p50, p99): Pair| {
            let share = |pair: Option<(f64, f64)>| pair.map_or("–".into(), |(a, b)| share(a, b));
            format!("{} / {}", share(p50), share(p99))
        };
        let document = |(p50, p99): Pair| {
            let ratio = |pair: Option<(f64, f64)>| pair.and_then(|(a, b)| ratio(a, b));
            json!({"p50": ratio(p50), "p99": ratio(p99)})
        };
        table.row(vec![
            first.query.told().to_owned(),
            first.account.told().to_owned(),
            "largest / smallest".to_owned(),
            String::new(),
            told(warm),
            told(cold),
            String::new(),
            String::new(),
            String::new(),
        ]);
        ratios.push(json!({
            "query": first.query, "account": first.account,
            "warm": document(warm), "cold": document(cold),
        }));
    }
    if !args.no_cold {
        let raw: Vec<_> = asked
            .iter()
            .map(|of| json!({"transactions": of.people.transactions, "read": of.raw.latency()}))
            .collect();
        report.limit("cold_read_4_kib", raw);
        for of in asked {
            report.say(&format!(
                "bare cold read of 4 KiB in the ledger of {} transactions, p50 / p99: {} µs",
                grouped(of.people.transactions as f64),
                of.raw.latency().brief()
            ));
        }
        report.say("cold: posix_fadvise(DONTNEED) on all files of the ledger before each query");
    }
    report.say(
        "all rounds together; the ledgers take turns in each, then their servers in rounds of \
         their own",
    );
    report.table(&table);
    for one in figures.iter().flatten() {
        report.result(one);
    }
    report.summary(json!({"largest_by_smallest": ratios}));
}

/// Latency against size: a panel for each of any account and the busiest, warm and cold.
fn chart(asked: &[Asked], cold: bool) -> Chart {
    let sides: &[&str] = if cold { &["warm", "cold"] } else { &["warm"] };
    let mut panels = Vec::new();
    for side in sides {
        for whose in [Whose::Any, Whose::Busiest] {
            let series = Kind::ALL.map(|kind| {
                let cells = asked.iter().filter_map(|of| {
                    let cell = of.cells.iter().find(|c| c.whose == whose && c.kind == kind)?;
                    let times = if *side == "cold" { &cell.cold } else { &cell.warm };
                    let latency = times.latency();
                    Some((of.people.transactions as f64, latency.p50_us, latency.p99_us))
                });
                Series { name: kind.told().to_owned(), points: cells.collect() }
            });
            panels
                .push(Panel { title: format!("{}, {side}", whose.told()), series: series.into() });
        }
    }
    let title = if asked.len() > 1 {
        "Latency against the size of the ledger"
    } else {
        "Latency of a ledger"
    };
    Chart {
        title: title.into(),
        across: "transactions".into(),
        up: "µs; p50: dots, solid; p99: rings, dashed".into(),
        panels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_from_100_on() {
        for (text, expected) in [("100", 100), ("100k", 100_000), ("10M", 10_000_000)] {
            assert_eq!(size(text), Ok(expected));
        }
        for text in ["99", "0k", "10G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
