//! `bench database-batch`: transfers as NDJSON through the server on PostgreSQL against the usual
//! way, a transaction a transfer, in turn and on the same schema; with what each leaves behind.
//!
//! Each side has a database of its own, so that the bytes of its tables are its own. The
//! write-ahead log is the whole server's: nobody else may write on it meanwhile.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde::Serialize;
use serde_json::json;
use tongjang_core::{
    AccountId, Amount, Caller, Command, Fingerprint, IdempotencyKey, Memo, Metadata, Request,
};
use tongjang_store::postgres::{Parts, PostgresStore};

use super::batch::{self, framed, send};
use super::count::count;
use super::database::one_by_itself;
use super::explained::Explained;
use super::figures::{Elapsed, grouped, median, now, share, short};
use super::fresh_database::FreshDatabase;
use super::report::{Common, Report};
use super::served::Served;
use super::workload::Random;
use crate::app::Clock;
use crate::cli::table::Align;
use crate::config::{ServingArgs, StoreArgs};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many accounts the transfers are between
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = count)]
    accounts: usize,
    /// How many clients the server has, each with one long request
    #[arg(long, default_value_t = 4, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// How many transfers a round has as NDJSON, over all clients together
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = count)]
    transfers: usize,
    /// How many connections the usual way has
    #[arg(long, default_value_t = 8, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=64))]
    usual: u16,
    /// How many transfers a round has in the usual way
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = count)]
    usual_transfers: usize,
    /// Into how many parts the ledgers are divided
    #[arg(long, default_value_t = 16, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..))]
    parts: u16,
    #[command(flatten)]
    ledger: StoreArgs,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Figures {
    side: String,
    transfers_per_second: f64,
    wal_bytes_per_transfer: f64,
    table_bytes_per_transfer: f64,
}

/// What the rounds of a side came to, a transfer.
#[derive(Default)]
struct Rounds {
    per_second: Vec<f64>,
    wal_bytes: Vec<f64>,
    table_bytes: Vec<f64>,
}

/// So much has each account at first; nobody pays as much.
const ENOUGH: i64 = 1_000_000_000_000;

const WAL: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
/// With their indexes.
const TABLES: &str = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relnamespace = 'tongjang'::regnamespace AND relkind = 'r'";

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.accounts >= 64, "--accounts must be at least 64, one for each user");
    anyhow::ensure!(args.transfers >= 1, "--transfers must be at least 1");
    anyhow::ensure!(args.usual_transfers >= 1, "--usual-transfers must be at least 1");
    let settings = json!({
        "accounts": args.accounts, "clients": args.clients, "transfers": args.transfers,
        "usual": args.usual, "usual_transfers": args.usual_transfers, "parts": args.parts,
        "rounds": common.rounds, "tellers": args.serving.tellers,
    });
    let mut report = Report::begin("database-batch", &common.dir(), settings)?;
    let parts = Parts::new(args.parts).expect("clap has checked it");
    let make = |nth| FreshDatabase::make(&args.ledger, nth, parts, args.accounts, "");
    let (batched, single) = (make(1)?, make(2)?);
    for database in [&batched, &single] {
        endow(database, args.serving.tellers)?;
    }
    let served = Served::database(&batched.url, args.serving.tellers)?;
    let stores = (0..args.usual).map(|_| single.postgres.teller());
    let mut stores = stores.collect::<Result<Vec<_>, _>>()?;
    let mut rounds = [Rounds::default(), Rounds::default()];
    let mut random = Random(0xba7c);
    for round in 0..=common.rounds {
        let counts = round > 0;
        let each = args.transfers.div_ceil(usize::from(args.clients));
        let requests: Vec<_> = (0..usize::from(args.clients))
            .map(|user| transfers(&batched, user, each, &mut random))
            .collect();
        let done = each * requests.len();
        let send = || send(&served.address, requests, each as u64).map(drop);
        rounds[0].take(&batched, done, counts, send)?;
        let done = args.usual_transfers;
        let usual = || one_by_one(&single, &mut stores, done, random.next());
        rounds[1].take(&single, done, counts, usual)?;
        eprintln!("round {round} of {}", common.rounds);
    }
    served.stop()?;
    let names = [
        format!("NDJSON, {} clients", args.clients),
        format!("usual way, {} connections", args.usual),
    ];
    tell(&mut report, names, &rounds);
    report.end(&common.output)
}

impl Rounds {
    /// Runs a round of so many transfers and takes in what it left behind, if it counts.
    fn take(
        &mut self,
        database: &FreshDatabase,
        transfers: usize,
        counts: bool,
        round: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (wal, tables) = (database.figure(WAL)?, database.figure(TABLES)?);
        let start = now();
        round()?;
        let seconds = start.seconds();
        if counts {
            let each = |bytes: i64| bytes as f64 / transfers as f64;
            self.per_second.push(transfers as f64 / seconds);
            self.wal_bytes.push(each(database.figure(WAL)? - wal));
            self.table_bytes.push(each(database.figure(TABLES)? - tables));
        }
        Ok(())
    }
}

