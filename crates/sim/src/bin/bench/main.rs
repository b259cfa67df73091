//! `bench`: measures the engine, its history and its restarts, each against the limits of this
//! machine in the same run.
//!
//! Nothing here asserts a time. Every figure is a median of several rounds, the sides alternate,
//! and the state of the machine is printed with them. `docs/performance.md` has the commands.

mod engine;
mod history;
mod http;

mod lean_book;
mod machine;
mod restart;

mod workload;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the ledger on this machine.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Where ledgers are made for the measurement, and removed after it.
    #[arg(long, global = true, default_value = "target/bench")]
    dir: PathBuf,
    /// How many rounds each figure is the median of.
    #[arg(long, global = true, default_value_t = 5)]
    rounds: usize,
}

#[derive(Subcommand)]
enum What {
    /// Transfers through the journal in process, against the raw disk and the rules alone.
    Engine(engine::Args),
    /// Pages, summaries and look-ups over ledgers of different sizes.
    History(history::Args),
    /// Starts after a clean stop and after `kill -9`.
    Restart(restart::Args),
    /// Deposits over HTTP, against POSTs that do nothing.
    Http(http::Args),
    /// Serves POSTs that do nothing; `http` starts this by itself.
    #[command(hide = true)]
    Noop,
    /// Fills a ledger and stays until it is killed; `restart` starts this by itself.
    #[command(hide = true)]
    Fill(restart::FillArgs),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.dir)?;
    if !matches!(args.what, What::Fill(_) | What::Noop) {
        machine::describe(&args.dir)?;
    }
    match args.what {
        What::Engine(what) => engine::run(&args.dir, args.rounds, &what),
        What::History(what) => history::run(&args.dir, args.rounds, &what),
        What::Restart(what) => restart::run(&args.dir, args.rounds, &what),
        What::Http(what) => http::run(&args.dir, args.rounds, &what),
        What::Noop => http::noop(),
        What::Fill(what) => restart::fill(&what),
    }
}
