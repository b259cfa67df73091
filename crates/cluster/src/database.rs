//! A database that one test has for itself.

use std::time::Duration;

use tokio_postgres::Config;

use crate::sql;

/// How long a test waits at its end for its database to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// An empty database with a name of its own. It is dropped with this, whoever is still connected.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    /// The ways to the databases beside it, from which it is dropped: on its server, and on each
    /// node that has some of it.
    admins: Vec<Config>,
    citus: bool,
}

impl Database {
    pub(crate) fn new(name: String, url: String, admin: Config) -> Self {
        Self { name, url, admins: vec![admin], citus: false }
    }

    /// Takes note that it has Citus, and of the other nodes that have a database of this name.
    pub(crate) fn spread_to(&mut self, admins: Vec<Config>) {
        self.citus = true;
        self.admins.extend(admins);
    }

    /// Its name, which needs no quotes in SQL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, as any client takes it: `postgres://postgres@127.0.0.1:PORT/NAME`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the extension of Citus is in it.
    pub fn has_citus(&self) -> bool {
        self.citus
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Not every server that speaks PostgreSQL's language knows the first. The server may also
        // be gone; then the database stays.
        for admin in &self.admins {
            for how in [" WITH (FORCE)", ""] {
                let statement = format!("DROP DATABASE {}{how}", self.name);
                let work =
                    async |client: &tokio_postgres::Client| client.batch_execute(&statement).await;
                if sql::ask(admin, PATIENCE, work).is_ok() {
                    break;
                }
            }
        }
    }
}
