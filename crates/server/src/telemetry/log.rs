//! The log: a line an event, to standard error, for people or for machines.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Starts the log. `directives` says what is logged, e.g. `info` or `tongjang_server=debug`.
///
/// # Errors
/// If it was started before.
pub fn start_log(directives: EnvFilter, format: LogFormat) -> Result<(), TryInitError> {
    use std::io::IsTerminal;
    use tracing_subscriber::util::SubscriberInitExt;

    let log = tracing_subscriber::fmt().with_env_filter(directives).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal();
    match format {
        LogFormat::Text => log.with_ansi(colours).with_target(false).finish().try_init(),
        LogFormat::Json => log.json().flatten_event(true).finish().try_init(),
    }
}
