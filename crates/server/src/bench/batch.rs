//! `bench batch`: transfers as NDJSON over HTTP, the way to move many at once.
//!
//! The bytes of the requests are made before the clock runs and written in large pieces by one
//! thread, while another reads the outcomes and checks every one. Beside it, in turn: the engine
//! in process in batches of two sizes, whose faster one is the limit, and as many bytes written
//! and synced bare.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;
use tongjang_core::AccountId;

use super::count::count;
use super::engine::{Bench, GOOD};
use super::explained::Explained;
use super::figures::{Elapsed, grouped, median, now, ratio, share, short};
use super::ledger::{BATCH, Ledger};
use super::limits::{RawDisk, as_many_syncs};
use super::machine::{Memory, own_processor_seconds, processor_seconds};
use super::outcomes;
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::served::{Served, token};
use super::workload::{Random, Shape, Workload};
use crate::cli::table::Align;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many accounts there are; several sizes are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "10k,1M", value_name = "N",
        value_parser = count)]
    accounts: Vec<usize>,
    /// How many connections, each with one long request
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N")]
    connections: Vec<usize>,
    /// How many transfers a round has, over all connections together
    #[arg(long, default_value_t = 500_000, value_name = "N", value_parser = count)]
    transfers: usize,
    /// Which accounts take part how often: uniform, zipf, zipf=S or hot
    #[arg(long, default_value = "uniform")]
    shape: Shape,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Serialize)]
struct Figures {
    accounts: usize,
    connections: usize,
    transfers: usize,
    per_second: f64,
    /// In batches of each size.
    engine: Vec<EngineRate>,
    /// The faster of them.
    engine_per_second: f64,
    engine_batch: usize,
    raw_sync_per_second: f64,
    /// As a share of the engine at its faster batch, and at the largest that the teller takes.
    of_engine: Option<f64>,
    of_engine_at_largest: Option<f64>,
    of_raw_sync: Option<f64>,
    request_bytes_per_transfer: f64,
    /// Of processor time, with the kernel's for it.
    server_us_per_transfer: Option<f64>,
    client_us_per_transfer: Option<f64>,
    server_memory: Memory,
}

/// The engine in process, in batches of one size.
#[derive(Clone, Copy, Debug, Serialize)]
struct EngineRate {
    batch: usize,
    per_second: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.accounts.iter().all(|n| *n >= 2), "--accounts must be at least 2");
    anyhow::ensure!(args.connections.iter().all(|n| *n >= 1), "--connections are from 1 on");
    anyhow::ensure!(args.transfers >= 1, "--transfers must be at least 1");
    let settings = json!({
        "accounts": args.accounts, "connections": args.connections, "transfers": args.transfers,
        "shape": args.shape.to_string(), "engine_batches": GOOD, "rounds": common.rounds,
    });
    let mut report = Report::begin("batch", &common.dir(), settings)?;
    let mut table = Explained::new(&[
        ("accounts", Align::Right, "how many accounts the transfers are between"),
        ("conn.", Align::Right, "how many connections, each with one long request"),
        ("transfers/s", Align::Right, "transfers a second over HTTP, all connections together"),
        ("engine 1,024/s", Align::Right, "the same in process, 1,024 to a batch"),
        ("8,192/s", Align::Right, "the same, 8,192 to a batch: the most that the teller takes"),
        (
            "raw sync/s",
            Align::Right,
            "the engine's bytes and syncs at 8,192 by the bare disk, as \
            transfers a second",
        ),
        ("of engine", Align::Right, "transfers/s as a share of the engine's faster batch"),
        ("of 8,192", Align::Right, "transfers/s as a share of the engine at 8,192"),
        ("of sync", Align::Right, "transfers/s as a share of raw sync/s"),
        ("B/transfer", Align::Right, "bytes of the request a transfer, as they go over the wire"),
        (
            "server µs",
            Align::Right,
            "processor time of the server a transfer, the kernel's for it \
            included; it is counted in steps of 10 ms",
        ),
        (
            "client µs",
            Align::Right,
            "the same of the threads that send and read, to the nanosecond",
        ),
        ("server MiB", Align::Right, "the most memory that the server held so far"),
    ]);
    let beside = Scratch::in_dir(&common.dir())?;
    let mut raw = RawDisk::in_dir(beside.path())?;
    for &accounts in &args.accounts {
        eprintln!("opening {} accounts, three times", grouped(accounts as f64));
        let scratch = Scratch::in_dir(&common.dir())?;
        let mut sides = Sides::new(&scratch, accounts, args.shape)?;
        for &connections in &args.connections {
            eprintln!("{connections} connections");
            let figures = sides.measure(connections, args.transfers, common.rounds, &mut raw)?;
            let micros = |micros: Option<f64>, step: f64| match micros {
                // Less than a step was used in most rounds.
                Some(0.0) => format!("< {}", short(step)),
                Some(micros) => short(micros),
                None => "?".to_owned(),
            };
            let tick = TICK_MICROS / figures.transfers as f64;
            let memory = figures.server_memory.peak_mib.map_or("?".into(), |m| grouped(m as f64));
            table.row(vec![
                grouped(accounts as f64),
                connections.to_string(),
                grouped(figures.per_second),
                grouped(figures.engine[0].per_second),
                grouped(figures.engine[1].per_second),
                grouped(figures.raw_sync_per_second),
                share(figures.per_second, figures.engine_per_second),
                share(figures.per_second, figures.engine[1].per_second),
                share(figures.per_second, figures.raw_sync_per_second),
                short(figures.request_bytes_per_transfer),
                micros(figures.server_us_per_transfer, tick),
                micros(figures.client_us_per_transfer, 0.001),
                memory,
            ]);
            report.result(figures);
        }
        sides.end()?;
    }
    report.disk(&raw);
    report.say("every transfer has a key; every outcome was read and was a 201, in order");
    report.table(&table);
    report.end(&common.output)
}

