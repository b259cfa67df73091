//! The step `test`: runs every test binary, shows its output as it comes, and sums it up.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

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

/// Runs all tests; with none at all it fails too, since then nothing was shown.
pub(crate) fn step(root: &Path) -> Result<Done> {
    let mut command = cargo(root, ["test", "--workspace", "--locked", "--no-fail-fast"]);
    // A snapshot that differs is a failure, never a file to be written.
    command.env("INSTA_UPDATE", "no").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = command.spawn().context("cannot start cargo test")?;
    let output = running.stdout.take().expect("stdout was asked for");
    let mut tally = Tally::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the tests print")?;
        println!("{line}");
        tally.take(&line);
    }
    let status = running.wait().context("cannot wait for cargo test")?;
    if !status.success() {
        bail!("cargo test ended with {status}\n{tally}");
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
}
