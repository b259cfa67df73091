//! The step `deny`: what the dependencies are, where they come from and under which licence.
//!
//! The rules stand in `deny.toml`. The advisory database is fetched first by itself, so that a
//! machine without the way to it still makes the other checks.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::steps::{Done, cargo, is_ci, must};

/// The version that `deny.toml` is written for; `.ci/run` installs this one.
pub(crate) const CARGO_DENY: &str = "0.20.2";

/// How long fetching the advisory database may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn step(root: &Path) -> Result<Done> {
    let version = cargo(root, ["deny", "--version"]).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        let way = format!("cargo install cargo-deny --locked --version {CARGO_DENY}");
        if is_ci() {
            bail!("cargo-deny is not installed; `{way}`");
        }
        return Ok(Done::Skipped(format!("cargo-deny is not installed; `{way}`")));
    }
    must(cargo(root, ["deny", "--locked", "check", "bans", "licenses", "sources"]))?;
    let mut fetch = cargo(root, ["deny", "--locked", "fetch", "db"]);
    fetch.stdout(Stdio::null()).stderr(Stdio::null());
    if !ends_well_within(fetch, FETCH_TIMEOUT)? {
        println!("deny: the advisory database cannot be fetched here, so advisories are unchecked");
        return Ok(Done::Passed);
    }
    must(cargo(root, ["deny", "--locked", "check", "--disable-fetch", "advisories"]))
}

/// Whether `command` succeeds before `limit` is over; if it takes longer it is ended.
#[expect(clippy::disallowed_methods, reason = "a limit on time needs a clock")]
fn ends_well_within(mut command: Command, limit: Duration) -> Result<bool> {
    let began = Instant::now();
    let mut running = command.stdin(Stdio::null()).spawn().context("cannot start cargo deny")?;
    loop {
        if let Some(status) = running.try_wait()? {
            return Ok(status.success());
        }
        if began.elapsed() >= limit {
            running.kill()?;
            running.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_that_runs_ci_installs_the_version_that_is_checked_for() {
        let script = std::fs::read_to_string(crate::root().join(".ci/run")).unwrap_or_default();
        assert!(script.contains(&format!("cargo_deny={CARGO_DENY}\n")), "{script}");
    }

    #[test]
    fn a_fetch_that_hangs_is_ended() {
        let mut hangs = Command::new("sleep");
        hangs.arg("60");
        assert!(matches!(ends_well_within(hangs, Duration::from_millis(60)), Ok(false)));
        assert!(matches!(ends_well_within(Command::new("true"), FETCH_TIMEOUT), Ok(true)));
    }
}