/// In what steps the kernel tells the processor time of another process.
const TICK_MICROS: f64 = 10_000.0;

/// What is compared: a served ledger, and for each batch one in this process with as many accounts.
struct Sides<'a> {
    served: Served,
    token: String,
    workload: Workload,
    engines: [Bench<'a>; 2],
    scratch: &'a Scratch,
    accounts: usize,
}

impl<'a> Sides<'a> {
    fn new(scratch: &'a Scratch, accounts: usize, shape: Shape) -> anyhow::Result<Self> {
        let data = scratch.path().join("ledger");
        let workload = filled(&data, accounts, shape)?;
        let token = token(&data)?;
        // Each books as much as the served one, so that all of them grow alike.
        let engine = || Bench::new(scratch, accounts, shape);
        let engines = [engine()?, engine()?];
        let served = Served::ledger(&data)?;
        Ok(Self { served, token, workload, engines, scratch, accounts })
    }

    fn measure(
        &mut self,
        connections: usize,
        transfers: usize,
        rounds: u32,
        raw_disk: &mut RawDisk,
    ) -> anyhow::Result<Figures> {
        let each = transfers.div_ceil(connections);
        let transfers = each * connections;
        let (mut http, mut raw) = (Vec::new(), Vec::new());
        let mut engine = GOOD.map(|batch| (batch, Vec::new()));
        let (mut server, mut client, mut length) = (Vec::new(), Vec::new(), 0);
        for round in 0..=rounds {
            let bodies: Vec<Vec<u8>> =
                (0..connections).map(|_| request(&mut self.workload, &self.token, each)).collect();
            length = bodies.iter().map(Vec::len).sum();
            let pid = self.served.pid();
            let (before, start) = (processor_seconds(Some(pid)), now());
            let sent = send(&self.served.address, bodies, each as u64)?;
            let (seconds, after) = (start.seconds(), processor_seconds(Some(pid)));
            let mut bytes = 0.0;
            for (bench, (batch, rates)) in self.engines.iter_mut().zip(&mut engine) {
                let side = bench.journal(*batch, transfers)?;
                bytes = side.bytes;
                if round > 0 {
                    rates.push(side.per_second);
                }
            }
            let syncs = as_many_syncs(self.scratch.path(), transfers, BATCH, bytes)?;
            raw_disk.sample()?;
            // The first round warms up.
            if round > 0 {
                http.push(transfers as f64 / seconds);
                raw.push(syncs);
                let micros = |seconds: f64| seconds * 1e6 / transfers as f64;
                server.extend(after.zip(before).map(|(after, before)| micros(after - before)));
                client.extend(sent.map(micros));
            }
        }
        let (http, raw) = (median(&http), median(&raw));
        let engine = engine.map(|(batch, rates)| EngineRate { batch, per_second: median(&rates) });
        let [small, large] = engine;
        let faster = if small.per_second > large.per_second { small } else { large };
        let told = |micros: &[f64]| Some(median(micros)).filter(|micros| micros.is_finite());
        Ok(Figures {
            accounts: self.accounts,
            connections,
            transfers,
            per_second: http,
            engine: engine.into(),
            engine_per_second: faster.per_second,
            engine_batch: faster.batch,
            raw_sync_per_second: raw,
            of_engine: ratio(http, faster.per_second),
            of_engine_at_largest: ratio(http, large.per_second),
            of_raw_sync: ratio(http, raw),
            request_bytes_per_transfer: length as f64 / transfers as f64,
            server_us_per_transfer: told(&server),
            client_us_per_transfer: told(&client),
            server_memory: Memory::of(Some(self.served.pid())),
        })
    }

    /// Stops what runs.
    fn end(self) -> anyhow::Result<()> {
        self.served.stop()
    }
}

