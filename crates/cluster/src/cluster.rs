//! The face of the crate: a server of one's own, or the one that all tests of a program share.

use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::process::Signal;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::database::Database;
use crate::server::Server;
use crate::{OrPanic as _, Trouble, nodes, process, sql};

/// The address of a server that [`Cluster::shared`] uses instead of starting one.
const URL_VARIABLE: &str = "TONGJANG_TEST_POSTGRES_URL";
const CITUS_VARIABLE: &str = "TONGJANG_TEST_CITUS";

/// Whether the databases are to be Citus's: `TONGJANG_TEST_CITUS=1`.
pub fn citus() -> bool {
    env::var(CITUS_VARIABLE).is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

fn foreign_url() -> Option<String> {
    env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty())
}

/// A PostgreSQL server, in its own words a database cluster. Dropped, it ends, and its folder goes
/// a moment later; both also go if the test process ends without that, by whatever way.
#[derive(Debug)]
pub struct Cluster {
    home: Home,
    citus: bool,
}

/// Whose server it is.
#[derive(Debug)]
enum Home {
    Own(Server),
    /// Somebody else's at this address, of which we only have databases.
    Foreign(String),
}

impl Cluster {
    /// A new server with nothing in it, on 127.0.0.1 and a port of its own. What it commits is
    /// synced as on any other; only its memory is small.
    #[track_caller]
    pub fn start() -> Self {
        // A server that the environment names says nothing about those that are started here.
        let citus = citus() && foreign_url().is_none();
        let settings = if citus { "shared_preload_libraries = 'citus'" } else { "" };
        Self::of(Server::create(settings).or_panic(), citus)
    }

