//! Runs scripts on a target and says at which row the two part.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{NotAScript, Observed, Script, Step, Target, compare};

/// What a script runs on.
pub trait Ledger {
    /// Does what a row says, and tells what was seen. Users are told apart by their names, and
    /// accounts by the names they were opened under; a name that nothing was opened under stands
    /// for an account that does not exist.
    fn perform(&mut self, step: &Step) -> Observed;
}

/// A row that did not go as written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The row.
    pub row: String,
    /// What was expected and what was seen.
    pub difference: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, row, difference } = self;
        write!(f, "{}:{line}: {row}\n  {difference}", file.display())
    }
}

impl std::error::Error for Failure {}

impl From<NotAScript> for Failure {
    fn from(script: NotAScript) -> Self {
        Self {
            file: script.file,
            line: script.line,
            row: "this row cannot be read".into(),
            difference: script.why,
        }
    }
}

/// Runs `script` on `ledger`, which is new.
///
/// # Errors
/// The first row that does not go as written.
pub fn run(script: &Script, ledger: &mut impl Ledger) -> Result<(), Failure> {
    for row in &script.rows {
        let observed = ledger.perform(&row.step);
        compare(&row.expected, &observed).map_err(|difference| Failure {
            file: script.file.clone(),
            line: row.line,
            row: row.text.clone(),
            difference,
        })?;
    }
    Ok(())
}

/// The workspace's `testdata/`.
pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata")
}

/// Runs every script of `testdata/` that is for `target`, each on a ledger of its own that `on`
/// makes and runs it on: `run(script, &mut ledger)`, and whatever else is to be checked after it.
///
/// # Errors
/// What did not go as written, a paragraph a script.
///
/// # Panics
/// If the folder cannot be read or has no script for `target`: then nothing was tested.
pub fn run_folder(
    target: Target,
    mut on: impl FnMut(&Script) -> Result<(), Failure>,
) -> Result<(), String> {
    let folder = testdata();
    let files = fs::read_dir(&folder).expect("testdata/ stands beside crates/");
    let mut files: Vec<PathBuf> = files
        .map(|file| file.expect("a folder that can be listed").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let (mut ran, mut failures) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("a script is a text in UTF-8");
        let name = Path::new("testdata").join(file.file_name().unwrap_or_default());
        match Script::parse(&name, &text) {
            Ok(script) if script.targets.contains(&target) => {
                ran += 1;
                failures.extend(on(&script).err());
            }
            Ok(_) => {}
            Err(unreadable) => failures.push(unreadable.into()),
        }
    }
    assert!(ran > 0, "no script in {} is for {target:?}", folder.display());
    if failures.is_empty() {
        return Ok(());
    }
    let failures: Vec<String> = failures.iter().map(Failure::to_string).collect();
    Err(failures.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryLedger;

    /// What comes of a script that ends with `row`, after an account with 1000 on it.
    fn after(row: &str) -> Result<(), Failure> {
        let text = format!(
            "# a comment\nalice opens A in KRW at 088 => ok\n\n\
             alice deposits 1000 to A memo \"m\" => booked, balance 1000\n{row}\n"
        );
        let script = Script::parse(Path::new("x.txt"), &text)?;
        run(&script, &mut MemoryLedger::default())
    }

    #[test]
    fn a_row_that_goes_otherwise_fails_with_its_file_and_line() {
        let failure = after("alice withdraws 1 from A => booked, balance 1000").unwrap_err();
        assert_eq!(
            failure.to_string(),
            "x.txt:5: alice withdraws 1 from A => booked, balance 1000\n  \
             expected booked, balance 1000\n  observed booked, balance 999"
        );
    }

    #[test]
    fn each_word_of_an_expectation_counts() {
        let sound = [
            "A has balance 1000 in 1 entry",
            "A is open",
            "A is at version 2",
            "history of A => +1000 1000 \"m\"",
            "ledger KRW holds 1000 in 1 accounts after 1 transactions",
            "alice withdraws 2000 from A => insufficient-funds available 1000",
        ];
        for row in sound {
            after(row).unwrap_or_else(|failure| panic!("{failure}"));
        }
        for row in [
            "A has balance 1001 in 1 entry",
            "A has balance 1000 in 2 entries",
            "A is frozen",
            "A is at version 1",
            "history of A => none",
            "history of A => +1000 1000 \"n\"",
            "history of A => +1000 1001 \"m\"",
            "history of A => +1001 1000 \"m\"",
            "history of A => +1000 1000 \"m\" from B",
            "history of A => +1000 1000 \"m\" | -1 999 \"\"",
            "times of A => 2026-11-22T09:00:00Z",
            "ledger KRW holds 1001 in 1 accounts after 1 transactions",
            "ledger KRW holds 1000 in 2 accounts after 1 transactions",
            "ledger KRW holds 1000 in 1 accounts after 2 transactions",
            "alice withdraws 2000 from A => insufficient-funds available 1001",
            "alice withdraws 2000 from A => insufficient-funds",
            "alice withdraws 2000 from A => replayed, insufficient-funds available 1000",
            "alice withdraws 1 from A => replayed, balance 999",
            "alice withdraws 1 from A => ok",
            "B has balance 0 in 0 entries",
        ] {
            assert!(after(row).is_err(), "{row}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        for row in [
            "alice gives 1 to A => ok",
            "alice deposits one to A => ok",
            "alice deposits 1 to A",
            "alice deposits 1 to A => booked",
            "alice deposits 1 to A memo m => booked, balance 1001",
            "alice deposits 1 to A to-memo \"m\" => booked, balance 1001",
            "alice opens B in KRW at 088 memo \"m\" => ok",
            "A is odd",
            "A has balance 1000 in 1 entry or so",
            "ledger WON sums to zero",
            "at noon",
            "targets: paper",
            "alice deposits 1 to A memo \"m => ok",
        ] {
            let failure = after(row).unwrap_err();
            assert_eq!(
                (failure.line, failure.row.as_str()),
                (5, "this row cannot be read"),
                "{row}"
            );
        }
    }
}