/// A closed ledger in `data` with money on every account.
fn filled(data: &Path, accounts: usize, shape: Shape) -> anyhow::Result<Workload> {
    let mut ledger = Ledger::open(data)?;
    let mut workload = Workload::new(2).shaped(shape, true, 0, 1);
    ledger.open_accounts(&mut workload, accounts, None)?;
    ledger.close()?;
    Ok(workload)
}

/// How much of the body a chunk of HTTP/1.1 holds, about.
const CHUNK: usize = 64 << 10;

/// A whole request with so many transfers, each under a key, as it goes over the wire.
fn request(workload: &mut Workload, token: &str, transfers: usize) -> Vec<u8> {
    let lines = (0..transfers).map(|_| {
        let (from, to) = workload.pair();
        transfer(from, to, &mut workload.random)
    });
    framed(token, lines)
}

/// A line that transfers any amount up to 1,000 under a key.
pub(super) fn transfer(from: AccountId, to: AccountId, random: &mut Random) -> String {
    let (amount, key) = (1 + random.below(1000), random.next());
    format!(
        "{{\"op\":\"transfer\",\"from_account\":\"{from}\",\"to_account\":\"{to}\",\
         \"amount\":{amount},\"idempotency_key\":\"{key:016x}\"}}\n"
    )
}

/// The lines as the body of a whole request, as it goes over the wire.
pub(super) fn framed(token: &str, lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut bytes = format!(
        "POST /v1/batches HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    let mut chunk = Vec::with_capacity(CHUNK + 512);
    let mut close = |chunk: &mut Vec<u8>| {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.append(chunk);
        bytes.extend(b"\r\n");
    };
    for line in lines {
        chunk.extend(line.into_bytes());
        if chunk.len() >= CHUNK {
            close(&mut chunk);
        }
    }
    if !chunk.is_empty() {
        close(&mut chunk);
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// Sends each request on a connection of its own and reads all outcomes; the seconds of processor
/// time that this took here, where the system tells them.
pub(super) fn send(
    address: &str,
    requests: Vec<Vec<u8>>,
    each: u64,
) -> anyhow::Result<Option<f64>> {
    let exchange = |bytes: Vec<u8>| -> anyhow::Result<Option<f64>> {
        let mut stream = TcpStream::connect(address)?;
        let mut writing = stream.try_clone()?;
        let write = move || (writing.write_all(&bytes), own_processor_seconds());
        let written = std::thread::spawn(write);
        let read = outcomes::read(&mut stream, each);
        if read.is_err() {
            // The server may wait for somebody to read on, and the writer for the server.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Who wrote into a connection that the server gave up has only half of the reason.
        let (written, writing) =
            written.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        read.context("POST /v1/batches").and(written.context("writing to POST /v1/batches"))?;
        // Both threads were begun for this request alone.
        Ok(own_processor_seconds().zip(writing).map(|(reading, writing)| reading + writing))
    };
    std::thread::scope(|scope| {
        let exchange = &exchange;
        let all: Vec<_> =
            requests.into_iter().map(|bytes| scope.spawn(move || exchange(bytes))).collect();
        all.into_iter().try_fold(Some(0.0), |sum: Option<f64>, one| {
            let one =
                one.join().map_err(|_| anyhow::anyhow!("a connection's thread panicked"))??;
            Ok(sum.zip(one).map(|(sum, one)| sum + one))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;

    use super::*;

    /// A server of the contract's that books nothing: it answers each line with a 201.
    fn stub() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || answer(stream.unwrap()));
            }
        });
        address
    }

    fn answer(mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut text = String::new();
        while text != "\r\n" {
            text.clear();
            reader.read_line(&mut text).unwrap();
        }
        stream.write_all(head.as_bytes()).unwrap();
        let mut number = 0;
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).unwrap();
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).unwrap();
            let mut out = String::new();
            for line in chunk[..size].split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
                let command: serde_json::Value = serde_json::from_slice(line).unwrap();
                assert_eq!(command["op"], "transfer");
                assert_ne!(command["from_account"], command["to_account"]);
                number += 1;
                out += &format!("{{\"line\":{number},\"status\":201,\"id\":\"txn_{number}\"}}\n");
            }
            write!(stream, "{:x}\r\n{out}\r\n", out.len()).unwrap();
            if size == 0 {
                return;
            }
        }
    }

    #[test]
    fn every_transfer_of_a_request_is_answered_and_counted() {
        let mut workload = Workload::new(1);
        workload.take_part((1..=50u128).map(AccountId::from_bits).collect());
        let address = stub();
        let mut requests = || (0..3).map(|_| request(&mut workload, "t", 2_000)).collect();
        send(&address, requests(), 2_000).unwrap();
        let short = send(&address, requests(), 2_001).unwrap_err();
        assert!(format!("{short:#}").contains("2000 outcomes came of 2001"), "{short:#}");
    }
}
