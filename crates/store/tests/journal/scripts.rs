//! Every script of `testdata/` on the journal behind its teller: as it is, and with a restart
//! between every two rows.

use tongjang_script::{Desk, Observed, Step, Target, run, run_folder};
use tongjang_sim::scripted::Scripted;
use tongjang_store::journal::verify::verify;

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

impl tongjang_script::Ledger for Journalled {
    fn perform(&mut self, step: &Step) -> Observed {
        match self.between {
            Between::Nothing => {}
            between => self.ledger.restart(between == Between::Restart),
        }
        let reader = self.ledger.reader().clone();
        let ask = |request| self.ledger.perform(vec![request]).remove(0);
        self.desk.perform(step, &mut Scripted { ask, reader })
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
