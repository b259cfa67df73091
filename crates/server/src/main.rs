//! The program. All that it does is in the library.

use std::process::ExitCode;

/// Gives memory in pages of two megabytes where the kernel has them (`.cargo/config.toml` asks for
/// it): a million accounts are then not a million more look-ups of where a page is.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tongjang_server::cli::main()
}
