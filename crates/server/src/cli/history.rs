//! `tongjang history`: an account's passbook on a terminal, the newest entry first.

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use jiff::tz::TimeZone;
use tongjang_core::{Account, AccountId, AccountNumber, Bank, Direction, Timestamp};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Row};

use super::list::{names, place};
use super::table::{Align, Table, amount};
use super::{print, reader};
use crate::config::StoreArgs;
use crate::extract::nfc;

/// The options of `tongjang history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The account: its id, or its bank and number with a slash or a colon, e.g. `004/110-234`
    account: String,
    /// At most so many entries
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// In which time zone to show times (IANA)
    #[arg(
        long,
        env = "TONGJANG_TIME_ZONE",
        value_name = "ZONE",
        default_value = "Asia/Seoul",
        value_parser = crate::config::time_zone
    )]
    time_zone: TimeZone,
    #[command(flatten)]
    ledger: StoreArgs,
}

/// Shows the account's newest entries.
pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let reader = reader(&args.ledger)?;
    let account = find(&reader, &args.account)?;
    let rows = rows(&reader, &account, args.limit)?;
    let mut known = vec![account.clone()];
    let others: Vec<_> = rows.iter().filter_map(|row| row.entry.counterparty).collect();
    known.extend(reader.accounts_by_id(&others)?.into_iter().flatten());
    let all = names(&args.ledger, &known);
    let currency = account.currency();
    let mut table = Table::new(&[
        ("no.", Align::Right),
        ("booked at", Align::Left),
        ("kind", Align::Left),
        ("in", Align::Right),
        ("out", Align::Right),
        ("balance", Align::Right),
        ("counterparty", Align::Left),
        ("memo", Align::Left),
    ]);
    for row in &rows {
        let entry = &row.entry;
        let moved = amount(entry.amount.minor(), currency);
        let (credit, debit) = match entry.direction {
            Direction::Credit => (moved, String::new()),
            Direction::Debit => (String::new(), moved),
        };
        table.row(vec![
            entry.number.to_string(),
            local(row.booked_at, &args.time_zone),
            row.kind.as_str().to_owned(),
            credit,
            debit,
            amount(entry.balance.minor(), currency),
            counterparty(row, &known, &all),
            entry.memo.as_str().to_owned(),
        ]);
    }
    let name = all.get(&account.id()).map(|name| format!(" · {name}")).unwrap_or_default();
    let balance = amount(account.balance().minor(), currency);
    let head = format!("{}{name}\n{}: {balance} {currency}\n", place(&account), account.id());
    print(&format!("{head}\n{table}"))
}

/// The account of this id, or of this bank and number with a slash or a colon between them. No
/// number has either in it, and a bank may.
pub(super) fn find(reader: &impl Reader, text: &str) -> anyhow::Result<Account> {
    let id = match text.rfind(['/', ':']).map(|at| text.split_at(at)) {
        Some((bank, number)) => {
            let (bank, number) = (nfc(bank), nfc(&number[1..]));
            let bank = Bank::new(bank.trim()).context("this is no bank")?;
            let number = AccountNumber::new(number.trim()).context("this is no account number")?;
            reader.account_by_number(&bank, &number)?
        }
        None => Some(text.parse().context("give the id of an account, or bank/number")?),
    };
    let account = id.map(|id| reader.account(id)).transpose()?.flatten();
    let Some(account) = account else { bail!("there is no account {text}") };
    Ok(account)
}

/// The newest rows.
fn rows(reader: &impl Reader, account: &Account, limit: usize) -> anyhow::Result<Vec<Row>> {
    let (filter, order) = (EntryFilter::all(account.id()), Order::Desc);
    let (mut rows, mut after) = (Vec::new(), None);
    while rows.len() < limit {
        let limit = (limit - rows.len()).min(500);
        let query = EntryQuery {
            filter: filter.clone(),
            order,
            after,
            offset: 0,
            limit,
            scan_limit: limit,
        };
        let page = reader.entries(&query)?;
        rows.extend(page.rows);
        after = page.resume;
        if after.is_none() {
            break;
        }
    }
    Ok(rows)
}

fn counterparty(row: &Row, known: &[Account], names: &HashMap<AccountId, String>) -> String {
    let other = known.iter().find(|account| Some(account.id()) == row.entry.counterparty);
    let Some(other) = other else { return String::new() };
    let name = names.get(&other.id()).map(|name| format!(" {name}")).unwrap_or_default();
    place(other) + &name
}

/// The time as a clock in `zone` showed it, to the second.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_microsecond(at.micros());
    let instant = instant.expect("the ledger's times lie within the years 0 to 9999");
    instant.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
