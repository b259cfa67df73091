//! `tongjang copy`: a whole ledger from a folder into a database, or back.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::builder::TypedValueParser;
use clap::error::{Error, ErrorKind};
use clap::{Arg, Args, Command};
use tongjang_store::postgres::Target;

use super::print;
use super::progress::Progress;
use crate::carry::copy::{Copied, to_database, to_folder};
use crate::config::{NoStoreUrl, StoreArgs, StoreUrl};

/// The options of `tongjang copy`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
The copy has every event as it is: ids, numbers, balances, hashes, idempotency keys with their \
answers, and changes of status; and the users with their passwords, tokens, API keys and the names \
of their accounts. In the end every account is read from both sides and compared.

Stop the servers of both sides first. The target must be new: a folder that is not there or empty, \
or a database of which only `tongjang migrate` was run. A copy that was broken off, also by a \
crash, goes on if the same command is run again; until it is finished no server opens it.

The source is not changed. Whoever goes on booking on both has two ledgers.")]
pub(super) struct CopyArgs {
    /// The ledger to copy: a folder, or postgres://…
    #[arg(long, value_name = "DIR|URL", value_parser = OfPlace)]
    from: Place,
    /// Where to: a folder, or postgres://…
    #[arg(long, value_name = "DIR|URL", value_parser = OfPlace)]
    to: Place,
    /// A file with the password for the database, and nothing else
    #[arg(long = "store-password-file", env = "TONGJANG_STORE_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Where a ledger is.
#[derive(Clone, Debug)]
enum Place {
    Folder(PathBuf),
    Database(StoreUrl),
}

/// Reads a [`Place`]; clap's own way would show a password where an address is refused.
#[derive(Clone)]
struct OfPlace;

impl TypedValueParser for OfPlace {
    type Value = Place;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<Place, Error> {
        let refused = |no| Error::raw(ErrorKind::ValueValidation, no).with_cmd(command);
        match value.to_str() {
            Some(url) if url.contains("://") => {
                url.parse().map(Place::Database).map_err(|no: NoStoreUrl| refused(no.to_string()))
            }
            _ if value.is_empty() => Err(refused("a folder has a name".to_owned())),
            _ => Ok(Place::Folder(value.into())),
        }
    }
}

impl CopyArgs {
    fn target(&self, url: &StoreUrl) -> anyhow::Result<Target> {
        let store = Some(url.clone());
        let password_file = self.password_file.clone();
        let args = StoreArgs { store, password_file, ..StoreArgs::in_folder("") };
        Ok(args.target()?.expect("it names a database"))
    }
}

/// Copies the ledger, and says what came of it.
pub(super) fn copy(args: &CopyArgs) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::begin(None, "events", true);
    let mut watch = |events| progress.at(events, events);
    let copied = match (&args.from, &args.to) {
        (Place::Folder(from), Place::Database(to)) => {
            to_database(from, args.target(to)?, &mut watch)?
        }
        (Place::Database(from), Place::Folder(to)) => {
            to_folder(args.target(from)?, to, &mut watch)?
        }
        (Place::Folder(_), Place::Folder(_)) => {
            bail!(
                "a copy goes from a folder into a database or back; see docs/deployment.md for \
                   how to copy a folder"
            )
        }
        (Place::Database(_), Place::Database(_)) => {
            bail!("a copy goes from a folder into a database or back; pg_dump copies a database")
        }
    };
    let millis = progress.end();
    print(&told(&copied, millis))
}

fn told(copied: &Copied, millis: u64) -> String {
    let Copied { events, there, users, proof } = copied;
    let (seconds, tenths) = (millis / 1_000, millis % 1_000 / 100);
    let new = events - there;
    format!(
        "{new} events copied, {there} already there, {users} users; {seconds}.{tenths} s\n\
         {} accounts with {} entries are equal on both sides: {}\n",
        proof.accounts, proof.entries, proof.hash
    )
}
