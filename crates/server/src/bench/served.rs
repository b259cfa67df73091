//! The server in a process of its own, and calls to it that are not measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tongjang_core::Timestamp;

use super::figures::now;
use super::fill::Spec;
use super::scratch;
use super::workload::USER;
use crate::app::{Clock, Random};
use crate::auth::{Password, PasswordHash, Role, Secret};
use crate::directory::{Directory, NewUser, Username};

/// A server that runs; killed when dropped.
pub(crate) struct Served {
    child: Child,
    /// Where it listens: `127.0.0.1:PORT`.
    pub(crate) address: String,
    /// When the process was begun.
    pub(crate) begun: Instant,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It is gone already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
        scratch::ended(self.child.id());
    }
}

impl Served {
    /// The ledger in `data`, served by this very program on a free port.
    pub(crate) fn ledger(data: &Path) -> anyhow::Result<Self> {
        let mut command = program()?;
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data"]).arg(data);
        Self::start(&mut command).with_context(|| format!("cannot serve {}", data.display()))
    }

    /// The ledger in the database at `url`, served in the same way.
    pub(crate) fn database(url: &str, tellers: usize) -> anyhow::Result<Self> {
        let mut command = program()?;
        // Not on the command line, where whoever lists the processes sees a password.
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"]);
        command.env("TONGJANG_STORE", url);
        command.args(["--tellers", &tellers.to_string()]);
        Self::start(&mut command).context("cannot serve the database")
    }

    /// POSTs that do nothing, on the same stack.
    pub(crate) fn noop() -> anyhow::Result<Self> {
        Self::start(program()?.args(["bench", "noop"]))
    }

    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let begun = now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        scratch::began(child.id());
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut served = Self { child, address: String::new(), begun };
        let mut lines = BufReader::new(stdout).lines();
        for line in &mut lines {
            let line = line?;
            if let Some((_, rest)) = line.split_once("http://") {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
                served.address = rest[..end.unwrap_or(rest.len())].to_owned();
                // What the server prints later is nobody's business here.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(served);
            }
        }
        anyhow::bail!("the server ended before it listened; what it said stands above")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in order and waits for its end.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Asks for `path` and gives the body of a success.
    pub(crate) fn get(&self, path: &str, token: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 20"), "{path} answered {answer}");
        Ok(answer.split_once("\r\n\r\n").context("an answer has a body")?.1.to_owned())
    }
}

/// This program, without what the user's environment says of his own server.
fn program() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("where this program lies")?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TONGJANG_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// A token of the user who owns all accounts of a measurement's ledger, whom this makes known to
/// its directory. Nobody is told a password, so nobody else can be him.
pub(crate) fn token(data: &Path) -> anyhow::Result<String> {
    let (clock, random) = (Clock::system(), Random::system());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let directory = Directory::open(data)?;
    let failed = |_| anyhow::anyhow!("the directory in {} failed", data.display());
    let time = clock.now();
    if runtime.block_on(directory.user(USER)).map_err(failed)?.is_none() {
        let word = Secret::token(&random).reveal().to_owned();
        let username = Username::new("bench", "/username").map_err(failed)?;
        runtime.block_on(directory.take_in(NewUser {
            id: USER,
            username,
            password: PasswordHash::of(&Password::new(word), &random),
            name: None,
            role: Role::Customer,
            created_at: time,
        }))?;
    }
    let secret = Secret::token(&random);
    let day = Timestamp::from_micros(time.micros() + 24 * 3600 * 1_000_000);
    let kept = directory.add_token(secret.hash(), USER, day, time);
    runtime.block_on(kept).map_err(failed)?;
    Ok(secret.reveal().to_owned())
}

/// Fills a ledger in a process of its own, which ends without closing it.
pub(crate) fn fill_in_a_process(data: &Path, spec: &Spec) -> anyhow::Result<()> {
    let mut command = program()?;
    command.args(["bench", "fill", "--no-close", "--dir"]).arg(data);
    command.args(["--transactions", &spec.transactions.to_string()]);
    command.args(["--accounts", &spec.accounts.to_string()]);
    command.args(["--shape", &spec.shape.to_string()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    scratch::began(child.id());
    let status = child.wait();
    scratch::ended(child.id());
    let status = status?;
    anyhow::ensure!(status.success(), "filling the ledger ended with {status}");
    Ok(())
}
