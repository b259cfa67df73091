//! `tongjang bench`: what can be measured on this machine.

use std::process::ExitCode;

use clap::{Args, CommandFactory, Subcommand};

use crate::bench::{
    batch, database, database_batch, database_history, engine, fill, history, http, mixed, noop,
    restart, scratch,
};

/// The options of `tongjang bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a ledger of any size and keep it; how the rate held while it grew
    Fill(fill::Args),
    /// Transfers through the journal in process, against the bare disk and the rules alone
    Engine(engine::Args),
    /// Durable deposits over HTTP, against POSTs that do nothing; with one connection, latency
    Http(http::Args),
    /// Transfers as NDJSON over HTTP, against the engine in process and the bare disk
    Batch(batch::Args),
    /// Pages, summaries and look-ups on ledgers of different sizes, warm and cold
    History(history::Args),
    /// Reading and writing at once over HTTP, against writing alone
    Mixed(mixed::Args),
    /// Starts after a clean stop and after `kill -9`
    Restart(restart::Args),
    /// Deposits through the server on PostgreSQL, against a transaction a deposit
    Database(database::Args),
    /// Transfers as NDJSON on PostgreSQL, against a transaction a transfer; WAL and table bytes
    DatabaseBatch(database_batch::Args),
    /// Pages, summaries and look-ups on ledgers of different sizes in databases; pages read
    DatabaseHistory(database_history::Args),
    /// Serve POSTs that do nothing; the others start this by themselves
    #[command(hide = true)]
    Noop,
}

/// Measures what is asked for; says what there is if nothing is.
pub(super) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let Some(what) = &args.what else {
        let mut all = super::Cli::command();
        all.build();
        let bench = all.find_subcommand_mut("bench").expect("it is one of the commands");
        return super::print(&bench.render_long_help().to_string());
    };
    if !matches!(what, What::Noop) {
        scratch::clear_when_interrupted()?;
    }
    match what {
        What::Fill(args) => fill::run(args),
        What::Engine(args) => engine::run(args),
        What::Http(args) => http::run(args),
        What::Batch(args) => batch::run(args),
        What::History(args) => history::run(args),
        What::Mixed(args) => mixed::run(args),
        What::Restart(args) => restart::run(args),
        What::Database(args) => database::run(args),
        What::DatabaseBatch(args) => database_batch::run(args),
        What::DatabaseHistory(args) => database_history::run(args),
        What::Noop => noop::run(),
    }?;
    Ok(ExitCode::SUCCESS)
}
