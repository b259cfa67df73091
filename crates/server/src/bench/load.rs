//! The load: connections that each send a request, read its answer and send the next one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::figures::{Elapsed, Times, now};
use super::workload::Random;

/// Writes a request and tells of which class it is.
pub(crate) type Ask = Arc<dyn Fn(&mut Random, &mut Vec<u8>) -> usize + Send + Sync>;

/// Connections that ask alike.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pub(crate) ask: &'a Ask,
    pub(crate) connections: usize,
    /// How many requests a second they make together, whether or not the answers keep up; without
    /// it each makes the next one when it has the answer.
    pub(crate) per_second: Option<f64>,
}

/// What the times of connections mean that have no pace: G. Tene calls what they leave out
/// coordinated omission.
pub(crate) const CLOSED: &str = "each connection waits for its answer before it asks again: while \
     the server stands still nothing is asked,\nso a stall is one slow answer and not the many \
     that would have come meanwhile";

/// What came of a load.
pub(crate) struct Done {
    pub(crate) seconds: f64,
    /// How long the answers took, by the class of the request.
    pub(crate) times: Vec<Times>,
}

impl Done {
    /// Answers a second, of all classes.
    pub(crate) fn per_second(&self) -> f64 {
        self.times.iter().map(Times::count).sum::<u64>() as f64 / self.seconds
    }
}

/// Asks for `length`, all groups at once. Every answer must be a success.
pub(crate) fn load(
    address: &str,
    groups: &[Group<'_>],
    classes: usize,
    length: Duration,
    seed: u64,
) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = now();
        let mut tasks = tokio::task::JoinSet::new();
        for (group, Group { ask, connections, per_second }) in groups.iter().enumerate() {
            for nth in 0..*connections {
                let (address, ask) = (address.to_owned(), (*ask).clone());
                let random = Random(seed << 32 ^ (group << 20 ^ nth) as u64 ^ 0x5eed);
                // Connections take turns.
                let pace = per_second.map(|rate| Pace {
                    first: nth as f64 / rate,
                    step: *connections as f64 / rate,
                });
                let length = length.as_secs_f64();
                tasks.spawn(
                    async move { drive(&address, &ask, classes, random, pace, length).await },
                );
            }
        }
        let mut times = vec![Times::new(); classes];
        while let Some(done) = tasks.join_next().await {
            for (sum, some) in times.iter_mut().zip(done??) {
                sum.add(&some);
            }
        }
        Ok(Done { seconds: start.seconds(), times })
    })
}

/// When the requests of a connection are due, in seconds after its beginning.
#[derive(Clone, Copy)]
struct Pace {
    first: f64,
    step: f64,
}

async fn drive(
    address: &str,
    ask: &Ask,
    classes: usize,
    mut random: Random,
    pace: Option<Pace>,
    length: f64,
) -> anyhow::Result<Vec<Times>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut times = vec![Times::new(); classes];
    let (mut request, mut answer) = (Vec::new(), vec![0; 64 * 1024]);
    let begun = now();
    let mut nth = 0.0;
    while begun.seconds() < length {
        request.clear();
        let class = ask(&mut random, &mut request);
        // A request that had to wait for the answer before it was asked for when it was due.
        let mut asked = now();
        if let Some(Pace { first, step }) = pace {
            let due = begun + Duration::from_secs_f64(first + nth * step);
            nth += 1.0;
            if (due - begun).as_secs_f64() >= length {
                break;
            }
            if asked < due {
                tokio::time::sleep_until(due.into()).await;
                asked = now();
            } else {
                asked = due;
            }
        }
        stream.write_all(&request).await?;
        let mut have = 0;
        loop {
            if have == answer.len() {
                answer.resize(have * 2, 0);
            }
            let some = stream.read(&mut answer[have..]).await?;
            anyhow::ensure!(some > 0, "the server hung up");
            have += some;
            if is_whole(&answer[..have])? {
                break;
            }
        }
        times[class].record(asked);
    }
    Ok(times)
}

/// Asks for the paths one after the other on one connection.
pub(crate) fn one_by_one(address: &str, token: &str, paths: &[String]) -> anyhow::Result<Times> {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut times, mut answer) = (Times::new(), Vec::new());
    let mut piece = vec![0; 64 * 1024];
    for path in paths {
        let request = get(path, token);
        let start = now();
        stream.write_all(&request)?;
        answer.clear();
        while answer.is_empty() || !is_whole(&answer)? {
            let some = stream.read(&mut piece)?;
            anyhow::ensure!(some > 0, "the server hung up");
            answer.extend_from_slice(&piece[..some]);
        }
        times.record(start);
    }
    Ok(times)
}

/// A request that reads, as it goes over the wire.
pub(crate) fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n").into()
}

/// Whether all of an answer is there, which must be a success.
fn is_whole(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else {
        return Ok(false);
    };
    let header = std::str::from_utf8(&answer[..end])?;
    if !header.starts_with("HTTP/1.1 20") {
        anyhow::bail!("the server answered {}", String::from_utf8_lossy(answer));
    }
    // It would count as booked what was booked before.
    if memchr::memmem::find(&answer[..end], b"idempotency-replayed").is_some() {
        anyhow::bail!("a key was used before: {header}");
    }
    let length = header
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer has a length")?;
    Ok(answer.len() >= end + 4 + length.1.trim().parse::<usize>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        assert!(is_whole(answer).unwrap());
        let replayed = b"HTTP/1.1 201 Created\r\nidempotency-replayed: true\r\n\r\n{}";
        assert!(is_whole(replayed).is_err(), "nothing was booked");
        for end in 0..answer.len() {
            assert!(!is_whole(&answer[..end]).unwrap());
        }
        assert!(is_whole(b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
