//! smoke

use tongjang_script::{Desk, MemoryLedger, Observed, Step, Target, run, run_folder};

use crate::tellers::Ledger;

struct InDatabase {
    ledger: Ledger,
    desk: Desk,
    memory: MemoryLedger,
}

impl tongjang_script::Ledger for InDatabase {
    fn perform(&mut self, step: &Step) -> Observed {
        let other = tongjang_script::Ledger::perform(&mut self.memory, step);
        match step {
            Step::At(time) => {
                self.desk.at = *time;
                Observed::Done
            }
            Step::Ask(ask) => Observed::Outcome(match self.desk.request(ask) {
                Err(outcome) => outcome,
                Ok(request) => {
                    let answer = self.ledger.perform(vec![request]).remove(0).unwrap();
                    self.desk.outcome(ask, &answer.outcome, answer.replayed)
                }
            }),
            _ => other,
        }
    }
}

fn run_all(parts: u16, tellers: usize) {
    let ran = run_folder(Target::Journal, |script| {
        let ledger = Ledger::new(parts, tellers);
        let mut ledger = InDatabase { ledger, desk: Desk::default(), memory: Default::default() };
        run(script, &mut ledger)
    });
    ran.unwrap_or_else(|failures| panic!("\n{failures}\n"));
}

#[test]
fn the_database_does_what_the_scripts_say() {
    run_all(1, 1);
}

#[test]
fn several_parts_and_tellers_are_not_noticed() {
    run_all(5, 3);
}
