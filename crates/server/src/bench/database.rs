//! `bench database`: deposits through the server on PostgreSQL against the usual way, in the same
//! run and on the same schema; what the constraints cost; what one server more is worth.
//!
//! The usual way is a transaction a deposit: lock the rows with SELECT … FOR UPDATE, decide, add
//! the entries and the new balances, commit; here with all statements prepared and sent in two
//! round trips, which is fewer than most programs need. It is measured in this process, without
//! HTTP; the server is a process of its own, and this one makes its load over HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tongjang_core::{
    AccountId, Amount, Caller, Command, Fingerprint, IdempotencyKey, Memo, Metadata, Request,
    UserId,
};
use tongjang_store::postgres::{Parts, PostgresStore};
use tongjang_store::teller::answer;
use tongjang_store::{Chance, Messenger, Store, Teller, TellerLimits};

use super::count::count;
use super::explained::Explained;
use super::figures::{Elapsed, grouped, median, now, share};
use super::fresh_database::FreshDatabase;
use super::http::deposits_by;
use super::load::{Ask, CLOSED, Group, load};
use super::report::{Common, Report};
use super::served::Served;
use super::slow_link::{self, SlowLink};
use super::throttle::Throttle;
use super::workload::Random;
use crate::app::Clock;
use crate::cli::table::Align;
use crate::config::{ServingArgs, StoreArgs};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many accounts the deposits go to
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = count)]
    accounts: usize,
    /// How many clients the server has, each with one request at a time
    #[arg(long, value_delimiter = ',', default_value = "64,1024", value_name = "N")]
    clients: Vec<usize>,
    /// How many connections the usual way has; the best of them counts
    #[arg(long, value_delimiter = ',', default_value = "1,8,32,64", value_name = "N")]
    usual: Vec<usize>,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = super::http::seconds)]
    seconds: f64,
    /// Into how many parts the ledgers are divided
    #[arg(long, default_value_t = 16, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..))]
    parts: u16,
    /// Leave out what the constraints cost
    #[arg(long)]
    no_constraints: bool,
    /// How many servers share the load in the second table; 1 leaves that out
    #[arg(long, default_value_t = 2, value_name = "N")]
    servers: usize,
    /// Compare the servers once more with a database that seems so far away, in each direction
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    latency_ms: Option<u64>,
    /// Compare the servers once more when each runs for so much of the time only
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..100))]
    server_share: Option<u64>,
    #[command(flatten)]
    ledger: StoreArgs,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Rate {
    side: String,
    /// Deposits a second into accounts drawn at random, and into one and the same.
    uniform: f64,
    hot: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    let settings = json!({
        "accounts": args.accounts, "clients": args.clients, "usual": args.usual,
        "seconds": args.seconds, "parts": args.parts, "rounds": common.rounds,
        "tellers": args.serving.tellers, "latency_ms": args.latency_ms,
        "server_share": args.server_share,
    });
    let mut report = Report::begin("database", &common.dir(), settings)?;
    let parts = Parts::new(args.parts).expect("clap has checked it");
    eprintln!("making a ledger of {} accounts", grouped(args.accounts as f64));
    let database = FreshDatabase::make(&args.ledger, 1, parts, args.accounts, "")?;
    against_the_usual_way(args, &database, &mut report)?;
    if args.servers > 1 {
        let away = args.latency_ms.map(Made::Away);
        let share = args.server_share.map(Made::Share);
        for made in [Some(Made::Nothing), away, share].into_iter().flatten() {
            several_servers(args, &database, made, &mut report)?;
        }
    }
    drop(database);
    if !args.no_constraints {
        constraints(args, parts, &mut report)?;
    }
    report.say(CLOSED);
    report.end(&common.output)
}

