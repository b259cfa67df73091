//! The step `unit`: systemd itself reads `deploy/tongjang.service` and says what it thinks of it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::{Done, is_ci};

const UNIT: &str = "deploy/tongjang.service";
const PROGRAM: &str = "/usr/local/bin/tongjang";

/// The exposure that `systemd-analyze security` may find, in tenths of a point.
const MOST_EXPOSURE: &str = "15";

pub(crate) fn step(root: &Path) -> Result<Done> {
    let version = Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        if is_ci() {
            bail!("systemd-analyze is not installed");
        }
        return Ok(Done::Skipped("systemd-analyze is not installed".into()));
    }
    let unit = std::fs::read_to_string(root.join(UNIT)).with_context(|| format!("read {UNIT}"))?;
    let here = std::env::current_exe().context("where this program lies")?;
    let copy = with_program(&unit, &here)?;
    let folder = std::env::temp_dir().join(format!("tongjang-unit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).context("make a temporary folder")?;
    let path = folder.join("tongjang.service");
    let checked = std::fs::write(&path, copy).context("write the copy").and_then(|()| check(&path));
    std::fs::remove_dir_all(&folder).context("remove the temporary folder")?;
    checked
}

/// The unit with a program that exists on this machine, since systemd looks for it.
fn with_program(unit: &str, program: &Path) -> Result<String> {
    let copy = unit.replace(PROGRAM, &program.to_string_lossy());
    if copy == unit {
        bail!("{UNIT} does not start {PROGRAM}");
    }
    Ok(copy)
}

fn check(unit: &Path) -> Result<Done> {
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(unit)
        .output()
        .context("cannot start systemd-analyze")?;
    let said = String::from_utf8_lossy(&verify.stderr);
    if !verify.status.success() || !said.trim().is_empty() {
        bail!("systemd-analyze verify: {}\n{said}", verify.status);
    }
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold", MOST_EXPOSURE])
        .arg(unit)
        .output()
        .context("cannot start systemd-analyze")?;
    let report = String::from_utf8_lossy(&security.stdout);
    println!("{}", report.lines().rfind(|line| line.contains("exposure level")).unwrap_or("?"));
    if !security.status.success() {
        bail!("the unit is more exposed than {MOST_EXPOSURE} tenths\n{report}");
    }
    Ok(Done::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_starts_a_program_that_exists() {
        let unit = format!("[Service]\nExecStart={PROGRAM} serve\n");
        let copy = with_program(&unit, Path::new("/bin/true")).ok();
        assert_eq!(copy.as_deref(), Some("[Service]\nExecStart=/bin/true serve\n"));
    }

    #[test]
    fn a_unit_that_starts_something_else_is_refused() {
        assert!(with_program("[Service]\nExecStart=/bin/sh\n", Path::new("/bin/true")).is_err());
    }
}
