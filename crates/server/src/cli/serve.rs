//! `tongjang serve`: runs the server until it is told to stop or cannot go on.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::print;
use crate::config::{Config, StoreArgs};
use crate::serve::{Server, Surroundings, open_more_files};
use crate::telemetry::{LogFormat, start_log};

/// The options of `tongjang serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) config: Config,
    /// What to log, e.g. `info`, `debug` or `warn,tongjang_server=debug`
    #[arg(long, env = "TONGJANG_LOG", value_name = "DIRECTIVES", default_value = "info")]
    log: EnvFilter,
    /// How to log: for people or for machines
    #[arg(long, env = "TONGJANG_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// How often the teller is looked after.
const LOOK: Duration = Duration::from_millis(200);

/// Runs the server.
pub(super) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    start_log(args.log, args.log_format)?;
    // A panic is a bug, wherever it is caught: it belongs into the log, with its place.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a bug")));
    open_more_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run(args.config));
    // A query that still runs changes nothing and is not waited for.
    runtime.shutdown_background();
    ended
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during a long start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let ledger = config.ledger.clone();
    let starting = Server::start(config, Surroundings::default());
    let server = tokio::select! {
        server = starting => server?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    print(&greeting(server.address(), &ledger))?;
    tell(&[NotifyState::Ready]);
    let failed = until_told(&server, &mut terminate, &mut interrupt).await;
    tell(&[NotifyState::Stopping]);
    tracing::info!("stopping");
    let stopped = tokio::select! {
        stopped = server.stop() => stopped,
        _ = terminate.recv() => return Ok(at_once()),
        _ = interrupt.recv() => return Ok(at_once()),
    };
    stopped.context("the ledger did not close in order")?;
    anyhow::ensure!(!failed, "the teller is gone; the log says why");
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Waits for a signal, or for the teller's death: `true`.
async fn until_told(
    server: &Server,
    terminate: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) -> bool {
    let watchdog = sd_notify::watchdog_enabled();
    let mut looks = tokio::time::interval(watchdog.map_or(LOOK, |limit| LOOK.min(limit / 3)));
    loop {
        tokio::select! {
            _ = terminate.recv() => return false,
            _ = interrupt.recv() => return false,
            _ = looks.tick() => {
                if server.has_failed() {
                    tracing::error!("the teller is gone: nothing more can be booked");
                    return true;
                }
                if watchdog.is_some() {
                    tell(&[NotifyState::Watchdog]);
                }
            }
        }
    }
}

/// Tells the service manager, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

fn at_once() -> ExitCode {
    tracing::warn!("told twice: stopping at once; what was answered is durable");
    // Whatever still waits in a thread is not waited for.
    std::process::exit(1)
}

fn greeting(address: SocketAddr, ledger: &StoreArgs) -> String {
    let place = match &ledger.store {
        None => {
            let data = std::fs::canonicalize(&ledger.data);
            format!("data   {}", data.as_ref().unwrap_or(&ledger.data).display())
        }
        Some(store) => format!("store  {store}"),
    };
    let version = super::VERSION;
    let url = format!("http://{address}");
    format!(
        "Tongjang {version} listens on {url}\n\
         {place}\n\
         docs   {url}/docs\n\
         try    curl -s {url}/v1/users -H 'content-type: application/json' \\\n\
         \x20         -d '{{\"username\": \"minji\", \"password\": \"correct horse battery\"}}' \
         -w '\\n'\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_names_the_store_and_no_password() {
        let mut ledger = StoreArgs::in_folder("/none/such");
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert!(greeting(address, &ledger).contains("\ndata   /none/such\n"));
        ledger.store = Some("postgres://jiwon:secret@db/ledger".parse().unwrap());
        let greeting = greeting(address, &ledger);
        assert!(greeting.contains("\nstore  postgres://jiwon@db/ledger\n"), "{greeting}");
        assert!(!greeting.contains("secret") && !greeting.contains("/none/such"), "{greeting}");
    }
}
