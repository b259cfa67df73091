//! `bench http`: durable deposits over HTTP against POSTs that do nothing, in the same run.
//!
//! The server is the real one, in a process of its own. The other side is axum on hyper with a
//! handler that reads its body and answers as many bytes. This process makes the load, on the
//! same cores. With one connection a deposit is held to a bare write and sync as well.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tongjang_core::AccountId;

use super::count::count;
use super::explained::Explained;
use super::figures::{Latency, Times, grouped, median, ratio, share};
use super::ledger::Ledger;
use super::limits::RawDisk;
use super::load::{Ask, CLOSED, Group, load};
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::served::{Served, token};
use super::workload::Workload;
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections, each with one request at a time
    #[arg(long, value_delimiter = ',', default_value = "1,64,256", value_name = "N")]
    connections: Vec<usize>,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// How many accounts the deposits go to
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = count)]
    accounts: usize,
    #[command(flatten)]
    common: Common,
}

/// A length of time that can be measured with.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|s| (0.01..=86_400.0).contains(s));
    seconds.ok_or_else(|| format!("{text:?} is no number of seconds from 0.01 to 86400"))
}

#[derive(Debug, Serialize)]
struct Figures {
    connections: usize,
    noop_per_second: f64,
    deposits_per_second: f64,
    one_account_per_second: f64,
    of_noop: Option<f64>,
    one_of_many: Option<f64>,
    /// With one connection: how many times a bare write and sync a deposit takes at the median.
    times_raw_sync: Option<f64>,
    noop: Latency,
    deposits: Latency,
    one_account: Latency,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.accounts >= 2, "--accounts must be at least 2");
    anyhow::ensure!(args.connections.iter().all(|n| *n >= 1), "--connections are from 1 on");
    let settings = json!({
        "connections": args.connections, "seconds": args.seconds, "accounts": args.accounts,
        "rounds": common.rounds,
    });
    let mut report = Report::begin("http", &common.dir(), settings)?;
    let scratch = Scratch::in_dir(&common.dir())?;
    let data = scratch.path().join("ledger");
    let mut ledger = Ledger::open(&data)?;
    let mut workload = Workload::new(3);
    ledger.open_accounts(&mut workload, args.accounts, None)?;
    ledger.close()?;
    let token = token(&data)?;
    let bench = Bench {
        noop: Served::noop()?,
        real: Served::ledger(&data)?,
        many: deposits(&token, workload.accounts()),
        one: deposits(&token, &workload.accounts()[..1]),
        raw: RawDisk::in_dir(scratch.path())?,
        length: Duration::from_secs_f64(args.seconds),
        runs: 0,
    };
    bench.run(args, &mut report)?;
    report.end(&common.output)
}

/// Deposits into these accounts, each under a key of its own.
pub(crate) fn deposits(token: &str, accounts: &[AccountId]) -> Ask {
    deposits_by(accounts.iter().map(|id| (id.to_string(), token.to_owned())).collect())
}

/// The same, each with the token that stands beside its account.
pub(crate) fn deposits_by(accounts: Vec<(String, String)>) -> Ask {
    Arc::new(move |random, request| {
        let (account, token) = &accounts[random.below(accounts.len() as u64) as usize];
        let (amount, key) = (1 + random.below(100_000), random.next());
        let body = format!("{{\"amount\":{amount}}}");
        write!(
            request,
            "POST /v1/accounts/{account}/deposits HTTP/1.1\r\nHost: bench\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {key:016x}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("memory takes what is written");
        0
    })
}

const DEPOSIT_TIMES: &str = "deposit µs p50 / p90 / p99 / p99.9 / max";

struct Bench {
    noop: Served,
    real: Served,
    many: Ask,
    one: Ask,
    raw: RawDisk,
    length: Duration,
    runs: u64,
}

impl Bench {
    fn run(mut self, args: &Args, report: &mut Report) -> anyhow::Result<()> {
        let mut table = Explained::new(&[
            ("connections", Align::Right, "how many, each with one request at a time"),
            ("no-op/s", Align::Right, "POSTs a second that do nothing, on the same HTTP stack"),
            ("deposit/s", Align::Right, "deposits a second into accounts that are drawn at random"),
            ("one acc./s", Align::Right, "deposits a second into one and the same account"),
            ("of no-op", Align::Right, "deposit/s as a share of no-op/s"),
            ("one/many", Align::Right, "one acc./s as a share of deposit/s"),
            (
                "× raw sync",
                Align::Right,
                "a deposit's p50 as a multiple of the bare sync's, with \
                one connection",
            ),
            ("no-op µs p50 / p99", Align::Right, "from sending a no-op until its answer is there"),
            (DEPOSIT_TIMES, Align::Right, "the same of a deposit, percentiles and the slowest"),
        ]);
        for &connections in &args.connections {
            eprintln!("{connections} connections");
            let figures = self.measure(connections, args.common.rounds)?;
            table.row(vec![
                grouped(connections as f64),
                grouped(figures.noop_per_second),
                grouped(figures.deposits_per_second),
                grouped(figures.one_account_per_second),
                share(figures.deposits_per_second, figures.noop_per_second),
                share(figures.one_account_per_second, figures.deposits_per_second),
                figures.times_raw_sync.map_or("–".to_owned(), |times| share(times, 1.0)),
                figures.noop.brief(),
                figures.deposits.all(),
            ]);
            report.result(figures);
        }
        report.disk(&self.raw);
        report.say("each deposit has an Idempotency-Key and is durable before it is answered");
        report.say(CLOSED);
        report.table(&table);
        self.real.stop()
    }

    fn measure(&mut self, connections: usize, rounds: u32) -> anyhow::Result<Figures> {
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        let mut times = [Times::new(), Times::new(), Times::new()];
        for round in 0..=rounds {
            let sides =
                [(&self.noop, &self.many), (&self.real, &self.many), (&self.real, &self.one)];
            for (side, (served, ask)) in sides.into_iter().enumerate() {
                // Every run has keys of its own.
                self.runs += 1;
                let group = Group { ask, connections, per_second: None };
                let done = load(&served.address, &[group], 1, self.length, self.runs)?;
                // The first round warms up.
                if round > 0 {
                    rates[side].push(done.per_second());
                    times[side].add(&done.times[0]);
                }
            }
            self.raw.sample()?;
        }
        let [noop, many, one] = rates.map(|rates| median(&rates));
        let [noop_times, many_times, one_times] = times.map(|times| times.latency());
        let (alone, sync) = (connections == 1, self.raw.limits().sync);
        Ok(Figures {
            connections,
            noop_per_second: noop,
            deposits_per_second: many,
            one_account_per_second: one,
            of_noop: ratio(many, noop),
            one_of_many: ratio(one, many),
            times_raw_sync: alone.then(|| ratio(many_times.p50_us, sync.p50_us)).flatten(),
            noop: noop_times,
            deposits: many_times,
            one_account: one_times,
        })
    }
}