    /// The server that all tests of this program share. The first call starts it, or takes the
    /// one of `TONGJANG_TEST_POSTGRES_URL`.
    #[track_caller]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match foreign_url() {
            Some(url) => Self { home: Home::Foreign(url), citus: citus() },
            None => Self::start(),
        })
    }

    /// A new, empty database; with Citus in it if [`Cluster::has_citus`].
    #[track_caller]
    pub fn database(&self) -> Database {
        self.database_with("")
    }

    /// The same, with what else is said in `CREATE DATABASE`.
    #[track_caller]
    pub(crate) fn database_with(&self, how: &str) -> Database {
        let random = RandomState::new().hash_one(std::process::id());
        let name = format!("tongjang_test_{random:016x}");
        self.administer(&format!("CREATE DATABASE {name} {how}"));
        let url = self.url(&name);
        let mut remover = self.admin();
        if let Home::Own(_) = self.home {
            // When it is dropped, the standby that a commit would wait for may be gone.
            remover.options("-c synchronous_commit=local");
        }
        let mut database = Database::new(name, url, remover);
        if self.citus {
            let (admin, coordinator) = (self.admin(), self.config(database.name()));
            let others = nodes::spread(&admin, &coordinator, database.name());
            database.spread_to(others.or_panic());
        }
        database
    }

    /// Whether its databases have the extension of Citus.
    pub fn has_citus(&self) -> bool {
        self.citus
    }

    /// Whether it is the server that the environment names, and not ours.
    pub fn is_foreign(&self) -> bool {
        matches!(self.home, Home::Foreign(_))
    }

    /// Where it listens, as its clients have it.
    #[track_caller]
    pub(crate) fn address(&self) -> (String, u16) {
        if let Home::Own(server) = &self.home {
            return ("127.0.0.1".to_owned(), server.port);
        }
        let config = self.admin();
        let port = config.get_ports().first().copied().unwrap_or(5432);
        match config.get_hosts().first() {
            Some(Host::Tcp(name)) => (name.clone(), port),
            _ => panic!("a line to the server is cut, so it has to be reached by TCP"),
        }
    }

    /// Runs a batch of SQL as superuser.
    #[track_caller]
    pub fn execute(&self, database: &Database, statements: &str) {
        sql::execute(&self.config(database.name()), statements).or_panic();
    }

    /// The first column of the first row as text; `None` if it is null or there is no row.
    #[track_caller]
    pub fn query_text(&self, database: &Database, query: &str) -> Option<String> {
        sql::column(&self.config(database.name()), query).or_panic().into_iter().next().flatten()
    }

    /// The ids of the server's processes for the connections to `database`: all of them, or those
    /// of one `application_name`.
    #[track_caller]
    pub fn backends(&self, database: &Database, application_name: Option<&str>) -> Vec<u32> {
        let name = application_name.map_or_else(
            // The nodes of Citus talk to each other all the time.
            || format!("application_name NOT SIMILAR TO '{}|citus_internal%'", sql::OUR_NAME),
            |name| format!("application_name = '{}'", name.replace('\'', "''")),
        );
        let query = format!(
            "SELECT pid FROM pg_stat_activity
                WHERE datname = '{}' AND backend_type = 'client backend' AND {name} ORDER BY pid",
            database.name()
        );
        let ids = sql::column(&self.admin(), &query).or_panic();
        ids.iter().flatten().filter_map(|id| id.parse().ok()).collect()
    }

    /// Ends one connection from the server's side, as an administrator does; whether it was there.
    #[track_caller]
    pub fn terminate_backend(&self, id: u32) -> bool {
        let query = format!("SELECT pg_terminate_backend({id})");
        sql::column(&self.admin(), &query).or_panic() == [Some("t".to_owned())]
    }

    /// The address of `database` on this server, if that is another one than the server on which
    /// it was made: a standby.
    pub fn url_of(&self, database: &Database) -> String {
        self.url(database.name())
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.own().port
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.own().data()
    }

    /// What it has written into its log so far.
    pub fn log(&self) -> String {
        self.own().log()
    }

    /// `kill -9`, to the server and all its processes at once, also in the middle of a commit.
    /// Returns when all are gone.
    pub fn kill(&mut self) {
        self.own_mut().kill();
    }

    /// Ends it as an administrator does who does not wait for anybody: connections are cut, what
    /// was not committed is rolled back, the data is left in order.
    pub fn stop_fast(&mut self) {
        self.own_mut().stop(Signal::INT);
    }

    /// Starts it after [`Cluster::kill`] or [`Cluster::stop_fast`] on the same port with the same
    /// data, and returns when it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.own_mut().start().or_panic();
    }

    /// Sets a parameter of its configuration, and restarts the server.
    #[track_caller]
    pub fn set(&mut self, parameter: &str, value: &str) {
        let server = self.own_mut();
        server.configure(&setting(parameter, value)).or_panic();
        server.stop(Signal::INT);
        server.start().or_panic();
    }

    /// `kill -9` to one connection's process. The server then ends all others and recovers as
    /// after a crash, by itself; [`Cluster::wait`] waits for that.
    #[track_caller]
    pub fn kill_backend(&mut self, id: u32) {
        let server = self.own_mut();
        let ours = server.id().is_some_and(|server| process::children(server).contains(&id));
        assert!(ours, "{id} is no process of this server");
        process::signal(id, Signal::KILL);
    }

    /// Returns when it answers.
    #[track_caller]
    pub fn wait(&mut self) {
        self.own_mut().wait_until_it_answers().or_panic();
    }

    /// Runs SQL that belongs to no database.
    #[track_caller]
    pub(crate) fn administer(&self, statements: &str) {
        sql::execute(&self.admin(), statements).or_panic();
    }

    /// The way to the database that is always there.
    #[track_caller]
    fn admin(&self) -> Config {
        match &self.home {
            Home::Own(server) => server.config("postgres"),
            Home::Foreign(url) => parsed(url).or_panic(),
        }
    }

    /// The way to a database, as superuser.
    #[track_caller]
    fn config(&self, database: &str) -> Config {
        let mut config = self.admin();
        config.dbname(database);
        config
    }

    fn url(&self, database: &str) -> String {
        match &self.home {
            Home::Own(server) => {
                format!("postgres://postgres@127.0.0.1:{}/{database}", server.port)
            }
            Home::Foreign(url) => with_database(url, database),
        }
    }

    pub(crate) fn of(server: Server, citus: bool) -> Self {
        Self { home: Home::Own(server), citus }
    }

    pub(crate) fn own(&self) -> &Server {
        match &self.home {
            Home::Own(server) => server,
            Home::Foreign(_) => panic!("{URL_VARIABLE} names a server that is not ours"),
        }
    }

    pub(crate) fn own_mut(&mut self) -> &mut Server {
        match &mut self.home {
            Home::Own(server) => server,
            Home::Foreign(_) => panic!("{URL_VARIABLE} names a server that is not ours"),
        }
    }
}

fn parsed(url: &str) -> Result<Config, Trouble> {
    url.parse().map_err(|error| Trouble::new(URL_VARIABLE, error))
}

/// A line of `postgresql.conf`.
pub(crate) fn setting(parameter: &str, value: &str) -> String {
    format!("{parameter} = '{}'", value.replace('\'', "''"))
}

/// `url` with another database; what stands before and behind it stays.
fn with_database(url: &str, database: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, format!("?{parameters}")),
        None => (url, String::new()),
    };
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..].find('/').map_or(address.len(), |at| host + at);
    format!("{}/{database}{parameters}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_all_but_its_database() {
        for (url, expected) in [
            (
                "postgres://a:b@host:26257/defaultdb?sslmode=disable&x=/y",
                "postgres://a:b@host:26257/t?sslmode=disable&x=/y",
            ),
            ("postgresql://host", "postgresql://host/t"),
            ("postgresql://host/", "postgresql://host/t"),
            ("postgres://one,two:5433/old", "postgres://one,two:5433/t"),
        ] {
            assert_eq!(with_database(url, "t"), expected);
        }
    }
}
