//! How long a ledger takes to be there again: after a clean stop, and after `kill -9`.
//!
//! Filling and opening are done by processes of their own, so the kill is a real one and the
//! memory told is that of a fresh process.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use tongjang_store::Store;
use tongjang_store::journal::{Journal, JournalConfig};

use crate::engine::{Elapsed, fill as fill_ledger};
use crate::machine::{grouped, median, now, peak_mib};
use crate::workload::Workload;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many transactions the ledger has.
    #[arg(long, default_value_t = 10_000_000)]
    transactions: usize,
    /// How many accounts.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: usize,
}

#[derive(clap::Args)]
pub(crate) struct FillArgs {
    #[arg(long)]
    ledger: PathBuf,
    #[arg(long, default_value_t = 0)]
    transactions: usize,
    #[arg(long, default_value_t = 0)]
    accounts: usize,
    /// Stop cleanly when the ledger is full, instead of waiting to be killed.
    #[arg(long)]
    close: bool,
}

pub(crate) fn run(dir: &Path, rounds: usize, args: &Args) -> anyhow::Result<()> {
    let (transactions, accounts) = (args.transactions, args.accounts);
    println!(
        "{} transactions, {} accounts",
        grouped(transactions as f64),
        grouped(accounts as f64)
    );
    let dir = tempfile::tempdir_in(dir)?;
    let ledger = dir.path().join("ledger");
    let size = |what: usize| what.to_string();
    let filling = ["--transactions", &size(transactions), "--accounts", &size(accounts)];
    child(&ledger, &filling)?;
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        seconds.push(child(&ledger, &[])?);
    }
    report("after kill -9", seconds);
    child(&ledger, &["--close"])?;
    let mut seconds = Vec::new();
    for _ in 0..rounds {
        seconds.push(child(&ledger, &["--close"])?);
    }
    report("after a clean stop", seconds);
    Ok(())
}

fn report(what: &str, figures: Vec<(f64, u64)>) {
    let peak = figures.iter().map(|(_, peak)| *peak).max().unwrap_or(0);
    let mut seconds: Vec<f64> = figures.into_iter().map(|(seconds, _)| seconds).collect();
    println!("{what:<20} {:>8.2} s, at most {peak} MiB", median(&mut seconds));
}

/// Opens the ledger in a process of its own, which is killed unless it closes by itself. Tells
/// how long opening took and the most memory the process ever had.
fn child(ledger: &Path, more: &[&str]) -> anyhow::Result<(f64, u64)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("fill")
        .arg("--ledger")
        .arg(ledger)
        .args(more)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
    if !more.contains(&"--close") {
        child.kill()?;
    }
    child.wait()?;
    let (seconds, peak) = line.trim().split_once(' ').context("the child tells two figures")?;
    Ok((seconds.parse()?, peak.parse()?))
}

/// The other side of [`child`].
pub(crate) fn fill(args: &FillArgs) -> anyhow::Result<()> {
    let start = now();
    let config = JournalConfig::new(&args.ledger, *b"a bench's ledger");
    let (mut journal, _reader, _) = Journal::open(config)?;
    let seconds = start.elapsed_seconds();
    if args.transactions > 0 {
        fill_ledger(&mut journal, &mut Workload::new(5), args.accounts, args.transactions)?;
    }
    println!("{seconds} {}", peak_mib());
    std::io::stdout().flush()?;
    if args.close {
        return Ok(journal.close()?);
    }
    // Until the parent kills this process, or is gone itself.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}
