//! Every script that the journal runs, on a database behind its tellers: as it is, and with other
//! tellers between every two rows.

use tongjang_script::{Desk, Observed, Step, Target, run, run_folder};
use tongjang_sim::scripted::Scripted;

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
    /// Goes on with other tellers, who know nothing of what was.
    fn exchange_tellers(&mut self) {
        let database = self.ledger.take().unwrap().end();
        self.ledger = Some(Ledger::on(database, self.tellers));
    }
}

impl tongjang_script::Ledger for InDatabase {
    fn perform(&mut self, step: &Step) -> Observed {
        if self.anew {
            self.exchange_tellers();
        }
        let ledger = self.ledger.as_ref().unwrap();
        let reader = ledger.postgres.reader();
        let ask = |request| ledger.perform(vec![request]).remove(0).unwrap();
        self.desk.perform(step, &mut Scripted { ask, reader })
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
