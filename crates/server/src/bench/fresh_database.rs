//! A database made for a measurement, with a ledger in it and users who own its accounts.

use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::Context;
use tongjang_core::{
    AccountId, AccountNumber, Bank, Caller, Command, Currency, Event, Request, Timestamp, UserId,
};
use tongjang_store::postgres::{
    Layout, Parts, Passwords, PoolLimits, Postgres, Profile, Target, schema,
};
use tongjang_store::{Messenger, Teller, TellerLimits};

use super::workload::Random;
use crate::app::Clock;
use crate::auth::{Password, PasswordHash, Role, Secret};
use crate::config::StoreArgs;
use crate::database::runtime;
use crate::directory::{Directory, NewUser, Username};

/// So many users own the accounts, in turn.
const USERS: usize = 64;

/// A database with an empty ledger; dropped when this is.
pub(crate) struct EmptyDatabase {
    server: Target,
    name: String,
    /// Where it is, with the password.
    pub(crate) url: String,
    pub(crate) target: Target,
}

/// A database of its own with a ledger of accounts; dropped when this is.
pub(crate) struct FreshDatabase {
    /// Where it is, with the password.
    pub(crate) url: String,
    pub(crate) postgres: Postgres,
    pub(crate) users: Vec<UserId>,
    /// Each account with its owner, a place in `users`.
    pub(crate) accounts: Arc<[(AccountId, usize)]>,
    /// A token of each user.
    pub(crate) tokens: Vec<String>,
    database: EmptyDatabase,
}

impl EmptyDatabase {
    /// Makes a database on the server that `store` names. `changes` is SQL that its owner runs on
    /// the new schema.
    pub(crate) fn make(
        store: &StoreArgs,
        nth: u32,
        parts: Parts,
        changes: &str,
    ) -> anyhow::Result<Self> {
        let server = store.target()?.context(
            "name a server that the measurement may make \
            databases on: --store postgres://USER@HOST/DATABASE",
        )?;
        let name = format!("tongjang_bench_{}_{nth}", std::process::id());
        let url = store.store.as_ref().expect("it is the target's").reveal();
        let url = with_database(url, &name);
        let passwords = Passwords {
            file: store.password_file.clone(),
            environment: std::env::var("PGPASSWORD").ok(),
        };
        let target = Target::new(&url, &passwords)?;
        run(&server, &format!("CREATE DATABASE {name}"))?;
        let made = Self { server, name, url, target };
        runtime()?.block_on(async {
            let (mut client, driver) =
                made.target.connect("tongjang bench", &Profile::OWNER).await?;
            tokio::spawn(driver);
            let id = u128::from(std::process::id());
            schema::migrate(&mut client, Layout { parts: Some(parts), id, citus: false }).await?;
            let attempt = |error| tongjang_store::StoreError::database("change the schema", error);
            client.batch_execute(changes).await.map_err(attempt)
        })?;
        Ok(made)
    }

    /// Runs SQL of its owner's, outside a transaction if it is a single statement.
    pub(crate) fn run(&self, sql: &str) -> anyhow::Result<()> {
        run(&self.target, sql)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl FreshDatabase {
    /// Makes a database on the server that `store` names, with a ledger of `accounts`. `changes`
    /// is SQL that its owner runs on the new schema.
    pub(crate) fn make(
        store: &StoreArgs,
        nth: u32,
        parts: Parts,
        accounts: usize,
        changes: &str,
    ) -> anyhow::Result<Self> {
        let database = EmptyDatabase::make(store, nth, parts, changes)?;
        let target = &database.target;
        let postgres =
            runtime()?.block_on(Postgres::open(target.clone(), PoolLimits::default()))?;
        let users = users(nth);
        let accounts = open(&postgres, &users, accounts)?;
        let tokens = tokens(target, &users)?;
        Ok(Self { url: database.url.clone(), postgres, users, accounts, tokens, database })
    }

    /// A figure that a query of the database tells.
    pub(crate) fn figure(&self, sql: &str) -> anyhow::Result<i64> {
        runtime()?.block_on(async {
            let target = &self.database.target;
            let (client, driver) = target.connect("tongjang bench", &Profile::OWNER).await?;
            tokio::spawn(driver);
            Ok(client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?.try_get(0)?)
        })
    }
}

impl Drop for EmptyDatabase {
    fn drop(&mut self) {
        let dropped = run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        if let Err(error) = dropped {
            eprintln!("tongjang: the database {} is left behind: {error}", self.name);
        }
    }
}

fn run(target: &Target, sql: &str) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let (client, driver) = target.connect("tongjang bench", &Profile::OWNER).await?;
        tokio::spawn(driver);
        client.batch_execute(sql).await.with_context(|| sql.to_owned())
    })
}

