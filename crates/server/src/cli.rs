//! The command line: a file a command. Without a command it serves.

mod backup;
mod bench;
mod copy;
mod export;
mod history;
mod import;
mod list;
mod migrate;
mod progress;
mod serve;
pub(crate) mod table;
mod user;
mod verify;
mod whole_file;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tongjang_store::StoreError;
use tongjang_store::journal::{Journal, JournalConfig};

use crate::config::StoreArgs;
use crate::ledger::LedgerReader;
use crate::serve::{StartError, check_whole};

pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("TONGJANG_COMMIT"), ")");

/// Accounts whose balance and history cannot disagree
#[derive(Debug, Parser)]
#[command(name = "tongjang", version = VERSION, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; the same as without a command
    Serve(Box<serve::ServeArgs>),
    /// Read the whole ledger and check every figure in it
    Verify(StoreArgs),
    /// Make the tables of a ledger in a PostgreSQL database, or bring them up to date
    Migrate(migrate::MigrateArgs),
    /// Users of the server
    #[command(subcommand)]
    User(UserCommand),
    /// Accounts
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show what was booked on an account
    History(history::HistoryArgs),
    /// Measure the ledger on this machine
    Bench(Box<bench::BenchArgs>),
    /// Book what a file says: openings, deposits, withdrawals and transfers
    Import(import::ImportArgs),
    /// Write the whole ledger, or one account's entries, as lines or as a table
    Export(export::ExportArgs),
    /// Say with which commands the ledger is backed up
    Backup(StoreArgs),
    /// Copy a whole ledger from a folder into a database, or back
    Copy(copy::CopyArgs),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the OpenAPI document
    Openapi,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Take a user in; the password is asked for, read from standard input, or made up
    Add(user::AddArgs),
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// List the accounts
    List(list::ListArgs),
}

/// The ledger, only to look at; a server may be running.
fn reader(ledger: &StoreArgs) -> anyhow::Result<LedgerReader> {
    match ledger.database_blocking()? {
        None => Ok(LedgerReader::Journal(Journal::open_to_read(&only_to_read(&ledger.data)?)?)),
        Some(database) => Ok(LedgerReader::Postgres(database.postgres.reader())),
    }
}

/// The journal in the folder `data`, unless only a part of a copy is there.
fn only_to_read(data: &Path) -> Result<JournalConfig, StartError> {
    check_whole(data)?;
    // Only a new ledger takes an id, and reading makes none.
    Ok(JournalConfig::new(data, [0; 16]))
}

/// Does what the command line says, and tells the process's exit code.
pub fn main() -> ExitCode {
    let Cli { command, serve } = Cli::parse();
    let done = match command.unwrap_or(Command::Serve(Box::new(serve))) {
        Command::Serve(args) => serve::serve(*args),
        Command::Verify(args) => verify::verify(&args),
        Command::Migrate(args) => migrate::migrate(&args),
        Command::User(UserCommand::Add(args)) => user::add(&args),
        Command::Account(AccountCommand::List(args)) => list::list(&args),
        Command::History(args) => history::history(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Import(args) => import::import(&args),
        Command::Export(args) => export::export(&args),
        Command::Backup(args) => backup::backup(&args),
        Command::Copy(args) => copy::copy(&args),
        Command::Completions { shell } => {
            let mut completions = Vec::new();
            let name = "tongjang";
            clap_complete::generate(shell, &mut Cli::command(), name, &mut completions);
            print(&String::from_utf8_lossy(&completions))
        }
        Command::Openapi => openapi(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tongjang: {}", told(&error));
        // An address that is wrong stays wrong, as any other wrong option, which clap tells.
        let is_address = |cause: &(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref(), Some(StoreError::Address { .. }))
        };
        if error.chain().any(is_address) { ExitCode::from(2) } else { ExitCode::FAILURE }
    })
}

/// The error and what caused it. Most of ours tell their cause themselves, for the log; it is not
/// said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

fn openapi() -> anyhow::Result<ExitCode> {
    print(&(crate::api::document().to_pretty_json()? + "\n"))
}

/// Writes to standard output. Whoever reads it may stop when he has seen enough, as `head` does.
pub(crate) fn print(text: &str) -> anyhow::Result<ExitCode> {
    use std::io::{ErrorKind, Write};

    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = || anyhow::anyhow!("no such file");
        assert_eq!(told(&cause().context("cannot open x")), "cannot open x: no such file");
        let whole = "cannot open x: no such file";
        assert_eq!(told(&cause().context(whole).context("stopped")), format!("stopped: {whole}"));
    }

    #[test]
    fn without_a_command_it_serves() {
        let parsed = Cli::try_parse_from(["tongjang", "--listen", "127.0.0.1:0"]).unwrap();
        assert!(parsed.command.is_none());
        assert_eq!(parsed.serve.config.listen.port(), 0);
        assert!(Cli::try_parse_from(["tongjang", "serve", "--listen", "nowhere"]).is_err());
        assert!(Cli::try_parse_from(["tongjang", "--time-zone", "Asia/Nowhere"]).is_err());
    }
}
