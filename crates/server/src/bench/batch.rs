//! `bench batch`: transfers as NDJSON over HTTP, the way to move many at once.
//!
//! The bytes of the requests are made before the clock runs and written in large pieces by one
//! thread, while another reads the outcomes and checks every one. Beside it, in turn: the engine
//! in process at its best size of a batch, and as many bytes written and synced bare.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::json;

use super::engine::{BEST, Bench};
use super::figures::{Elapsed, grouped, median, now, ratio, share, short};
use super::ledger::Ledger;
use super::limits::{RawDisk, as_many_syncs};
use super::machine::{Memory, processor_seconds};
use super::outcomes;
use super::report::{Common, Report};
use super::scratch::Scratch;
use super::served::{Served, token};
use super::workload::{Shape, Workload};
use crate::cli::table::{Align, Table};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many accounts there are; several sizes are measured one after the other
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000", value_name = "N")]
    accounts: Vec<usize>,
    /// How many connections, each with one long request
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N")]
    connections: Vec<usize>,
    /// How many transfers a round has, over all connections together
    #[arg(long, default_value_t = 500_000, value_name = "N")]
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
    engine_per_second: f64,
    raw_sync_per_second: f64,
    of_engine: Option<f64>,
    of_raw_sync: Option<f64>,
    request_bytes_per_transfer: f64,
    /// Of processor time, with the kernel's for it.
    server_us_per_transfer: Option<f64>,
    client_us_per_transfer: Option<f64>,
    server_memory: Memory,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let common = &args.common;
    anyhow::ensure!(args.accounts.iter().all(|n| *n >= 2), "--accounts must be at least 2");
    anyhow::ensure!(args.connections.iter().all(|n| *n >= 1), "--connections are from 1 on");
    anyhow::ensure!(args.transfers >= 1, "--transfers must be at least 1");
    let settings = json!({
        "accounts": args.accounts, "connections": args.connections, "transfers": args.transfers,
        "shape": args.shape.to_string(), "engine_batch": BEST, "rounds": common.rounds,
    });
    let mut report = Report::begin("batch", &common.dir(), settings)?;
    let mut table = Table::new(&[
        ("accounts", Align::Right),
        ("connections", Align::Right),
        ("transfers/s", Align::Right),
        ("engine/s", Align::Right),
        ("raw sync/s", Align::Right),
        ("of engine", Align::Right),
        ("of sync", Align::Right),
        ("B/request", Align::Right),
        ("server µs", Align::Right),
        ("client µs", Align::Right),
        ("server MiB", Align::Right),
    ]);
    let mut disk = None;
    for &accounts in &args.accounts {
        eprintln!("opening {} accounts, twice", grouped(accounts as f64));
        let scratch = Scratch::in_dir(&common.dir())?;
        let raw = RawDisk::in_dir(scratch.path())?;
        let mut sides = Sides::new(&scratch, accounts, args.shape, raw)?;
        for &connections in &args.connections {
            eprintln!("{connections} connections");
            let figures = sides.measure(connections, args.transfers, common.rounds)?;
            let micros = |micros: Option<f64>| micros.map_or("?".to_owned(), short);
            let memory = figures.server_memory.peak_mib.map_or("?".into(), |m| grouped(m as f64));
            table.row(vec![
                grouped(accounts as f64),
                connections.to_string(),
                grouped(figures.per_second),
                grouped(figures.engine_per_second),
                grouped(figures.raw_sync_per_second),
                share(figures.per_second, figures.engine_per_second),
                share(figures.per_second, figures.raw_sync_per_second),
                short(figures.request_bytes_per_transfer),
                micros(figures.server_us_per_transfer),
                micros(figures.client_us_per_transfer),
                memory,
            ]);
            report.result(figures);
        }
        disk = Some(sides.end()?);
    }
    if let Some(raw) = disk {
        report.disk(&raw);
    }
    report.say("every transfer has a key; every outcome was read and was a 201, in order");
    report.table(&table);
    report.end(&common.output)
}

/// What is compared: a served ledger, and one in this process with as many accounts.
struct Sides<'a> {
    served: Served,
    token: String,
    workload: Workload,
    engine: Bench<'a>,
    scratch: &'a Scratch,
    raw: RawDisk,
    accounts: usize,
}