/// The address with another database in it.
fn with_database(url: &str, name: &str) -> String {
    let (place, parameters) = url.split_once('?').map_or((url, None), |(p, q)| (p, Some(q)));
    let after_scheme = place.find("://").map_or(0, |at| at + 3);
    let end = place[after_scheme..].find('/').map_or(place.len(), |at| after_scheme + at);
    let parameters = parameters.map_or(String::new(), |parameters| format!("?{parameters}"));
    format!("{}/{name}{parameters}", &place[..end])
}

fn users(seed: u32) -> Vec<UserId> {
    let mut random = Random(u64::from(seed) << 32 ^ 0x5eed);
    (1..=USERS as u128).map(|n| UserId::from_bits(n << 64 | u128::from(random.next()))).collect()
}

/// Opens accounts in won, each with the users in turn.
fn open(
    postgres: &Postgres,
    users: &[UserId],
    count: usize,
) -> anyhow::Result<Arc<[(AccountId, usize)]>> {
    let messenger: Messenger = Arc::new(|deliver| deliver());
    let limits = TellerLimits::default();
    let (teller, thread) = Teller::start_shared(vec![postgres.teller()?], limits, &messenger)?;
    let (clock, mut random) = (Clock::system(), Random(0xacc0));
    let (told, answers) = channel();
    let mut opened = Vec::with_capacity(count);
    let every: Vec<usize> = (0..count).collect();
    for some in every.chunks(4096) {
        for nth in some {
            let owner = users[nth % users.len()];
            let number = format!("1-{nth}");
            let command = Command::Open {
                owner,
                currency: Currency::KRW,
                bank: Bank::new("088").expect("a bank"),
                number: AccountNumber::new(&number).expect("a number"),
                number_made: false,
            };
            let caller = Caller::owner(owner);
            let (at, nonce) = (clock.now(), random.next());
            let request = Request { caller, at, nonce, key: None, expected_version: None, command };
            let (told, user) = (told.clone(), nth % users.len());
            let tell = Box::new(move |answer| told.send((user, answer)).expect("it is waited for"));
            teller.submit(request, tell).map_err(|refusal| anyhow::anyhow!("{refusal:?}"))?;
        }
        for _ in some {
            let (user, answer) = answers.recv()?;
            match answer?.outcome {
                Ok(Event::Opened(opening)) => opened.push((opening.account.id, user)),
                other => anyhow::bail!("an opening came to {other:?}"),
            }
        }
    }
    thread.close()?;
    Ok(opened.into())
}

/// A token of each user, whom this makes known to the directory. Nobody is told a password.
fn tokens(target: &Target, users: &[UserId]) -> anyhow::Result<Vec<String>> {
    let (clock, random) = (Clock::system(), crate::app::Random::system());
    let limits = PoolLimits { size: 2, ..PoolLimits::default() };
    runtime()?.block_on(async {
        let pool = target.pool("tongjang bench", Profile::DIRECTORY, limits);
        let directory = Directory::on_postgres(pool).await?;
        let failed = |_| anyhow::anyhow!("the directory failed");
        let word = Secret::token(&random).reveal().to_owned();
        let password = PasswordHash::of(&Password::new(word), &random);
        let mut tokens = Vec::new();
        for (nth, user) in users.iter().enumerate() {
            let time = clock.now();
            let username = Username::new(&format!("bench{nth}"), "/username").map_err(failed)?;
            directory
                .take_in(NewUser {
                    id: *user,
                    username,
                    password: password.clone(),
                    name: None,
                    role: Role::Customer,
                    created_at: time,
                })
                .await?;
            let secret = Secret::token(&random);
            let day = Timestamp::from_micros(time.micros() + 24 * 3600 * 1_000_000);
            directory.add_token(secret.hash(), *user, day, time).await.map_err(failed)?;
            tokens.push(secret.reveal().to_owned());
        }
        Ok(tokens)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_is_named_and_all_else_is_kept() {
        for (url, expected) in [
            ("postgres://a:b@h:1/x", "postgres://a:b@h:1/y"),
            ("postgres://h", "postgres://h/y"),
            ("postgres://h/x?sslmode=disable", "postgres://h/y?sslmode=disable"),
            ("postgresql://a@h,i:2/x", "postgresql://a@h,i:2/y"),
        ] {
            assert_eq!(with_database(url, "y"), expected);
        }
    }
}
