//! `bench restart`: how long a ledger takes to be there again, after a clean stop and after
//! `kill -9`.
//!
//! Filling and serving are done by processes of their own, so the kill is a real one and the
//! memory told is that of a fresh server. A clean stop writes a snapshot, after which a kill costs
//! no more than a stop: so all starts after `kill -9` come first.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tongjang_store::journal::{Journal, JournalConfig};

use super::cold::Files;
use super::count::count;
use super::explained::Explained;
use super::figures::{Elapsed, grouped, median, now, ratio, short};
use super::fill::Spec;
use super::machine::Memory;
use super::queries::Population;
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::served::{Served, fill_in_a_process, token};
use super::workload::Shape;
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// A ledger that is there, made by anybody; nothing is booked. It is started and stopped as by
    /// `tongjang serve`: that cuts off a torn end of its journal, makes its directory of users or
    /// leads it on to this version, and writes a snapshot at each clean stop, for which the oldest
    /// one goes. The starts after `kill -9` come first, on the ledger as it is found: if it was
    /// stopped cleanly before, a kill leaves nothing to be read again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["transactions", "accounts", "dir"])]
    ledger: Option<PathBuf>,
    /// Without --ledger: how many transactions the ledger has that is made and removed
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = count)]
    transactions: usize,
    /// Without --ledger: how many accounts it has
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = count)]
    accounts: usize,
    /// Put the ledger's files out of the page cache before each start
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Figures {
    after: &'static str,
    /// From the start of the process until it listens.
    listening_seconds: f64,
    /// Until the newest page of an account is answered, or `/readyz` of a ledger that was there.
    first_answer_seconds: f64,
    /// Reading the newest snapshot alone, whole, if there is one.
    raw_snapshot_seconds: Option<f64>,
    /// In how many rounds there was one to read, without the round that warms up.
    raw_snapshot_rounds: usize,
    times_raw_snapshot: Option<f64>,
    peak_mib: Option<u64>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    let made = args.ledger.is_none();
    let settings = json!({
        "ledger": args.ledger, "transactions": made.then_some(args.transactions),
        "accounts": made.then_some(args.accounts), "cold": args.cold, "rounds": common.rounds,
    });
    let place = args.ledger.clone().unwrap_or_else(|| common.dir());
    // A server would make a new one.
    let there = made || place.join("journal").is_dir();
    anyhow::ensure!(there, "there is no ledger in {}", place.display());
    let (mut report, _scratch, starts);
    if let Some(data) = args.ledger.clone() {
        report = Report::begin("restart", &data, settings)?;
        starts = Starts { data, first: "/readyz".into(), token: String::new(), cold: args.cold };
    } else {
        let spec = Spec::plain(args.transactions, args.accounts, Shape::Uniform);
        spec.check()?;
        report = Report::begin("restart", &place, settings)?;
        let scratch = Scratch::in_dir(&place)?;
        starts = Starts::of_a_new_ledger(scratch.path().join("ledger"), &spec, args.cold)?;
        _scratch = scratch;
    }
    let mut table = Explained::new(&[
        (
            "after",
            Align::Left,
            "how the server had ended before; after kill -9 what was booked \
            since the newest snapshot is read again",
        ),
        ("listening s", Align::Right, "from the start of the process until it listens"),
        (
            "first answer s",
            Align::Right,
            "from the start of the process until the newest page of \
            an account is there, or with --ledger the 200 of /readyz",
        ),
        ("snapshot alone s", Align::Right, "reading the newest snapshot's file, and nothing else"),
        ("× snapshot", Align::Right, "first answer s as a multiple of snapshot alone s"),
        ("memory MiB", Align::Right, "the most memory that a server held, of all rounds"),
    ]);
    for after in ["kill -9", "a clean stop"] {
        let figures = starts.measure(after, common.rounds)?;
        table.row(vec![
            after.to_owned(),
            short(figures.listening_seconds),
            short(figures.first_answer_seconds),
            figures.raw_snapshot_seconds.map_or("–".to_owned(), short),
            figures.times_raw_snapshot.map_or("–".to_owned(), short),
            figures.peak_mib.map_or("?".to_owned(), |mib| grouped(mib as f64)),
        ]);
        report.result(figures);
    }
    let cached = if args.cold { "nothing is" } else { "what fits is" };
    report.say(&format!("{cached} in the page cache; medians of the rounds"));
    report.table(&table);
    report.end(&common.output)
}

struct Starts {
    data: PathBuf,
    /// The path of the first call, and the token for it.
    first: String,
    token: String,
    cold: bool,
}

impl Starts {
    /// Fills a ledger in `data`, which ends as by `kill -9`.
    fn of_a_new_ledger(data: PathBuf, spec: &Spec, cold: bool) -> anyhow::Result<Self> {
        eprintln!("filling {} transactions", grouped(spec.transactions as f64));
        fill_in_a_process(&data, spec)?;
        let token = token(&data)?;
        // Only a new ledger takes an id, and reading makes none.
        let reader = Journal::open_to_read(&JournalConfig::new(&data, [0; 16]))?;
        let account = *Population::of(&reader)?.accounts.first().context("there are accounts")?;
        Ok(Self { data, first: format!("/v1/accounts/{account}/entries"), token, cold })
    }

    /// Starts and ends the server over and over, as `after` says.
    fn measure(&self, after: &'static str, rounds: u32) -> anyhow::Result<Figures> {
        let cleanly = after != "kill -9";
        if cleanly {
            Served::ledger(&self.data)?.stop()?;
        }
        let (mut listening, mut answered, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        let mut peak = None;
        for round in 0..=rounds {
            eprintln!("start {round} after {after}");
            let alone = self.read_snapshot()?;
            if self.cold {
                Files::of(&self.data)?.drop_from_cache()?;
            }
            let served = Served::ledger(&self.data)?;
            let listens = served.begun.seconds();
            served.get(&self.first, &self.token)?;
            let answers = served.begun.seconds();
            let memory = Memory::of(Some(served.pid()));
            if cleanly {
                served.stop()?;
            } else {
                // Dropping it kills it.
                drop(served);
            }
            // The first round warms up.
            if round > 0 {
                listening.push(listens);
                answered.push(answers);
                raw.extend(alone);
                peak = peak.max(memory.peak_mib);
            }
        }
        let answered = median(&answered);
        let raw_snapshot_rounds = raw.len();
        let raw = Some(median(&raw)).filter(|seconds| seconds.is_finite());
        Ok(Figures {
            after,
            listening_seconds: median(&listening),
            first_answer_seconds: answered,
            raw_snapshot_seconds: raw,
            raw_snapshot_rounds,
            times_raw_snapshot: raw.and_then(|raw| ratio(answered, raw)),
            peak_mib: peak,
        })
    }

    /// How long it takes to read the newest snapshot and do nothing with it; nothing if there is
    /// none yet.
    fn read_snapshot(&self) -> anyhow::Result<Option<f64>> {
        let mut names: Vec<PathBuf> = std::fs::read_dir(&self.data)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("snapshot-")
            })
            .collect();
        names.sort();
        let Some(newest) = names.pop() else { return Ok(None) };
        if self.cold {
            Files::of(&self.data)?.drop_from_cache()?;
        }
        let start = now();
        std::hint::black_box(std::fs::read(newest)?);
        Ok(Some(start.seconds()))
    }
}
