//! `tongjang migrate`: the tables of a ledger in a PostgreSQL database.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tongjang_store::postgres::{Engine, Layout, Parts, Profile, schema};

use super::print;
use crate::app::Random;
use crate::config::StoreArgs;
use crate::database::runtime;

/// The options of `tongjang migrate`.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Only print the SQL that makes everything from nothing; no database is needed
    #[arg(long)]
    print: bool,
    /// Into how many parts a new ledger is divided, which it keeps for ever; 16 if left out
    #[arg(long, value_name = "COUNT", value_parser = parts)]
    parts: Option<Parts>,
    /// Have Citus distribute the tables of a new ledger by their part; the ledger remembers it
    #[arg(long)]
    citus: bool,
    #[command(flatten)]
    ledger: StoreArgs,
}

fn parts(text: &str) -> Result<Parts, String> {
    let count = text.parse().ok().and_then(Parts::new);
    count.ok_or_else(|| "a ledger has 1 to 32767 parts".to_owned())
}

/// Brings the schema up to date, or prints it.
pub(super) fn migrate(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let id = u128::from_be_bytes(Random::system().bytes());
    let layout = Layout { parts: args.parts, id, citus: args.citus };
    if args.print {
        return print(&schema::script(layout));
    }
    let target = args.ledger.target()?;
    let target = target.context("name the database: --store postgres://USER@HOST/DATABASE")?;
    let migrated = runtime()?.block_on(async {
        let (mut client, driver) = target.connect("tongjang migrate", &Profile::OWNER).await?;
        tokio::spawn(driver);
        schema::migrate(&mut client, layout).await
    })?;
    let (version, parts) = (migrated.version, migrated.parts.count());
    let done = match &migrated.steps[..] {
        [] => "nothing was to be done".to_owned(),
        steps => format!("done: {}", steps.join(", ")),
    };
    let spread = match migrated.engine {
        Engine::PostgreSql => "",
        Engine::Citus => ", distributed by Citus",
    };
    print(&format!(
        "{done}; the schema is at step {version}, the ledger in {parts} parts{spread}\n"
    ))
}
