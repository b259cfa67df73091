//! The program. All that it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tongjang_server::cli::main()
}
