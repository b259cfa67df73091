//! The project's own checks, each by its name: `cargo xtask ci` runs them all.
//!
//! `steps` knows what there is and in which order, `tidy` is the one that we wrote ourselves, the
//! others call a tool. A check whose tool is missing is skipped and said, except in CI.

mod steps;
mod supply_chain;
mod test_run;
mod tidy;
mod unit_file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let [name] = asked.as_slice() else {
        eprintln!("{}", steps::usage());
        return ExitCode::from(2);
    };
    match steps::run(name, &root()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The folder of the workspace.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask lies in the workspace").to_path_buf()
}
