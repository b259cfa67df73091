//! The steps that run tests: each shows its output as it comes, and sums it up.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::AddAssign;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::{Done, cargo};

/// How the tests of all binaries went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Tally {
    /// Takes in a line of the test runner's output; all but its closing lines count nothing.
    fn take(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let counts = counts.split_once(". ").map_or(counts, |(_, counts)| counts);
        for part in counts.split("; ") {
            let Some((number, what)) = part.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Names the folder of the programs of a second PostgreSQL, newer than the one of all tests.
const NEWER: &str = "TONGJANG_CI_NEWER_POSTGRES_BIN";

/// Runs all tests.
pub(crate) fn all(root: &Path) -> Result<Done> {
    run(cargo(root, ["test", "--workspace", "--locked", "--no-fail-fast"]))
}

/// The HTTP tests that `TONGJANG_TEST_STORE` changes nothing of: they start no server of the usual
/// kind, or none at all.
const AS_THEY_ARE: [&str; 10] = [
    "bench::",
    "carry",
    "cli::",
    "copy::",
    "metrics::",
    "openapi::",
    "readme::",
    "ready::",
    "scripts::",
    "servers::",
];

/// Runs those HTTP tests once more, each on a database, that otherwise run on a folder.
pub(crate) fn http_on_a_database(root: &Path) -> Result<Done> {
    let arguments = ["test", "--locked", "--no-fail-fast", "-p", "tongjang-server", "--test", "it"];
    let mut command = cargo(root, arguments);
    command.arg("--").args(AS_THEY_ARE.iter().flat_map(|name| ["--skip", name]));
    command.env("TONGJANG_TEST_STORE", "postgres");
    run(command)
}

/// Runs the store's tests of PostgreSQL once more, on the newer one if there is any. Not every
/// machine can have it, so that it is missing is said and fails nothing.
pub(crate) fn on_newer_postgres(root: &Path) -> Result<Done> {
    let folder = std::env::var_os(NEWER).unwrap_or_default();
    if folder.is_empty() {
        return Ok(Done::Skipped(format!("{NEWER} names no newer PostgreSQL")));
    }
    let arguments = ["test", "--locked", "--no-fail-fast", "-p", "tongjang-store"];
    let mut command = cargo(root, arguments);
    command.args(["--test", "postgres"]).env("TONGJANG_TEST_POSTGRES_BIN", folder);
    command.env_remove("TONGJANG_TEST_POSTGRES_URL");
    run(command)
}

/// Runs tests; with none at all it fails too, since then nothing was shown.
fn run(mut command: Command) -> Result<Done> {
    // A snapshot that differs is a failure, never a file to be written.
    command.env("INSTA_UPDATE", "no").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = running.stdout.take().expect("stdout was asked for");
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the tests print")?;
        println!("{line}");
        tally.take(&line);
    }
    let status = running.wait().context("cannot wait for the tests")?;
    if !status.success() {
        bail!("{command:?} ended with {status}\n{tally}");
    }
    if tally.passed == 0 {
        bail!("no test was run");
    }
    Ok(Done::Tests(tally))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_all_test_binaries_are_summed() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test money::a_float_is_refused ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.01s",
            "test result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out",
        ] {
            tally.take(line);
        }
        assert_eq!(tally, Tally { passed: 43, failed: 2, skipped: 1 });
        assert_eq!(tally.to_string(), "43 passed, 2 failed, 1 skipped");
    }

    fn printing(text: &str) -> Command {
        let mut command = Command::new("printf");
        command.arg(text);
        command
    }

    #[test]
    fn what_several_runs_passed_is_summed() {
        let mut sum = Tally::default();
        for counts in ["3 passed; 0 failed; 1 ignored", "4 passed; 0 failed; 0 ignored"] {
            let done = run(printing(&format!("test result: ok. {counts}; 0 measured\n")));
            let Ok(Done::Tests(tally)) = done else { panic!("the run is one of tests") };
            sum += tally;
        }
        assert_eq!(sum, Tally { passed: 7, failed: 0, skipped: 1 });
    }

    #[test]
    fn a_run_without_a_test_fails() {
        assert!(run(printing("test result: ok. 0 passed; 0 failed; 0 ignored\n")).is_err());
    }
}
