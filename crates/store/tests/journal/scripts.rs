//! Every script of `testdata/` on the journal behind its teller: as it is, and with a restart
//! between every two rows.

use tongjang_core::Direction;
use tongjang_script::{Desk, HistoryRow, Observed, Step, Target, run, run_folder};
use tongjang_store::journal::verify::verify;
use tongjang_store::{Order, Reader};

use crate::ledger::Ledger;

/// What happens between two rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Restart,
    RestartWithoutSnapshots,
}

struct Journalled {
    ledger: Ledger,
    desk: Desk,
    between: Between,
}

impl Journalled {
    fn history(&self, name: &str) -> Observed {
        let rows = self.ledger.rows(self.desk.account(name), Order::Asc);
        let rows = rows.into_iter().map(|row| HistoryRow {
            number: row.entry.number.get(),
            amount: match row.entry.direction {
                Direction::Credit => row.entry.amount.minor(),
                Direction::Debit => -row.entry.amount.minor(),
            },
            balance: row.entry.balance.minor(),
            memo: row.entry.memo.as_str().into(),
            counterparty: row.entry.counterparty.map(|other| self.desk.name(other)),
            booked_at: row.booked_at,
        });
        Observed::History(rows.collect())
    }
}

impl tongjang_script::Ledger for Journalled {
    fn perform(&mut self, step: &Step) -> Observed {
        match self.between {
            Between::Nothing => {}
            between => self.ledger.restart(between == Between::Restart),
        }
        match step {
            Step::At(time) => {
                self.desk.at = *time;
                Observed::Done
            }
            Step::Ask(ask) => Observed::Outcome(match self.desk.request(ask) {
                Err(outcome) => outcome,
                Ok(request) => {
                    let answer = self.ledger.perform(vec![request]).remove(0);
                    self.desk.outcome(ask, &answer.outcome, answer.replayed)
                }
            }),
            Step::Account(name) => {
                match self.ledger.reader().account(self.desk.account(name)).unwrap() {
                    None => Observed::Broken(format!("no account was opened as {name}")),
                    Some(account) => Observed::Account {
                        balance: account.balance().minor(),
                        entries: account.entry_count(),
                        status: account.status(),
                        version: account.version(),
                    },
                }
            }
            Step::History(name) => self.history(name),
            Step::Ledger(currency) => {
                let totals = self.ledger.reader().totals().unwrap();
                let of = totals.iter().find(|total| total.currency == *currency).copied();
                Observed::Ledger {
                    accounts: of.map_or(0, |of| of.accounts),
                    transactions: of.map_or(0, |of| of.transactions),
                    customers: of.map_or(0, |of| of.customer_balance.minor()),
                    settlement: of.map_or(0, |of| of.settlement_balance.minor()),
                }
            }
        }
    }
}

fn run_all(between: Between) {
    let ran = run_folder(Target::Journal, |script| {
        let ledger = Ledger::with_segments(64 << 10);
        let mut journalled = Journalled { ledger, desk: Desk::default(), between };
        run(script, &mut journalled)?;
        journalled.ledger.restart(true);
        verify(&journalled.ledger.config(), |_| ()).unwrap();
        Ok(())
    });
    ran.unwrap_or_else(|failures| panic!("\n{failures}\n"));
}

#[test]
fn the_journal_does_what_the_scripts_say() {
    run_all(Between::Nothing);
}

#[test]
fn a_restart_between_any_two_rows_is_not_noticed() {
    run_all(Between::Restart);
}

#[test]
fn snapshots_lost_between_any_two_rows_are_not_missed() {
    run_all(Between::RestartWithoutSnapshots);
}
