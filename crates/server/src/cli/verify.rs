//! `tongjang verify`: every figure of the ledger, worked out again and compared.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tongjang_core::audit::AuditSummary;
use tongjang_store::journal::JournalConfig;
use tongjang_store::journal::verify::Verified;

use super::table::{Align, Table, amount};
use super::{DataArg, print};

/// Verifies the ledger; an error tells the place of the first fault.
pub(super) fn verify(args: &DataArg) -> anyhow::Result<ExitCode> {
    let is_ledger = args.data.join("journal").is_dir();
    anyhow::ensure!(is_ledger, "there is no ledger in {}; see --data", args.data.display());
    let config = JournalConfig::new(&args.data, [0; 16]);
    let shown = std::io::stderr().is_terminal();
    let mut next = 0;
    let progress = |events| {
        if shown && events >= next {
            next = events + 100_000;
            eprint!("\r{events} events …");
            // Whether the progress is seen does not matter.
            let _ = std::io::stderr().flush();
        }
    };
    let verified = tongjang_store::journal::verify::verify(&config, progress);
    if shown {
        eprint!("\r\x1b[K");
    }
    print(&report(&verified?))
}

fn report(verified: &Verified) -> String {
    let AuditSummary { events, accounts, transactions, entries, currencies } = &verified.summary;
    let mut text = format!(
        "{events} events, {accounts} accounts, {transactions} transactions, {entries} entries: \
         every number, balance and hash holds.\n",
    );
    match &verified.snapshot {
        Some(path) => text += &format!("The balances in {} agree.\n", path.display()),
        None => text += "There is no snapshot whose balances could be compared.\n",
    }
    if let Some(torn) = &verified.recovered.torn {
        let (path, bytes) = (torn.path.display(), torn.bytes);
        text += &format!("An unfinished write of {bytes} bytes ends {path}; it is no fault.\n");
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
