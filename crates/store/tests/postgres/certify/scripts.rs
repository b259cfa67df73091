//! Every script that the journal runs, on a database behind its tellers: as it is, and with other
//! tellers between every two rows.

use tongjang_core::{AccountId, Direction};
use tongjang_script::{Desk, HistoryRow, Observed, Step, Target, run, run_folder};
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader};

use crate::certify::distributed::taken_for_distributed;
use crate::certify::tellers::Ledger;

struct InDatabase {
    /// There is one but while the tellers are exchanged.
    ledger: Option<Ledger>,
    desk: Desk,
    tellers: usize,
    anew: bool,
}

impl InDatabase {
    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().unwrap()
    }

    /// Goes on with other tellers, who know nothing of what was.
    fn exchange_tellers(&mut self) {
        let database = self.ledger.take().unwrap().end();
        self.ledger = Some(Ledger::on(database, self.tellers));
    }

    fn history(&self, account: AccountId) -> Observed {
        let query = EntryQuery {
            filter: EntryFilter::all(account),
            order: Order::Asc,
            after: None,
            offset: 0,
            limit: usize::MAX / 4,
            scan_limit: usize::MAX / 4,
        };
        let page = self.ledger().postgres.reader().entries(&query).unwrap();
        let rows = page.rows.into_iter().map(|row| HistoryRow {
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

impl tongjang_script::Ledger for InDatabase {
    fn perform(&mut self, step: &Step) -> Observed {
        if self.anew {
            self.exchange_tellers();
        }
        match step {
            Step::At(time) => {
                self.desk.at = *time;
                Observed::Done
            }
            Step::Ask(ask) => Observed::Outcome(match self.desk.request(ask) {
                Err(outcome) => outcome,
                Ok(request) => {
                    let answer = self.ledger().perform(vec![request]).remove(0).unwrap();
                    self.desk.outcome(ask, &answer.outcome, answer.replayed)
                }
            }),
            Step::Account(name) => {
                let reader = self.ledger().postgres.reader();
                match reader.account(self.desk.account(name)).unwrap() {
                    None => Observed::Broken(format!("no account was opened as {name}")),
                    Some(account) => Observed::Account {
                        balance: account.balance().minor(),
                        entries: account.entry_count(),
                        status: account.status(),
                        version: account.version(),
                    },
                }
            }
            Step::History(name) => self.history(self.desk.account(name)),
            Step::Ledger(currency) => {
                let totals = self.ledger().postgres.reader().totals().unwrap();
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

fn run_all(parts: u16, tellers: usize, anew: bool) {
    run_each(|| Ledger::new(parts, tellers), tellers, anew);
}

fn run_each(make: impl Fn() -> Ledger, tellers: usize, anew: bool) {
    let ran = run_folder(Target::Journal, |script| {
        // It is about what one teller remembers.
        if anew && script.file.ends_with("times-of-refusals.txt") {
            return Ok(());
        }
        let ledger = Some(make());
        let mut ledger = InDatabase { ledger, desk: Desk::default(), tellers, anew };
        run(script, &mut ledger)
    });
    ran.unwrap_or_else(|failures| panic!("\n{failures}\n"));
}

#[test]
fn the_database_does_what_the_scripts_say() {
    run_all(1, 1, false);
}

#[test]
fn several_parts_are_not_noticed() {
    run_all(5, 1, false);
}

#[test]
fn other_tellers_between_any_two_rows_are_not_noticed() {
    run_all(3, 1, true);
}

#[test]
fn statements_that_keep_to_one_part_do_the_same() {
    run_each(|| Ledger::on(taken_for_distributed(), 1), 1, false);
}