fn against_the_usual_way(
    args: &Args,
    database: &FreshDatabase,
    report: &mut Report,
) -> anyhow::Result<()> {
    let served = Served::database(&database.url, args.serving.tellers)?;
    let length = Duration::from_secs_f64(args.seconds);
    let sides = args.usual.len() + args.clients.len();
    let mut rates = vec![[Vec::new(), Vec::new()]; sides];
    let mut seed = 0;
    for round in 0..=args.common.rounds {
        for (side, of_side) in rates.iter_mut().enumerate() {
            for (hot, rates) in of_side.iter_mut().enumerate() {
                seed += 1;
                let accounts = &database.accounts[..if hot == 1 { 1 } else { args.accounts }];
                let rate = match args.usual.get(side) {
                    Some(connections) => usual(database, accounts, *connections, length, seed)?,
                    None => {
                        let connections = args.clients[side - args.usual.len()];
                        let ask = deposits(&database.tokens, accounts);
                        let group = Group { ask: &ask, connections, per_second: None };
                        load(&served.address, &[group], 1, length, seed)?.per_second()
                    }
                };
                // The first round warms up.
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        eprintln!("round {round} of {}", args.common.rounds);
    }
    served.stop()?;
    let names = args.usual.iter().map(|n| format!("usual way, {n} connections"));
    let names = names.chain(args.clients.iter().map(|n| format!("server, {n} clients")));
    let rates: Vec<Rate> = names
        .zip(&rates)
        .map(|(side, [uniform, hot])| Rate { side, uniform: median(uniform), hot: median(hot) })
        .collect();
    let of_usual = &rates[..args.usual.len()];
    let best = |rate: fn(&Rate) -> f64| of_usual.iter().map(rate).fold(0.0, f64::max);
    let (best_uniform, best_hot) = (best(|rate| rate.uniform), best(|rate| rate.hot));
    let mut table = Explained::new(&[
        ("side", Align::Left, "who books, and by how many at once"),
        ("uniform/s", Align::Right, "deposits a second into accounts that are drawn at random"),
        ("× usual", Align::Right, "as a multiple of the usual way's best"),
        ("hot/s", Align::Right, "deposits a second into one and the same account"),
        ("× usual hot", Align::Right, "as a multiple of the usual way's best on it"),
    ]);
    for rate in rates {
        table.row(vec![
            rate.side.clone(),
            grouped(rate.uniform),
            share(rate.uniform, best_uniform),
            grouped(rate.hot),
            share(rate.hot, best_hot),
        ]);
        report.result(rate);
    }
    report.table(&table);
    Ok(())
}

/// Deposits over HTTP, each by the account's owner and under a key of its own.
fn deposits(tokens: &[String], accounts: &[(AccountId, usize)]) -> Ask {
    let owned = accounts.iter().map(|(id, user)| (id.to_string(), tokens[*user].clone()));
    deposits_by(owned.collect())
}

/// Deposits a second by a transaction each, on so many connections.
fn usual(
    database: &FreshDatabase,
    accounts: &[(AccountId, usize)],
    connections: usize,
    length: Duration,
    seed: u64,
) -> anyhow::Result<f64> {
    let stores = (0..connections).map(|_| database.postgres.teller());
    let mut stores = stores.collect::<Result<Vec<_>, _>>()?;
    let requests = Requests::of(&database.users, accounts);
    for store in &mut stores {
        // Connects, and prepares its statements.
        one_by_itself(store, &requests.next(&mut Random(seed << 40 ^ 0xc0))).map(drop)?;
    }
    let (over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = now();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let mut working = Vec::new();
        for (nth, mut store) in stores.into_iter().enumerate() {
            let (over, done, requests) = (&over, &done, &requests);
            let mut random = Random(seed << 32 ^ nth as u64 ^ 0x05a1);
            working.push(scope.spawn(move || -> anyhow::Result<()> {
                while !over.load(Relaxed) {
                    one_by_itself(&mut store, &requests.next(&mut random))?;
                    done.fetch_add(1, Relaxed);
                }
                Ok(())
            }));
        }
        std::thread::sleep(length);
        over.store(true, Relaxed);
        for work in working {
            work.join().expect("a measurement that panics has said why")?;
        }
        Ok(())
    })?;
    Ok(done.load(Relaxed) as f64 / start.seconds())
}

/// A transaction of its own for a request.
pub(super) fn one_by_itself(store: &mut PostgresStore, request: &Request) -> anyhow::Result<()> {
    loop {
        let booked = store.load(&[request]).and_then(|()| {
            let answer = answer(store.book(), request)?;
            store.commit(Box::new(|_| ()))?;
            Ok(answer)
        });
        match booked {
            Ok(answer) => {
                return answer.outcome.map(drop).map_err(|why| anyhow::anyhow!("{why:?}"));
            }
            Err(error) if error.chance() == Chance::Again => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Deposits of the accounts' owners.
struct Requests {
    accounts: Vec<(AccountId, UserId)>,
    clock: Clock,
}

impl Requests {
    fn of(users: &[UserId], accounts: &[(AccountId, usize)]) -> Self {
        let accounts = accounts.iter().map(|(id, user)| (*id, users[*user])).collect();
        Self { accounts, clock: Clock::system() }
    }

    fn next(&self, random: &mut Random) -> Request {
        let (account, owner) = self.accounts[random.below(self.accounts.len() as u64) as usize];
        let amount = Amount::new(i128::from(1 + random.below(100_000))).expect("positive");
        let (memo, metadata) = (Memo::new("").expect("a memo"), Metadata::EMPTY);
        let command = Command::Deposit { account, amount, memo, metadata };
        let key = IdempotencyKey::new(&format!("{:016x}", random.next())).expect("a key");
        Request {
            caller: Caller::owner(owner),
            at: self.clock.now(),
            nonce: random.next(),
            key: Some((key, Fingerprint::of(&command))),
            expected_version: None,
            command,
        }
    }
}

/// What is made to be the limit where servers are compared, and is none by itself.
#[derive(Clone, Copy)]
enum Made {
    Nothing,
    /// The way to the database takes so many milliseconds in each direction.
    Away(u64),
    /// Each server runs for so many hundredths of the time.
    Share(u64),
}

/// One server against several on the same database, by as many clients in all.
fn several_servers(
    args: &Args,
    database: &FreshDatabase,
    made: Made,
    report: &mut Report,
) -> anyhow::Result<()> {
    let length = Duration::from_secs_f64(args.seconds);
    let (phase, away, share_of_time) = match made {
        Made::Nothing => (1, 0, 100),
        Made::Away(milliseconds) => (2, milliseconds, 100),
        Made::Share(percent) => (3, 0, percent),
    };
    let delay = (away > 0).then(|| Duration::from_millis(away));
    let link = delay.map(|delay| SlowLink::to(slow_link::host(&database.url)?, delay));
    let link = link.transpose()?;
    let url = match &link {
        Some(link) => link.instead_of_host(&database.url)?,
        None => database.url.clone(),
    };
    let start = || Served::database(&url, args.serving.tellers);
    let servers = (0..args.servers).map(|_| start()).collect::<anyhow::Result<Vec<_>>>()?;
    let held_back = servers.iter().filter(|_| share_of_time < 100);
    let throttles = held_back.map(|served| Throttle::on(served.pid(), share_of_time));
    let throttles = throttles.collect::<anyhow::Result<Vec<_>>>()?;
    let ask = deposits(&database.tokens, &database.accounts);
    let connections = args.clients.iter().copied().max().unwrap_or(64);
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..=args.common.rounds {
        for (several, rates) in rates.iter_mut().enumerate() {
            let among = if several == 1 { &servers[..] } else { &servers[..1] };
            let share = connections.div_ceil(among.len());
            let done: Vec<_> = std::thread::scope(|scope| {
                let loads: Vec<_> = among
                    .iter()
                    .enumerate()
                    .map(|(nth, served)| {
                        // Each load draws keys of its own, or it would only ask again.
                        // Within 32 bits: the load has the rest for its connections.
                        let seed = phase << 24;
                        let seed = seed | u64::from(round) << 8 | (nth << 1 | several) as u64;
                        let ask = &ask;
                        let address = served.address.clone();
                        scope.spawn(move || {
                            let group = Group { ask, connections: share, per_second: None };
                            load(&address, &[group], 1, length, seed)
                        })
                    })
                    .collect();
                loads.into_iter().map(|load| load.join().expect("no load panics")).collect()
            });
            let sum = done.into_iter().map(|done| done.map(|done| done.per_second()));
            let sum = sum.sum::<anyhow::Result<f64>>()?;
            if round > 0 {
                rates.push(sum);
            }
        }
    }
    drop(throttles);
    for served in servers {
        served.stop()?;
    }
    let [one, several] = rates.map(|rates| median(&rates));
    let mut table = Explained::new(&[
        ("servers", Align::Right, "how many servers share the clients"),
        ("ms away", Align::Right, "for how long each way to the database is held up; a made wait"),
        ("% of time", Align::Right, "for how much of the time each server runs; a made limit"),
        ("deposits/s", Align::Right, "of all of them together, uniform"),
        ("of one", Align::Right, "as a multiple of one server's"),
    ]);
    for (servers, rate) in [(1, one), (args.servers, several)] {
        let made = [away, share_of_time].map(|made| made.to_string());
        let figures = [grouped(rate), share(rate, one)];
        table.row([servers.to_string()].into_iter().chain(made).chain(figures).collect());
        report.result(json!({
            "servers": servers, "latency_ms": away, "server_share": share_of_time,
            "deposits_per_second": rate,
        }));
    }
    report.table(&table);
    Ok(())
}

/// What is left of the schema when the database checks nothing but that a row is there once.
const UNCHECKED: &str = "
    DO $$
    DECLARE
        c record;
    BEGIN
        FOR c IN SELECT conrelid::regclass AS on_table, conname FROM pg_constraint
            WHERE contype IN ('f', 'c')
                AND conrelid IN ('tongjang.entries'::regclass, 'tongjang.accounts'::regclass)
            ORDER BY contype DESC
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.on_table, c.conname);
        END LOOP;
        FOR c IN SELECT tgrelid::regclass AS on_table, tgname FROM pg_trigger
            WHERE NOT tgisinternal
                AND tgrelid IN ('tongjang.entries'::regclass, 'tongjang.accounts'::regclass)
        LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', c.tgname, c.on_table);
        END LOOP;
    END
    $$;
";

/// The same deposits with and without everything by which the database refuses a broken book.
fn constraints(args: &Args, parts: Parts, report: &mut Report) -> anyhow::Result<()> {
    let make = |nth, changes| FreshDatabase::make(&args.ledger, nth, parts, args.accounts, changes);
    let sides = [make(2, "")?, make(3, UNCHECKED)?];
    let length = Duration::from_secs_f64(args.seconds);
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..=args.common.rounds {
        for (database, rates) in sides.iter().zip(&mut rates) {
            let rate = in_process(args, database, length, u64::from(round) + 77)?;
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    let [checked, unchecked] = rates.map(|rates| median(&rates));
    let mut table = Explained::new(&[
        ("schema", Align::Left, "with all constraints, or with primary keys alone"),
        ("deposits/s", Align::Right, "by the tellers in process, 1,024 at a time, uniform"),
        ("of unchecked", Align::Right, "as a share of those without"),
    ]);
    table.row(vec!["checked".into(), grouped(checked), share(checked, unchecked)]);
    table.row(vec!["unchecked".into(), grouped(unchecked), share(unchecked, unchecked)]);
    report.result(json!({ "checked_per_second": checked, "unchecked_per_second": unchecked }));
    report.table(&table);
    Ok(())
}

/// Deposits a second by tellers of this process, with 1,024 on their way.
fn in_process(
    args: &Args,
    database: &FreshDatabase,
    length: Duration,
    seed: u64,
) -> anyhow::Result<f64> {
    let tellers = args.serving.tellers;
    let stores = (0..tellers).map(|_| database.postgres.teller()).collect::<Result<_, _>>()?;
    let messenger: Messenger = Arc::new(|deliver| deliver());
    let (teller, thread) = Teller::start_shared(stores, TellerLimits::default(), &messenger)?;
    let requests = Requests::of(&database.users, &database.accounts);
    let mut random = Random(seed << 32 ^ 0xc057);
    let (told, answers) = channel();
    let mut hand_in = || {
        let told = told.clone();
        let tell = Box::new(move |answer| told.send(answer).expect("it is waited for"));
        let taken = teller.submit(requests.next(&mut random), tell);
        taken.map_err(|refusal| anyhow::anyhow!("{refusal:?}"))
    };
    for _ in 0..1024 {
        hand_in()?;
    }
    let (start, mut done) = (now(), 0u64);
    let mut waiting = 1024;
    while waiting > 0 {
        answers.recv()??;
        waiting -= 1;
        if start.seconds() < length.as_secs_f64() {
            done += 1;
            hand_in()?;
            waiting += 1;
        }
    }
    thread.close()?;
    Ok(done as f64 / length.as_secs_f64())
}
