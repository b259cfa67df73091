//! Deposits over HTTP against POSTs that do nothing, on the same stack, in the same run.
//!
//! The server is the real one, in a process of its own. The other side is axum on hyper with a
//! handler that reads its body and answers as many bytes. This process makes the load, on the
//! same cores.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::routing::post;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::Elapsed;
use crate::machine::{grouped, median, now};
use crate::workload::Random;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many connections, each with one request at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,64,256")]
    connections: Vec<usize>,
    /// How long each side runs in a round, in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How many accounts the deposits go to.
    #[arg(long, default_value_t = 1_000)]
    accounts: usize,
    /// The server; as a rule the `tongjang` beside this program.
    #[arg(long)]
    server: Option<PathBuf>,
}

/// What a no-op POST answers: as long as the answer to a deposit.
const ANSWER: &str = include_str!("answer.json");

/// Serves POSTs that do nothing, until this process is killed.
pub(crate) fn noop() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let handler = |body: axum::body::Bytes| async move {
            std::hint::black_box(body);
            let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
            (axum::http::StatusCode::CREATED, json, ANSWER)
        };
        let router = axum::Router::new().route("/v1/accounts/{id}/deposits", post(handler));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            stream.set_nodelay(true).expect("a new connection takes options");
        });
        Ok(axum::serve(listener, router).await?)
    })
}

/// A server in a process of its own, killed when dropped.
struct Running {
    child: Child,
    address: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is gone already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        for line in &mut lines {
            let line = line?;
            if let Some((_, rest)) = line.split_once("http://") {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
                let address = rest[..end.unwrap_or(rest.len())].to_owned();
                // What the server prints later is nobody's business here.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Self { child, address });
            }
        }
        anyhow::bail!("the server ended before it listened")
    }

    /// A call that is not measured. Answers the body.
    fn call(&self, path: &str, token: &str, body: &str) -> anyhow::Result<String> {
        let mut stream = BlockingStream::connect(&self.address)?;
        let caller = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{caller}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 20"), "{path} answered {answer}");
        Ok(answer.split_once("\r\n\r\n").context("an answer has a body")?.1.to_owned())
    }
}

fn member<'a>(json: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let rest = json.split_once(&format!("\"{name}\":\"")).context("a member is missing")?.1;
    Ok(rest.split_once('"').context("a text ends")?.0)
}

pub(crate) fn run(dir: &Path, rounds: usize, args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let here = std::env::current_exe()?;
    let server = args.server.clone().unwrap_or_else(|| here.with_file_name("tongjang"));
    let noop = Running::start(Command::new(&here).arg("noop"))?;
    let real = Running::start(
        Command::new(&server)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data"])
            .arg(dir.path().join("data")),
    )
    .with_context(|| format!("{} must be built first", server.display()))?;
    let user = r#"{"username":"bench","password":"a long password"}"#;
    real.call("/v1/users", "", user)?;
    let token = real.call("/v1/tokens", "", user)?;
    let token = member(&token, "access_token")?.to_owned();
    let mut accounts = Vec::new();
    for _ in 0..args.accounts {
        let opened = real.call("/v1/accounts", &token, r#"{"currency":"KRW"}"#)?;
        accounts.push(member(&opened, "id")?.to_owned());
    }
    let accounts = Arc::new(accounts);
    let hot = Arc::new(vec![accounts[0].clone()]);
    println!(
        "{:>11} {:>10} {:>10} {:>10} {:>9} {:>9} {:>15} {:>15}",
        "connections",
        "no-op/s",
        "deposit/s",
        "one acc./s",
        "of no-op",
        "one/unif.",
        "no-op ms",
        "deposit ms"
    );
    let mut runs = 0;
    for &connections in &args.connections {
        let (mut idle, mut uniform, mut single) = (Vec::new(), Vec::new(), Vec::new());
        let mut latencies: Vec<Histogram<u64>> = vec![Histogram::new(3)?, Histogram::new(3)?];
        for round in 0..=rounds {
            let mut load = |running: &Running, accounts: &Arc<Vec<String>>| {
                let length = Duration::from_secs(args.seconds);
                // Every run has keys of its own.
                runs += 1;
                load(&running.address, &token, accounts.clone(), connections, length, runs)
            };
            let (a, b, c) = (load(&noop, &accounts)?, load(&real, &accounts)?, load(&real, &hot)?);
            // The first round warms up.
            if round > 0 {
                idle.push(a.per_second);
                uniform.push(b.per_second);
                single.push(c.per_second);
                latencies[0].add(a.micros)?;
                latencies[1].add(b.micros)?;
            }
        }
        let (idle, uniform, single) =
            (median(&mut idle), median(&mut uniform), median(&mut single));
        let told = |times: &Histogram<u64>| {
            let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
            format!("{:.2} / {:.2}", at(0.5), at(0.99))
        };
        println!(
            "{connections:>11} {:>10} {:>10} {:>10} {:>9.2} {:>9.2} {:>15} {:>15}",
            grouped(idle),
            grouped(uniform),
            grouped(single),
            uniform / idle,
            single / uniform,
            told(&latencies[0]),
            told(&latencies[1]),
        );
    }
    println!("latency is p50 / p99; each deposit has an Idempotency-Key and is durable");
    Ok(())
}

/// What a side did.
struct Done {
    per_second: f64,
    micros: Histogram<u64>,
}

fn load(
    address: &str,
    token: &str,
    accounts: Arc<Vec<String>>,
    connections: usize,
    length: Duration,
    seed: u64,
) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = now();
        let mut tasks = tokio::task::JoinSet::new();
        for nth in 0..connections {
            let (address, token, accounts) =
                (address.to_owned(), token.to_owned(), accounts.clone());
            let random = Random(seed << 32 ^ nth as u64 ^ 0x5eed);
            tasks.spawn(async move { drive(&address, &token, &accounts, random, length).await });
        }
        let (mut count, mut micros) = (0, Histogram::new(3)?);
        while let Some(done) = tasks.join_next().await {
            let times = done??;
            count += times.len();
            micros.add(times)?;
        }
        Ok(Done { per_second: count as f64 / start.elapsed_seconds(), micros })
    })
}

/// One connection: a request, its answer, the next request.
async fn drive(
    address: &str,
    token: &str,
    accounts: &[String],
    mut random: Random,
    length: Duration,
) -> anyhow::Result<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut times = Histogram::new(3)?;
    let (mut request, mut answer) = (Vec::new(), vec![0; 16 * 1024]);
    let begun = now();
    while begun.elapsed_seconds() < length.as_secs_f64() {
        let account = &accounts[random.below(accounts.len() as u64) as usize];
        let (amount, key) = (1 + random.below(100_000), random.next());
        let body = format!("{{\"amount\":{amount}}}");
        request.clear();
        write!(
            request,
            "POST /v1/accounts/{account}/deposits HTTP/1.1\r\nHost: bench\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Idempotency-Key: {key:016x}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let asked = now();
        stream.write_all(&request).await?;
        let mut have = 0;
        loop {
            let some = stream.read(&mut answer[have..]).await?;
            anyhow::ensure!(some > 0, "the server hung up");
            have += some;
            if is_whole(&answer[..have])? {
                break;
            }
        }
        times.record((asked.elapsed_seconds() * 1e6) as u64)?;
    }
    Ok(times)
}

/// Whether all of an answer is there, which must be a success.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let header = std::str::from_utf8(&answer[..end])?;
    anyhow::ensure!(header.starts_with("HTTP/1.1 201"), "answered {header}");
    let length = header
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer has a length")?;
    Ok(answer.len() >= end + 4 + length.1.trim().parse::<usize>()?)
}