impl<'a> Sides<'a> {
    fn new(
        scratch: &'a Scratch,
        accounts: usize,
        shape: Shape,
        raw: RawDisk,
    ) -> anyhow::Result<Self> {
        let data = scratch.path().join("ledger");
        let workload = filled(&data, accounts, shape)?;
        let token = token(&data)?;
        let engine = Bench::new(scratch, accounts, shape)?;
        let served = Served::ledger(&data)?;
        Ok(Self { served, token, workload, engine, scratch, raw, accounts })
    }

    fn measure(
        &mut self,
        connections: usize,
        transfers: usize,
        rounds: u32,
    ) -> anyhow::Result<Figures> {
        let each = transfers.div_ceil(connections);
        let transfers = each * connections;
        let (mut http, mut engine, mut raw) = (Vec::new(), Vec::new(), Vec::new());
        let (mut server, mut client, mut length) = (Vec::new(), Vec::new(), 0);
        for round in 0..=rounds {
            let bodies: Vec<Vec<u8>> =
                (0..connections).map(|_| request(&mut self.workload, &self.token, each)).collect();
            length = bodies.iter().map(Vec::len).sum();
            let pid = self.served.pid();
            let used = || (processor_seconds(Some(pid)), processor_seconds(None));
            let (before, start) = (used(), now());
            send(&self.served.address, bodies, each as u64)?;
            let (seconds, after) = (start.seconds(), used());
            let side = self.engine.journal(BEST, transfers)?;
            let syncs = as_many_syncs(self.scratch.path(), transfers, BEST, side.bytes)?;
            self.raw.sample()?;
            // The first round warms up.
            if round > 0 {
                http.push(transfers as f64 / seconds);
                engine.push(side.per_second);
                raw.push(syncs);
                let micros = |after: Option<f64>, before: Option<f64>| {
                    Some((after? - before?) * 1e6 / transfers as f64)
                };
                server.extend(micros(after.0, before.0));
                client.extend(micros(after.1, before.1));
            }
        }
        let (http, engine, raw) = (median(&http), median(&engine), median(&raw));
        let told = |micros: &[f64]| Some(median(micros)).filter(|micros| micros.is_finite());
        Ok(Figures {
            accounts: self.accounts,
            connections,
            transfers,
            per_second: http,
            engine_per_second: engine,
            raw_sync_per_second: raw,
            of_engine: ratio(http, engine),
            of_raw_sync: ratio(http, raw),
            request_bytes_per_transfer: length as f64 / transfers as f64,
            server_us_per_transfer: told(&server),
            client_us_per_transfer: told(&client),
            server_memory: Memory::of(Some(self.served.pid())),
        })
    }

    /// Stops what runs; what the bare disk took meanwhile.
    fn end(self) -> anyhow::Result<RawDisk> {
        self.served.stop()?;
        Ok(self.raw)
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
    let mut bytes = format!(
        "POST /v1/batches HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    let mut chunk = Vec::with_capacity(CHUNK + 512);
    for nth in 0..transfers {
        let (from, to) = workload.pair();
        let (amount, key) = (1 + workload.random.below(1000), workload.random.next());
        writeln!(
            chunk,
            "{{\"op\":\"transfer\",\"from_account\":\"{from}\",\"to_account\":\"{to}\",\
             \"amount\":{amount},\"idempotency_key\":\"{key:016x}\"}}"
        )
        .expect("memory takes what is written");
        if chunk.len() >= CHUNK || nth + 1 == transfers {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.append(&mut chunk);
            bytes.extend(b"\r\n");
        }
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

/// Sends each request on a connection of its own and reads all outcomes.
fn send(address: &str, requests: Vec<Vec<u8>>, each: u64) -> anyhow::Result<()> {
    let exchange = |bytes: Vec<u8>| -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        let mut writing = stream.try_clone()?;
        let written = std::thread::spawn(move || writing.write_all(&bytes));
        let read = outcomes::read(&mut stream, each);
        if read.is_err() {
            // The server may wait for somebody to read on, and the writer for the server.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Who wrote into a connection that the server gave up has only half of the reason.
        let written = written.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        read.context("POST /v1/batches").and(written.context("writing to POST /v1/batches"))
    };
    std::thread::scope(|scope| {
        let exchange = &exchange;
        let all: Vec<_> =
            requests.into_iter().map(|bytes| scope.spawn(move || exchange(bytes))).collect();
        all.into_iter().try_for_each(|one| {
            one.join().map_err(|_| anyhow::anyhow!("a connection's thread panicked"))?
        })
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpListener;

    use tongjang_core::AccountId;

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
