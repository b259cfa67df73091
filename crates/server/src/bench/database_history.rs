//! `bench database-history`: the queries of `bench history` on ledgers in databases.
//!
//! The ledgers take turns within each round. What a query reads is told in pages, which the
//! database counts itself; its caches belong to it and to its machine, so nothing is asked cold.

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tongjang_store::postgres::{Parts, PoolLimits, Postgres, PostgresReader, counting_pages};

use super::explained::Explained;
use super::figures::{Elapsed, Latency, Times, grouped, now, ratio, share, short};
use super::fill::{Spec, fill};
use super::fresh_database::EmptyDatabase;
use super::history::size;
use super::queries::{Kind, Population, Whose};
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::workload::{Random, Shape};
use crate::carry::copy::to_database;
use crate::cli::table::Align;
use crate::config::{OfStoreUrl, StoreArgs, StoreUrl};
use crate::database::runtime;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// A database with a ledger that is there, which is only read; give it several times to
    /// compare them
    #[arg(long, value_name = "URL", value_parser = OfStoreUrl)]
    database: Vec<StoreUrl>,
    /// Make ledgers of so many transactions on the server of --store, with 200 entries an account
    /// and one hot account, and drop them afterwards; only a superuser may
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = size,
        conflicts_with = "database", default_value = "250k,2500k")]
    sizes: Vec<usize>,
    /// How many queries of each kind a round makes
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    queries: usize,
    /// Of how many of them the database counts the pages, after the clock has stopped
    #[arg(long, value_name = "N", default_value_t = 100)]
    counted: usize,
    /// Into how many parts the ledgers of --sizes are divided
    #[arg(long, default_value_t = 16, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..))]
    parts: u16,
    #[command(flatten)]
    ledger: StoreArgs,
    #[command(flatten)]
    common: Common,
}

/// A ledger that is asked.
struct Asked {
    name: String,
    reader: PostgresReader,
    people: Population,
    cells: Vec<Cell>,
}

/// A kind of query on a ledger.
struct Cell {
    whose: Whose,
    kind: Kind,
    warm: Times,
    rows: usize,
    counted: usize,
    pages: u64,
    most_pages: u64,
}

#[derive(Serialize)]
struct Figures {
    database: String,
    transactions: u64,
    accounts: usize,
    busiest_entries: u64,
    account: Whose,
    query: Kind,
    warm: Latency,
    /// How many rows a page had on average; null where a query shows none.
    rows_per_page: Option<f64>,
    /// Of 8 KiB, that the database read from its memory or the disk.
    pages_per_query: Option<f64>,
    most_pages: u64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.queries >= 1, "--queries must be at least 1");
    let named: Vec<String> = args.database.iter().map(StoreUrl::to_string).collect();
    let settings = json!({
        "databases": named, "sizes": named.is_empty().then_some(&args.sizes),
        "queries": args.queries, "counted": args.counted, "rounds": common.rounds,
        "rows_a_page": 50,
    });
    let mut report = Report::begin("database-history", &common.dir(), settings)?;
    let made = if named.is_empty() { make(args)? } else { Vec::new() };
    let there = args.database.iter().map(|url| {
        let args = StoreArgs { store: Some(url.clone()), ..args.ledger.clone() };
        Ok((url.to_string(), args.target()?.expect("it names a database")))
    });
    let made_ones = made.iter().map(|of| Ok((of.name().to_owned(), of.target.clone())));
    let mut asked = Vec::new();
    for one in there.chain(made_ones) {
        let (name, target): (String, _) = one.map_err(|error: anyhow::Error| error)?;
        let postgres = runtime()?.block_on(Postgres::open(target, PoolLimits::default()))?;
        asked.push(Asked::open(name, postgres.reader())?);
    }
    asked.sort_by_key(|ledger| ledger.people.transactions);
    let mut random = Random(9);
    for round in 0..=common.rounds {
        eprintln!("round {round} of {}", common.rounds);
        for ledger in &mut asked {
            // The first round warms up.
            ledger.round(args, round > 0, &mut random)?;
        }
    }
    tell(&mut report, &asked);
    report.end(&common.output)
}

/// A database for each size. Its ledger is booked in a folder and copied, with every hash as the
/// rules made it. Meanwhile the database looks at no foreign key and runs no trigger; in the end
/// the copy compares every account of both sides.
fn make(args: &Args) -> anyhow::Result<Vec<EmptyDatabase>> {
    let parts = Parts::new(args.parts).expect("clap has checked it");
    let mut made = Vec::new();
    for (nth, &size) in (1..).zip(&args.sizes) {
        let database = EmptyDatabase::make(&args.ledger, nth, parts, "")?;
        let scratch = Scratch::in_dir(&args.common.dir())?;
        let dir = scratch.path().join("ledger");
        let start = now();
        let spec = Spec::plain(size, (size / 100).max(20), Shape::Hot);
        fill(&dir, &spec, |_| Ok(()))?.close()?;
        let name = database.name();
        let role = "session_replication_role";
        database.run(&format!("ALTER DATABASE {name} SET {role} = replica"))?;
        to_database(&dir, database.target.clone(), &mut |_| ())?;
        database.run(&format!("ALTER DATABASE {name} RESET {role}"))?;
        database.run("VACUUM (ANALYZE)")?;
        let (size, seconds) = (grouped(size as f64), short(start.seconds()));
        eprintln!("{size} transactions in {seconds} s");
        made.push(database);
    }
    Ok(made)
}

