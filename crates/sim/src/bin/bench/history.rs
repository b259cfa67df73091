//! Queries on ledgers of different sizes, warm: how long they take, and how that grows.
//!
//! Every ledger has the same number of entries an account on average, and one busy account that
//! is on one side of every tenth transfer, so its history grows with the ledger.

use std::path::Path;

use hdrhistogram::Histogram;
use tongjang_core::{AccountId, Direction, Timestamp};
use tongjang_store::journal::{Journal, JournalConfig, JournalReader};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Store, StoreError};

use crate::engine::{Elapsed, fill};
use crate::machine::{grouped, median, now};
use crate::workload::{Random, Workload};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The sizes of the ledgers, in transactions.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000,10000000")]
    sizes: Vec<usize>,
    /// How many queries of each kind a round makes.
    #[arg(long, default_value_t = 2_000)]
    queries: usize,
}

const KINDS: [&str; 6] = [
    "newest page",
    "middle by time",
    "one direction",
    "summary of a range",
    "a transaction",
    "oldest page",
];

/// Microseconds, at the median and at the 99th percentile.
type Figures = (f64, f64);

pub(crate) fn run(dir: &Path, rounds: usize, args: &Args) -> anyhow::Result<()> {
    let mut tables = Vec::new();
    for &size in &args.sizes {
        let dir = tempfile::tempdir_in(dir)?;
        let config = JournalConfig::new(dir.path(), *b"a bench's ledger");
        let (mut journal, reader, _) = Journal::open(config)?;
        let mut workload = Workload::new(size as u64);
        workload.hot = 10;
        let start = now();
        fill(&mut journal, &mut workload, (size / 100).max(20), size)?;
        println!(
            "{} transactions filled in {:.1} s",
            grouped(size as f64),
            start.elapsed_seconds()
        );
        let table = measure(&reader, &workload, rounds, args.queries)?;
        tables.push(table);
        journal.close()?;
    }
    println!("\n50 rows a page; microseconds, p50 / p99, medians of {rounds} rounds");
    print!("{:<32}", "");
    args.sizes.iter().for_each(|size| print!("{:>20}", grouped(*size as f64)));
    println!("{:>16}", "last / first");
    for row in 0..2 * KINDS.len() {
        let whose = if row < KINDS.len() { "an account" } else { "the busy account" };
        print!("{:<32}", format!("{}, {whose}", KINDS[row % KINDS.len()]));
        tables.iter().for_each(|table| {
            print!("{:>20}", format!("{:.1} / {:.1}", table[row].0, table[row].1))
        });
        let (first, last) = (tables[0][row], tables[tables.len() - 1][row]);
        println!("{:>16}", format!("{:.2} / {:.2}", last.0 / first.0, last.1 / first.1));
    }
    Ok(())
}

fn measure(
    reader: &JournalReader,
    workload: &Workload,
    rounds: usize,
    queries: usize,
) -> anyhow::Result<Vec<Figures>> {
    let mut random = Random(9);
    let mut table = Vec::new();
    for busy in [false, true] {
        for kind in KINDS {
            let (mut middles, mut tails) = (Vec::new(), Vec::new());
            for round in 0..=rounds {
                let mut times = Histogram::<u64>::new(3)?;
                for _ in 0..queries {
                    let nth = random.below(workload.accounts.len() as u64 - 1) as usize + 1;
                    let account = workload.accounts[if busy { 0 } else { nth }];
                    let ask = prepare(reader, kind, account, &mut random)?;
                    let start = now();
                    ask(reader)?;
                    times.record((start.elapsed_seconds() * 1e9) as u64)?;
                }
                // The first round warms up.
                if round > 0 {
                    middles.push(times.value_at_quantile(0.5) as f64 / 1000.0);
                    tails.push(times.value_at_quantile(0.99) as f64 / 1000.0);
                }
            }
            table.push((median(&mut middles), median(&mut tails)));
        }
    }
    Ok(table)
}

type Ask = Box<dyn Fn(&JournalReader) -> anyhow::Result<()>>;

/// A query of this kind; what it needs to know is looked up before the clock runs.
fn prepare(
    reader: &JournalReader,
    kind: &str,
    account: AccountId,
    random: &mut Random,
) -> anyhow::Result<Ask> {
    let page = |filter: EntryFilter, order| -> Ask {
        let query =
            EntryQuery { filter, order, after: None, offset: 0, limit: 50, scan_limit: 10_000 };
        Box::new(move |reader| shown(reader.entries(&query)))
    };
    let all = EntryFilter::all(account);
    let standing = reader.account(account)?.ok_or_else(|| anyhow::anyhow!("no such account"))?;
    let count = standing.entry_count().max(1);
    let mut time_of_some = |part: u64| -> anyhow::Result<Timestamp> {
        let number = tongjang_core::EntryNumber::after(random.below(count * part / 2));
        let row = reader.entry(account, number)?.ok_or_else(|| anyhow::anyhow!("no such row"))?;
        Ok(row.booked_at)
    };
    Ok(match kind {
        "newest page" => page(all, Order::Desc),
        "oldest page" => page(all, Order::Asc),
        "middle by time" => page(EntryFilter { to: Some(time_of_some(2)?), ..all }, Order::Desc),
        "one direction" => {
            let (to, direction) = (Some(time_of_some(2)?), Some(Direction::Debit));
            page(EntryFilter { to, direction, ..all }, Order::Desc)
        }
        "summary of a range" => {
            let (from, to) = (time_of_some(1)?, time_of_some(2)?);
            let (from, to) = (Some(from.min(to)), Some(from.max(to)));
            let filter = EntryFilter { from, to, ..all };
            Box::new(move |reader| shown(reader.summary(&filter, 0)))
        }
        _ => {
            let number = tongjang_core::EntryNumber::after(random.below(count));
            let row = reader.entry(account, number)?.ok_or_else(|| anyhow::anyhow!("no row"))?;
            let id = row.transaction;
            Box::new(move |reader| shown(reader.transaction(id)))
        }
    })
}

/// Keeps the compiler from leaving out what nobody looks at.
fn shown<T>(answer: Result<T, StoreError>) -> anyhow::Result<()> {
    std::hint::black_box(answer?);
    Ok(())
}
