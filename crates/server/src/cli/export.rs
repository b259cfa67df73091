//! `tongjang export`: a ledger, or the passbook of one account, as a file.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tongjang_core::Event;
use tongjang_store::StoreError;
use tongjang_store::journal::chronicle;
use tongjang_store::postgres;

use super::history::find;
use super::progress::Progress;
use super::whole_file::WholeFile;
use super::{only_to_read, reader};
use crate::carry::export::Exported;
use crate::carry::passbook::{self, PassbookRow};
use crate::carry::rows::Form;
use crate::carry::sheet::Sheet;
use crate::config::StoreArgs;

/// The options of `tongjang export`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The whole ledger is every opening, booking and change of status in the order in which they \
happened, as `tongjang import` takes them. Left out are refusals, idempotency keys, and what is \
not in the ledger: users, passwords and the names of accounts.

One account (--account) is its entries with their balances and hashes, for an accountant; that is \
not to be imported.

It reads what is durable and changes nothing, so it may run beside a server.")]
pub(super) struct ExportArgs {
    /// A JSON object a line, or a table
    #[arg(long, value_name = "FORMAT", default_value = "ndjson")]
    format: Form,
    /// Only the entries of this account: its id, or its bank and number with a slash or a colon
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// The file to write; it is there only once it is whole. Standard output if left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there already
    #[arg(long, requires = "output")]
    force: bool,
    /// Put a byte order mark before a table, for Excel
    #[arg(long)]
    bom: bool,
    #[command(flatten)]
    ledger: StoreArgs,
}

/// Why an export broke off.
enum Broken {
    Store(StoreError),
    Write(io::Error),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Writes the export.
pub(super) fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    if args.ledger.database_blocking()?.is_none() {
        let data = &args.ledger.data;
        let is_ledger = data.join("journal").is_dir();
        anyhow::ensure!(is_ledger, "there is no ledger in {}; see --data", data.display());
    }
    let Some(path) = &args.output else {
        let out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
        return match write(args, out) {
            Ok(_) => Ok(ExitCode::SUCCESS),
            // Whoever reads it may stop when he has seen enough, as `head` does.
            Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error),
        };
    };
    let is_there = !args.force && path.is_file();
    anyhow::ensure!(!is_there, "{} is there already; --force replaces it", path.display());
    write(args, WholeFile::create(path)?)?.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn write<W: Write>(args: &ExportArgs, out: W) -> anyhow::Result<W> {
    let wrote = |error| anyhow::Error::from(error).context("cannot write the export");
    let broken = |broken| match broken {
        Broken::Store(error) => error.into(),
        Broken::Write(error) => wrote(error),
    };
    let mut count = 0;
    let mut sheet;
    // On a terminal the lines themselves are to be seen.
    let shown = args.output.is_some() || !io::stdout().is_terminal();
    let mut progress = Progress::begin(None, "lines", shown);
    match &args.account {
        None => {
            sheet = Sheet::new::<Exported<'_>>(out, args.format, args.bom).map_err(wrote)?;
            let each = |event: &_| {
                let Some(line) = Exported::of(event) else { return Ok(()) };
                count += 1;
                progress.at(count, count);
                sheet.put(&line).map_err(Broken::Write)
            };
            events(&args.ledger, each)?.map_err(broken)?;
        }
        Some(account) => {
            let reader = reader(&args.ledger)?;
            let account = find(&reader, account)?;
            sheet = Sheet::new::<PassbookRow<'_>>(out, args.format, args.bom).map_err(wrote)?;
            let each = |row: &PassbookRow<'_>| {
                count += 1;
                progress.at(count, count);
                sheet.put(row).map_err(Broken::Write)
            };
            passbook::entries(&reader, account.id(), each).map_err(broken)?;
        }
    }
    progress.end();
    sheet.finish()
}

/// Shows `each` event of the ledger, the oldest first, and tells what broke that off.
fn events(
    ledger: &StoreArgs,
    each: impl FnMut(&Event) -> Result<(), Broken>,
) -> anyhow::Result<Result<(), Broken>> {
    match ledger.database_blocking()? {
        None => Ok(chronicle::events(&only_to_read(&ledger.data)?, each).map(|_| ())),
        Some(database) => Ok(postgres::chronicle::events(&database.postgres, each)),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().map(io::Error::kind)
    };
    error.chain().any(|cause| kind(cause) == Some(ErrorKind::BrokenPipe))
}
