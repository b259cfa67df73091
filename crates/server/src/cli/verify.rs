//! `tongjang verify`: every figure of the ledger, worked out again and compared.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use tongjang_core::audit::AuditSummary;
use tongjang_store::journal;
use tongjang_store::postgres;

use super::table::{Align, Table, amount};
use super::{only_to_read, print};
use crate::config::StoreArgs;

/// Verifies the ledger; an error tells the place of the first fault.
pub(super) fn verify(ledger: &StoreArgs) -> anyhow::Result<ExitCode> {
    let (summary, notes) = match ledger.database_blocking()? {
        None => of_journal(&ledger.data)?,
        Some(database) => {
            let summary =
                watched(|progress| postgres::verify::verify(&database.postgres, progress))?;
            (summary, vec!["The balances in the database agree.".to_owned()])
        }
    };
    print(&report(&summary, &notes))
}

/// The sums of the journal in `data`, and what else there is to say of it.
fn of_journal(data: &Path) -> anyhow::Result<(AuditSummary, Vec<String>)> {
    let is_ledger = data.join("journal").is_dir();
    anyhow::ensure!(is_ledger, "there is no ledger in {}; see --data", data.display());
    let config = only_to_read(data)?;
    let verified = watched(|progress| journal::verify::verify(&config, progress))?;
    let mut notes = vec![match &verified.snapshot {
        Some(path) => format!("The balances in {} agree.", path.display()),
        None => "There is no snapshot whose balances could be compared.".to_owned(),
    }];
    if let Some(torn) = &verified.recovered.torn {
        let (path, bytes) = (torn.path.display(), torn.bytes);
        notes.push(format!("An unfinished write of {bytes} bytes ends {path}; it is no fault."));
    }
    Ok((verified.summary, notes))
}

/// Shows on a terminal how many events `check` has read so far.
fn watched<T>(check: impl FnOnce(&mut dyn FnMut(u64)) -> T) -> T {
    let shown = std::io::stderr().is_terminal();
    let mut next = 0;
    let mut progress = |events| {
        if shown && events >= next {
            next = events + 100_000;
            eprint!("\r{events} events …");
            // Whether the progress is seen does not matter.
            let _ = std::io::stderr().flush();
        }
    };
    let checked = check(&mut progress);
    if shown {
        eprint!("\r\x1b[K");
    }
    checked
}

/// The sums, with a line for each of the store's own `notes`.
fn report(summary: &AuditSummary, notes: &[String]) -> String {
    let AuditSummary { events, accounts, transactions, entries, currencies } = summary;
    let mut text = format!(
        "{events} events, {accounts} accounts, {transactions} transactions, {entries} entries: \
         every number, balance and hash holds.\n",
    );
    for note in notes {
        text += &format!("{note}\n");
    }
    if currencies.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("currency", Align::Left),
        ("accounts", Align::Right),
        ("transactions", Align::Right),
        ("customers", Align::Right),
        ("settlement", Align::Right),
        ("sum", Align::Right),
    ]);
    for of in currencies {
        let sum = of.customer_balance.checked_add(of.settlement_balance);
        table.row(vec![
            of.currency.to_string(),
            of.accounts.to_string(),
            of.transactions.to_string(),
            amount(of.customer_balance.minor(), of.currency),
            amount(of.settlement_balance.minor(), of.currency),
            sum.map_or_else(|| "?".to_owned(), |sum| amount(sum.minor(), of.currency)),
        ]);
    }
    text + "\n" + &table.to_string()
}
