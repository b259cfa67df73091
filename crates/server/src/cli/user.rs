//! `tongjang user add`: takes a user in without the server, above all the first operator.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use tongjang_core::UserId;

use super::print;
use crate::app::{Clock, Random};
use crate::auth::{Password, PasswordHash, Role};
use crate::config::StoreArgs;
use crate::database::runtime;
use crate::directory::{Directory, NewUser, Username};
use crate::problem::{Language, Problem};
use crate::serve::make_data_directory;

/// The options of `tongjang user add`.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The username
    username: String,
    /// An operator: reads all, books on any account in batches, and uses the operators' calls
    #[arg(long)]
    operator: bool,
    /// What to call the user
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    ledger: StoreArgs,
}

/// Takes the user in, also while a server is running.
pub(super) fn add(args: &AddArgs) -> anyhow::Result<ExitCode> {
    let random = Random::system();
    let username = Username::new(&args.username, "/username").map_err(told)?;
    let name = args.name.as_deref().map(|name| crate::api::users::label(name, "/name"));
    let name = name.transpose().map_err(told)?;
    let given = typed()?;
    let made = given.is_empty().then(|| made_up(&random));
    let password = Password::new(made.clone().unwrap_or(given));
    password.check("/password").map_err(told)?;
    let directory = directory(&args.ledger)?;
    let created_at = Clock::system().now();
    let user = runtime()?.block_on(directory.take_in(NewUser {
        id: UserId::new(created_at, random.nonce()),
        username,
        password: PasswordHash::of(&password, &random),
        name,
        role: if args.operator { Role::Operator } else { Role::Customer },
        created_at,
    }))?;
    let mut text = format!("{} {} {}\n", user.role.as_str(), user.username, user.id);
    if let Some(password) = made {
        text += &format!("password {password}\n");
    }
    print(&text)
}

/// The directory of the ledger's users, which is made if there is none.
fn directory(ledger: &StoreArgs) -> anyhow::Result<Directory> {
    match ledger.database_blocking()? {
        None => {
            make_data_directory(&ledger.data)?;
            Ok(Directory::open(&ledger.data)?)
        }
        Some(database) => Ok(runtime()?.block_on(database.directory())?),
    }
}

/// The first thing that is wrong, in a sentence.
fn told(problem: Problem) -> anyhow::Error {
    let first = problem.errors().first();
    let told = first.map(|error| {
        format!("the {} {}", error.pointer.trim_start_matches('/'), error.detail.get(Language::En))
    });
    anyhow::anyhow!(told.unwrap_or_else(|| problem.code().as_str().to_owned()))
}

/// The password that was typed, or stands in standard input's first line; empty if none.
fn typed() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let mut line = String::new();
    if stdin.is_terminal() {
        eprint!("Password (empty: one is made up): ");
        std::io::stderr().flush()?;
        let _hidden = Hidden::begin()?;
        stdin.lock().read_line(&mut line)?;
        eprintln!();
    } else {
        stdin.lock().read_line(&mut line)?;
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// 120 random bits in 24 letters that nobody confuses.
fn made_up(random: &Random) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    random.bytes::<24>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

/// A terminal that does not show what is typed, as long as this lives.
struct Hidden(rustix::termios::Termios);

impl Hidden {
    fn begin() -> anyhow::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        // The terminal may be gone, and then it need not be put right.
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &self.0);
    }
}
