//! A short word with the server: connect, ask, leave.
//!
//! Each goes on a thread and a runtime of its own, so that async tests may call it as well.

use std::thread;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::Trouble;

/// Who the server sees; [`crate::Cluster::backends`] leaves it out.
pub(crate) const OUR_NAME: &str = "tongjang-cluster";
/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `statements`, several of them with `;` between.
pub(crate) fn execute(config: &Config, statements: &str) -> Result<(), Trouble> {
    ask(config, PATIENCE, async |client| client.batch_execute(statements).await)
        .map_err(|cause| Trouble::new(statements, cause))
}

/// The first column of each row, as text.
pub(crate) fn column(config: &Config, query: &str) -> Result<Vec<Option<String>>, Trouble> {
    let answer = ask(config, PATIENCE, async |client| client.simple_query(query).await)
        .map_err(|cause| Trouble::new(query, cause))?;
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    };
    Ok(answer.iter().filter_map(row).collect())
}

/// What `work` gives on a connection made for it, within `patience`.
pub(crate) fn ask<T: Send>(
    config: &Config,
    patience: Duration,
    work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error> + Send,
) -> Result<T, Trouble> {
    let mut config = config.clone();
    config.application_name(OUR_NAME).connect_timeout(patience);
    let talk = async move || {
        let (client, connection) = config.connect(NoTls).await.map_err(told)?;
        let connection = tokio::spawn(connection);
        let answer = work(&client).await.map_err(told);
        // The connection says goodbye when its client is gone.
        drop(client);
        let _ = connection.await;
        answer
    };
    let talk = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Trouble::new("cannot start a runtime", error))?;
        runtime.block_on(async {
            let late = |_| Trouble(format!("no answer within {} s", patience.as_secs()));
            tokio::time::timeout(patience, talk()).await.map_err(late)?
        })
    };
    let joined = thread::scope(|scope| scope.spawn(talk).join());
    joined.map_err(|_| Trouble("the thread that asks panicked".into()))?
}

/// The server's own words, which the error's do not hold.
fn told(error: tokio_postgres::Error) -> Trouble {
    match error.as_db_error() {
        Some(answer) => Trouble::new(answer.code().code(), answer.message()),
        None => Trouble(error.to_string()),
    }
}
