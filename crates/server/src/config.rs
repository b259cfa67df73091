//! How the server is told to run: by its command line, or by `TONGJANG_…` in the environment.

mod store_args;

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

pub(crate) use self::store_args::OfStoreUrl;
pub use self::store_args::{NoStoreUrl, ServingArgs, StoreArgs, StoreUrl};

/// The options of `tongjang serve`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: StoreArgs,
    /// How it is served from a database.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Where to listen; port 0 takes any free one
    #[arg(long, env = "TONGJANG_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The ledger's time zone (IANA), in which plain dates are read
    #[arg(
        long,
        env = "TONGJANG_TIME_ZONE",
        value_name = "ZONE",
        default_value = "Asia/Seoul",
        value_parser = time_zone
    )]
    pub time_zone: jiff::tz::TimeZone,
    /// Who may sign up: everybody, or only whom an operator takes in
    #[arg(long, env = "TONGJANG_SIGNUP", value_name = "WHO", default_value = "open")]
    pub signup: Signup,
    /// Who may call deposit and withdrawal: an account's owner, or only an operator (your own
    /// backend, on behalf of the owner)
    #[arg(long, env = "TONGJANG_DEPOSITS", value_name = "WHO", default_value = "owner")]
    pub deposits: Deposits,
}

/// Who may sign up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Signup {
    /// Everybody.
    Open,
    /// Only whom an operator takes in.
    Closed,
}

/// Who may call deposit and withdrawal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Deposits {
    /// The account's owner.
    Owner,
    /// Only an operator, on any account.
    Operator,
}

/// The time zone that `name` names in the IANA database, which is built in.
pub fn time_zone(name: &str) -> Result<jiff::tz::TimeZone, String> {
    jiff::tz::TimeZone::get(name).map_err(|_| format!("{name:?} is no time zone of IANA"))
}
