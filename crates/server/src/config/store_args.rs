//! Where the ledger is kept: in a folder, or in a database.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{RangedU64ValueParser, TypedValueParser};
use clap::error::{Error, ErrorKind};
use clap::{Arg, Args, Command};

/// Where a command finds the ledger.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// The folder that keeps everything; it is made if there is none
    #[arg(
        long,
        env = "TONGJANG_DATA",
        value_name = "DIR",
        default_value = "./tongjang-data",
        long_help = "The folder that keeps everything; it is made if there is none. With --store \
                     the ledger is not in it"
    )]
    pub data: PathBuf,
    /// The PostgreSQL database that keeps the ledger, instead of the folder: postgres://…
    #[arg(
        long,
        env = "TONGJANG_STORE",
        value_name = "URL",
        hide_env_values = true,
        value_parser = OfStoreUrl,
        long_help = "The PostgreSQL database that keeps the ledger, and then --data does not: \
                     postgres://USER@HOST/DATABASE. Whoever sees the list of processes sees a \
                     password in it; see --store-password-file"
    )]
    pub store: Option<StoreUrl>,
    /// A file with the password for --store, and nothing else
    #[arg(
        long = "store-password-file",
        env = "TONGJANG_STORE_PASSWORD_FILE",
        value_name = "FILE",
        requires = "store"
    )]
    pub password_file: Option<PathBuf>,
}

/// How a server works on the ledger in a database.
#[derive(Clone, Debug, Args)]
pub struct ServingArgs {
    /// How many tellers book in --store at once; each decides while others wait for it
    #[arg(
        long,
        env = "TONGJANG_TELLERS",
        value_name = "COUNT",
        default_value = "2",
        requires = "store",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=64)
    )]
    pub tellers: usize,
    /// How many connections to --store queries have between them
    #[arg(
        long = "store-connections",
        env = "TONGJANG_STORE_CONNECTIONS",
        value_name = "COUNT",
        default_value = "16",
        requires = "store",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024)
    )]
    pub connections: usize,
}

impl Default for ServingArgs {
    fn default() -> Self {
        Self { tellers: 2, connections: 16 }
    }
}

impl StoreArgs {
    /// A ledger in the folder `data`.
    pub fn in_folder(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), store: None, password_file: None }
    }
}

/// The address of a database, as `libpq` takes it. It is shown without its password and without its
/// parameters, of which some are secret too.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(Box<str>);

impl StoreUrl {
    /// All of it, the password too: for whoever connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Where the database is, for another program: without a password, and with those parameters
    /// that tell the way.
    pub fn without_password(&self) -> String {
        const WAY: [&str; 8] =
            ["host", "hostaddr", "port", "user", "dbname", "sslmode", "sslrootcert", "sslcert"];
        let parameters = self.0.split_once('?').map_or("", |(_, parameters)| parameters);
        let kept: Vec<&str> = parameters
            .split('&')
            .filter(|one| one.split('=').next().is_some_and(|name| WAY.contains(&name)))
            .collect();
        let mark = if kept.is_empty() { "" } else { "?" };
        format!("{self}{mark}{}", kept.join("&"))
    }
}

impl FromStr for StoreUrl {
    type Err = NoStoreUrl;

