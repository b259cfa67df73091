//! `tongjang account list`: the accounts of a ledger, the newest first.

use std::collections::HashMap;
use std::process::ExitCode;

use clap::Args;
use tongjang_core::{Account, AccountId, UserId};
use tongjang_store::{Order, Reader};

use super::table::{Align, Table, amount};
use super::{print, reader};
use crate::config::StoreArgs;
use crate::database::runtime;

/// The options of `tongjang account list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// The settlement accounts too, which stand for the world outside
    #[arg(long)]
    settlement: bool,
    #[command(flatten)]
    ledger: StoreArgs,
}

/// Lists the accounts.
pub(super) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let reader = reader(&args.ledger)?;
    let accounts = accounts(&reader, args.limit, args.settlement)?;
    let names = names(&args.ledger, &accounts);
    print(&table(&accounts, &names).to_string())
}

fn accounts(reader: &impl Reader, limit: usize, settlement: bool) -> anyhow::Result<Vec<Account>> {
    let (mut found, mut after) = (Vec::new(), None);
    while found.len() < limit {
        let page = reader.accounts(None, Order::Desc, after, 500)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id());
        found.extend(page.into_iter().filter(|account| settlement || !is_settlement(account)));
    }
    found.truncate(limit);
    Ok(found)
}

fn is_settlement(account: &Account) -> bool {
    account.opened().is_settlement()
}

/// What the accounts are called. A ledger without its directory is still worth looking at.
pub(super) fn names(ledger: &StoreArgs, accounts: &[Account]) -> HashMap<AccountId, String> {
    let accounts: Vec<_> = accounts.iter().map(|one| (one.owner(), one.id())).collect();
    labels(ledger, accounts).unwrap_or_else(|error| {
        eprintln!("tongjang: the names of the accounts are not shown: {error}");
        HashMap::new()
    })
}

fn labels(
    ledger: &StoreArgs,
    accounts: Vec<(UserId, AccountId)>,
) -> anyhow::Result<HashMap<AccountId, String>> {
    match ledger.database_blocking()? {
        None => Ok(crate::directory::labels_in(&ledger.data, &accounts)?),
        Some(database) => {
            Ok(runtime()?
                .block_on(async { database.directory().await?.labels_of(accounts).await })?)
        }
    }
}

/// The bank and number of an account, e.g. `004/110-234`; a settlement account has none.
pub(super) fn place(account: &Account) -> String {
    let place = account.opened().place.as_ref();
    place.map_or_else(
        || "settlement".to_owned(),
        |(bank, number)| format!("{}/{}", bank.as_str(), number.as_str()),
    )
}

fn table(accounts: &[Account], names: &HashMap<AccountId, String>) -> Table {
    let mut table = Table::new(&[
        ("account", Align::Left),
        ("bank and number", Align::Left),
        ("name", Align::Left),
        ("status", Align::Left),
        ("currency", Align::Left),
        ("balance", Align::Right),
        ("available", Align::Right),
        ("entries", Align::Right),
    ]);
    for account in accounts {
        let currency = account.currency();
        table.row(vec![
            account.id().to_string(),
            place(account),
            names.get(&account.id()).cloned().unwrap_or_default(),
            account.status().as_str().to_owned(),
            currency.to_string(),
            amount(account.balance().minor(), currency),
            amount(account.available().minor(), currency),
            account.entry_count().to_string(),
        ]);
    }
    table
}