fn tell(report: &mut Report, names: [String; 2], rounds: &[Rounds; 2]) {
    let mut table = Explained::new(&[
        ("side", Align::Left, "who books, and by how many at once"),
        ("transfers/s", Align::Right, "transfers a second, each under a key"),
        ("× usual", Align::Right, "as a multiple of the usual way's"),
        ("WAL B", Align::Right, "bytes of write-ahead log a transfer"),
        ("table B", Align::Right, "bytes by which tables and indexes grew, a transfer"),
    ]);
    let usual = median(&rounds[1].per_second);
    for (side, of) in names.into_iter().zip(rounds) {
        let figures = Figures {
            side,
            transfers_per_second: median(&of.per_second),
            wal_bytes_per_transfer: median(&of.wal_bytes),
            table_bytes_per_transfer: median(&of.table_bytes),
        };
        table.row(vec![
            figures.side.clone(),
            grouped(figures.transfers_per_second),
            share(figures.transfers_per_second, usual),
            short(figures.wal_bytes_per_transfer),
            short(figures.table_bytes_per_transfer),
        ]);
        report.result(figures);
    }
    report.say("the write-ahead log is the whole database server's; medians of the rounds");
    report.table(&table);
}

/// Gives each account its money, which its owner deposits as NDJSON.
fn endow(database: &FreshDatabase, tellers: usize) -> anyhow::Result<()> {
    let served = Served::database(&database.url, tellers)?;
    for (user, token) in database.tokens.iter().enumerate() {
        let own = owned(database, user);
        let lines = own.iter().map(|account| {
            format!("{{\"op\":\"deposit\",\"account\":\"{account}\",\"amount\":{ENOUGH}}}\n")
        });
        send(&served.address, vec![framed(token, lines)], own.len() as u64)?;
    }
    served.stop()
}

fn owned(database: &FreshDatabase, user: usize) -> Vec<AccountId> {
    let of = database.accounts.iter().filter(|(_, owner)| *owner == user);
    of.map(|(account, _)| *account).collect()
}

/// A request with so many transfers from the accounts of a user, each under a key.
fn transfers(database: &FreshDatabase, user: usize, count: usize, random: &mut Random) -> Vec<u8> {
    let own = owned(database, user);
    let lines = (0..count).map(|_| {
        let from = own[random.below(own.len() as u64) as usize];
        let to = another(database, from, random);
        batch::transfer(from, to, random)
    });
    framed(&database.tokens[user], lines)
}

/// Any account but this one.
fn another(database: &FreshDatabase, from: AccountId, random: &mut Random) -> AccountId {
    loop {
        let (to, _) = database.accounts[random.below(database.accounts.len() as u64) as usize];
        if to != from {
            return to;
        }
    }
}

/// So many transfers by a transaction each, over all connections together.
fn one_by_one(
    database: &FreshDatabase,
    stores: &mut [PostgresStore],
    transfers: usize,
    seed: u64,
) -> anyhow::Result<()> {
    let left = AtomicI64::new(i64::try_from(transfers)?);
    let clock = Clock::system();
    std::thread::scope(|scope| {
        let working: Vec<_> = (0..)
            .zip(stores)
            .map(|(nth, store)| {
                let (left, clock) = (&left, &clock);
                let mut random = Random(seed ^ nth << 48);
                scope.spawn(move || -> anyhow::Result<()> {
                    while left.fetch_sub(1, Relaxed) > 0 {
                        one_by_itself(store, &transfer(database, clock, &mut random))?;
                    }
                    Ok(())
                })
            })
            .collect();
        let mut done = working.into_iter().map(|work| work.join().expect("no work panics"));
        done.try_for_each(|done| done)
    })
}

fn transfer(database: &FreshDatabase, clock: &Clock, random: &mut Random) -> Request {
    let at = random.below(database.accounts.len() as u64) as usize;
    let (from, user) = database.accounts[at];
    let to = another(database, from, random);
    let amount = Amount::new(i128::from(1 + random.below(1000))).expect("positive");
    let (memo, metadata) = (Memo::EMPTY, Metadata::EMPTY);
    let command = Command::Transfer { from, to, amount, memo, to_memo: None, metadata };
    let key = IdempotencyKey::new(&format!("{:016x}", random.next())).expect("a key");
    Request {
        caller: Caller::owner(database.users[user]),
        at: clock.now(),
        nonce: random.next(),
        key: Some((key, Fingerprint::of(&command))),
        expected_version: None,
        command,
    }
}