impl Asked {
    fn open(name: String, reader: PostgresReader) -> anyhow::Result<Self> {
        let people = Population::of(&reader).with_context(|| format!("cannot ask {name}"))?;
        anyhow::ensure!(!people.accounts.is_empty(), "no customer of {name} moved money");
        let cells = Whose::ALL
            .into_iter()
            .flat_map(|whose| Kind::ALL.map(|kind| Cell::new(whose, kind)))
            .collect();
        Ok(Self { name, reader, people, cells })
    }

    fn round(&mut self, args: &Args, counts: bool, random: &mut Random) -> anyhow::Result<()> {
        let Self { reader, people, cells, .. } = self;
        for cell in cells {
            // Looking up what a query needs reads around it, so it is ahead of the clock.
            let queries = people.queries(reader, cell.whose, cell.kind, args.queries, random)?;
            queries.iter().try_for_each(|query| query.ask(reader).map(drop))?;
            let (mut warm, mut rows) = (Times::new(), 0);
            for query in &queries {
                let start = now();
                rows += query.ask(reader)?;
                warm.record(start);
            }
            if !counts {
                continue;
            }
            cell.warm.add(&warm);
            cell.rows += rows;
            for query in queries.iter().take(args.counted) {
                let (answer, pages) = counting_pages(|| query.ask(reader));
                answer?;
                cell.counted += 1;
                cell.pages += pages;
                cell.most_pages = cell.most_pages.max(pages);
            }
        }
        Ok(())
    }

    fn figures(&self) -> impl Iterator<Item = Figures> {
        self.cells.iter().map(|cell| Figures {
            database: self.name.clone(),
            transactions: self.people.transactions,
            accounts: self.people.accounts.len(),
            busiest_entries: self.people.busiest_entries,
            account: cell.whose,
            query: cell.kind,
            warm: cell.warm.latency(),
            rows_per_page: ratio(cell.rows as f64, cell.warm.count() as f64)
                .filter(|_| cell.kind.is_page()),
            pages_per_query: ratio(cell.pages as f64, cell.counted as f64),
            most_pages: cell.most_pages,
        })
    }
}

impl Cell {
    fn new(whose: Whose, kind: Kind) -> Self {
        let warm = Times::new();
        Self { whose, kind, warm, rows: 0, counted: 0, pages: 0, most_pages: 0 }
    }
}

fn tell(report: &mut Report, asked: &[Asked]) {
    let mut table = Explained::new(&[
        ("query", Align::Left, "what is asked for; a page is at most 50 rows"),
        ("of", Align::Left, "of any customer's account, or of the one with the most entries"),
        ("transactions", Align::Right, "how many the ledger has; or the largest by the smallest"),
        ("rows", Align::Right, "how many rows a page had on average"),
        ("warm µs p50 / p99", Align::Right, "when the same was asked once before"),
        ("pages", Align::Right, "of 8 KiB that the database read for a query on average"),
        ("most", Align::Right, "the same of the query with the most"),
    ]);
    let figures: Vec<Vec<Figures>> = asked.iter().map(|of| of.figures().collect()).collect();
    let mut ratios = Vec::new();
    for row in 0..figures.first().map_or(0, Vec::len) {
        for one in figures.iter().map(|ledger| &ledger[row]) {
            table.row(vec![
                one.query.told().to_owned(),
                one.account.told().to_owned(),
                grouped(one.transactions as f64),
                one.rows_per_page.map_or("–".into(), short),
                one.warm.brief(),
                one.pages_per_query.map_or("–".into(), short),
                grouped(one.most_pages as f64),
            ]);
        }
        let [smallest, .., largest] = &figures[..] else { continue };
        let (first, last) = (&smallest[row], &largest[row]);
        let (p50, p99) =
            ((last.warm.p50_us, first.warm.p50_us), (last.warm.p99_us, first.warm.p99_us));
        let pages = last.pages_per_query.zip(first.pages_per_query);
        table.row(vec![
            first.query.told().to_owned(),
            first.account.told().to_owned(),
            "largest / smallest".to_owned(),
            String::new(),
            format!("{} / {}", share(p50.0, p50.1), share(p99.0, p99.1)),
            pages.map_or("–".into(), |(of, by)| share(of, by)),
            String::new(),
        ]);
        ratios.push(json!({
            "query": first.query, "account": first.account,
            "p50": ratio(p50.0, p50.1), "p99": ratio(p99.0, p99.1),
            "pages": pages.and_then(|(of, by)| ratio(of, by)),
        }));
    }
    report.say("all rounds together; the ledgers take turns in each");
    report.say("nothing is asked cold: the caches are the database's and its machine's");
    report.table(&table);
    figures.iter().flatten().for_each(|one| report.result(one));
    report.summary(json!({"largest_by_smallest": ratios}));
}