    fn from_str(url: &str) -> Result<Self, NoStoreUrl> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or(NoStoreUrl::Scheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // What is shown ends where a password could begin, so it must be sure where that is.
        let hosts = authority.split_once('@').map_or(authority, |(_, hosts)| hosts);
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let sound = |host: &str| match host.rsplit_once(':') {
            Some((name, port)) => is_port(port) || name.starts_with('[') && host.ends_with(']'),
            None => true,
        };
        let one_place = !hosts.contains('@') && !path.contains('@') && hosts.split(',').all(sound);
        if one_place && !url.contains(char::is_control) {
            Ok(Self(url.into()))
        } else {
            Err(NoStoreUrl::Ambiguous)
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split('?').next().unwrap_or_default();
        let (scheme, rest) = shown.split_once("://").unwrap_or_default();
        match rest.split_once('@') {
            Some((who, place)) => {
                let user = who.split(':').next().unwrap_or_default();
                write!(f, "{scheme}://{user}@{place}")
            }
            None => write!(f, "{scheme}://{rest}"),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// Why a text is no address of a database. It does not repeat the text, which may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoStoreUrl {
    /// It names no kind of database that can keep a ledger.
    #[error("--store must begin with postgres:// or postgresql://")]
    Scheme,
    /// It cannot be told where the password ends.
    #[error(
        "--store is no address like postgres://USER@HOST:PORT/DATABASE; in a name, password or \
         parameter write `@` as %40, `/` as %2F, `?` as %3F, `:` as %3A and `%` as %25"
    )]
    Ambiguous,
}

/// Reads a [`StoreUrl`]; clap's own way would show the value where it is refused.
#[derive(Clone)]
pub(crate) struct OfStoreUrl;

impl TypedValueParser for OfStoreUrl {
    type Value = StoreUrl;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        value: &OsStr,
    ) -> Result<StoreUrl, Error> {
        let url = value.to_str().ok_or(NoStoreUrl::Ambiguous).and_then(str::parse);
        url.map_err(|no| {
            Error::raw(ErrorKind::ValueValidation, format!("{no}\n")).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        store: StoreArgs,
        #[command(flatten)]
        serving: ServingArgs,
    }

    fn whole_line(arguments: &[&str]) -> Result<Line, String> {
        let arguments = ["tongjang"].iter().chain(arguments);
        Line::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    fn line(arguments: &[&str]) -> Result<StoreArgs, String> {
        whole_line(arguments).map(|line| line.store)
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("postgres://db/ledger", "postgres://db/ledger"),
            ("postgres:///ledger?host=/run/postgresql", "postgres:///ledger"),
            ("postgresql://jiwon@db:5432/ledger", "postgresql://jiwon@db:5432/ledger"),
            (
                "postgres://jiwon:secret@db:5432,other/ledger",
                "postgres://jiwon@db:5432,other/ledger",
            ),
            ("postgres://jiwon:se:cret@[::1]:5432/ledger", "postgres://jiwon@[::1]:5432/ledger"),
            ("postgres://jiwon:se #cret@db/ledger", "postgres://jiwon@db/ledger"),
            ("postgres://:secret@[::1]/ledger", "postgres://@[::1]/ledger"),
            ("postgres://jiwon@db/ledger?password=secret", "postgres://jiwon@db/ledger"),
            ("postgres://db?sslmode=require&sslpassword=secret", "postgres://db"),
        ] {
            let args = line(&["--store", url]).unwrap();
            let store = args.store.as_ref().unwrap();
            assert_eq!(store.reveal(), url);
            assert_eq!(store.to_string(), shown);
            assert!(!format!("{args:?}").contains("cret"), "{args:?}");
        }
    }

    #[test]
    fn another_program_is_told_the_way_and_no_password() {
        let url = "postgres://a:secret@/l?host=/run&password=secret&sslpassword=secret&port=5";
        let url: StoreUrl = url.parse().unwrap();
        assert_eq!(url.without_password(), "postgres://a@/l?host=/run&port=5");
        let url: StoreUrl = "postgres://db/l".parse().unwrap();
        assert_eq!(url.without_password(), "postgres://db/l");
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for (url, why) in [
            ("", NoStoreUrl::Scheme),
            ("./secret", NoStoreUrl::Scheme),
            ("mysql://jiwon:secret@db/ledger", NoStoreUrl::Scheme),
            ("host=db password=secret", NoStoreUrl::Scheme),
            ("postgres://jiwon:secret", NoStoreUrl::Ambiguous),
            ("postgres://jiwon:se@cret@db/ledger", NoStoreUrl::Ambiguous),
            ("postgres://jiwon:se/cret@db/ledger", NoStoreUrl::Ambiguous),
            ("postgres://jiwon:12?secret@db/ledger", NoStoreUrl::Ambiguous),
            ("postgres://jiwon@db/ledger\nsecret", NoStoreUrl::Ambiguous),
        ] {
            let refused = line(&["--store", url]).unwrap_err();
            assert!(refused.contains(&why.to_string()), "{url}: {refused}");
            assert!(!refused.contains("cret"), "{refused}");
        }
    }

    #[test]
    fn what_is_meant_for_a_database_is_refused_without_one() {
        for more in
            [["--tellers", "2"], ["--store-connections", "2"], ["--store-password-file", "f"]]
        {
            assert!(line(&more).is_err(), "{more:?}");
            assert!(line(&[&["--store", "postgres://db"][..], &more].concat()).is_ok(), "{more:?}");
        }
        let serving = whole_line(&["--store", "postgres://db", "--tellers", "3"]).unwrap().serving;
        assert_eq!((serving.tellers, serving.connections), (3, 16));
        assert!(line(&["--store", "postgres://db", "--tellers", "0"]).is_err());
        let (usual, said) = (ServingArgs::default(), whole_line(&[]).unwrap().serving);
        assert_eq!((said.tellers, said.connections), (usual.tellers, usual.connections));
    }
}
