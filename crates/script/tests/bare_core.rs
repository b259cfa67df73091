//! Every script of `testdata/` on the bare core, and an audit of what it left.

use tongjang_core::Audit;
use tongjang_script::{MemoryLedger, Target, run, run_folder};

#[test]
fn the_bare_core_does_what_the_scripts_say() {
    let ran = run_folder(Target::Core, |script| {
        let mut ledger = MemoryLedger::default();
        run(script, &mut ledger)?;
        let mut audit = Audit::new();
        let checked = ledger.books.events.iter().try_for_each(|event| audit.check(event));
        checked.and_then(|()| audit.finish(ledger.books.book.accounts())).expect("a sound ledger");
        Ok(())
    });
    ran.unwrap_or_else(|failures| panic!("\n{failures}\n"));
}
