//! What `cargo xtask` can be asked for: the checks by name, cheapest first, and `ci` for all.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{supply_chain, test_run, tidy, unit_file};

/// What a check that did not fail has to say.
pub(crate) enum Done {
    /// It passed.
    Passed,
    /// The tests passed, so many.
    Tests(test_run::Tally),
    /// It could not be made, for this reason.
    Skipped(String),
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Path) -> Result<Done>,
}

/// All checks, in the order of `ci`: what fails fast comes first.
const STEPS: [Step; 9] = [
    Step { name: "fmt", about: "the layout of the code", run: fmt },
    Step { name: "tidy", about: "the house style, as far as text shows it", run: tidy::step },
    Step { name: "unit", about: "the systemd unit", run: unit_file::step },
    Step { name: "deny", about: "licences, sources, bans, advisories", run: supply_chain::step },
    Step { name: "clippy", about: "lints", run: clippy },
    Step { name: "test", about: "all tests", run: test_run::all },
    Step { name: "http", about: "HTTP tests on a database", run: test_run::http_on_a_database },
    Step { name: "newer", about: "a newer PostgreSQL", run: test_run::on_newer_postgres },
    Step { name: "doc", about: "the reference pages, without a warning", run: doc },
];

pub(crate) fn usage() -> String {
    let mut text = String::from("usage: cargo xtask STEP\n\n  ci      all of these, in this order");
    for step in &STEPS {
        text += &format!("\n  {:7} {}", step.name, step.about);
    }
    text
}

/// Runs the step `name`, or all for `ci`, and prints what came of it. The tests' count is the
/// last line, also where another step follows them.
#[expect(clippy::disallowed_methods, reason = "how long a step took is printed, never tested")]
pub(crate) fn run(name: &str, root: &Path) -> Result<()> {
    let asked: Vec<&Step> = STEPS.iter().filter(|step| name == "ci" || step.name == name).collect();
    if asked.is_empty() {
        bail!("there is no step `{name}`\n\n{}", usage());
    }
    let mut report = Vec::new();
    let mut tests: Option<test_run::Tally> = None;
    for step in asked {
        println!("\n=== {}: {}", step.name, step.about);
        let began = Instant::now();
        let done = (step.run)(root).with_context(|| format!("step `{}` failed", step.name))?;
        let took = began.elapsed();
        println!("=== {} took {}", step.name, spelled(took));
        report.push(match done {
            Done::Passed => format!("{:7} {:>8}  passed", step.name, spelled(took)),
            Done::Skipped(why) => format!("{:7} {:>8}  skipped: {why}", step.name, spelled(took)),
            Done::Tests(tally) => {
                let line = format!("{:7} {:>8}  passed", step.name, spelled(took));
                *tests.get_or_insert_default() += tally;
                line
            }
        });
    }
    println!("\n{}", report.join("\n"));
    if let Some(tally) = tests {
        println!("\n{tally}");
    }
    Ok(())
}

fn spelled(took: Duration) -> String {
    format!("{}.{} s", took.as_secs(), took.subsec_millis() / 100)
}

/// Whether a missing tool is a failure: in CI nothing may be skipped silently.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// The cargo that runs us, in the workspace.
pub(crate) fn cargo<I: IntoIterator<Item: AsRef<OsStr>>>(root: &Path, arguments: I) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments);
    command
}

/// Runs `command` to its end and fails if it does.
pub(crate) fn must(mut command: Command) -> Result<Done> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(Done::Passed)
}

fn fmt(root: &Path) -> Result<Done> {
    must(cargo(root, ["fmt", "--all", "--check"]))
}

fn clippy(root: &Path) -> Result<Done> {
    must(cargo(root, ["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"]))
}

fn doc(root: &Path) -> Result<Done> {
    let mut command = cargo(
        root,
        ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"],
    );
    // The pages are always built with the private items, so a link to one never breaks.
    command.env("RUSTDOCFLAGS", "-Dwarnings -Arustdoc::private_intra_doc_links");
    must(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_does_not_exist_is_refused_with_the_list_of_those_that_do() {
        let error = run("lint", Path::new(".")).err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("`lint`") && text.contains("clippy")));
    }

    #[test]
    fn a_command_that_fails_fails_its_step() {
        assert!(must(Command::new("false")).is_err());
        assert!(must(Command::new("true")).is_ok());
    }
}
