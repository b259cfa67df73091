//! A database of Citus: one of the same name on each node, and the nodes made known to it.

use tokio_postgres::Config;

use crate::{Trouble, sql};

/// The other nodes of the cluster that the coordinator's own database knows, and the coordinator as
/// it calls itself, if it does.
#[derive(Debug)]
struct Nodes {
    coordinator: Option<Node>,
    workers: Vec<Node>,
}

/// Where a node listens.
#[derive(Debug)]
struct Node {
    host: String,
    port: u16,
}

impl Nodes {
    fn of(admin: &Config) -> Result<Self, Trouble> {
        // Where the extension is not, the coordinator is the only node.
        let known = "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL";
        if sql::column(admin, known)? != [Some("t".to_owned())] {
            return Ok(Self { coordinator: None, workers: Vec::new() });
        }
        let list = |which: &str| -> Result<Vec<Node>, Trouble> {
            let query = format!(
                "SELECT nodeport || ' ' || nodename FROM pg_dist_node
                    WHERE isactive AND noderole = 'primary' AND {which} ORDER BY nodeid"
            );
            let rows = sql::column(admin, &query)?;
            Ok(rows.iter().flatten().filter_map(|row| Node::read(row)).collect())
        };
        Ok(Self { coordinator: list("groupid = 0")?.pop(), workers: list("groupid <> 0")? })
    }
}

impl Node {
    fn read(row: &str) -> Option<Self> {
        let (port, host) = row.split_once(' ')?;
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }

    /// The way to the node, as the user of `admin`.
    fn config(&self, admin: &Config) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port);
        if let Some(user) = admin.get_user() {
            config.user(user);
        }
        if let Some(password) = admin.get_password() {
            config.password(password);
        }
        config.dbname(admin.get_dbname().unwrap_or("postgres"));
        config
    }
}

/// Makes a database of Citus of the new database `name`, to which `coordinator` leads. It returns
/// the ways by which the others of that name are dropped.
pub(crate) fn spread(
    admin: &Config,
    coordinator: &Config,
    name: &str,
) -> Result<Vec<Config>, Trouble> {
    let nodes = Nodes::of(admin)?;
    let mut removers = Vec::new();
    for worker in &nodes.workers {
        let remover = worker.config(admin);
        sql::execute(&remover, &format!("CREATE DATABASE {name}"))?;
        let mut within = remover.clone();
        removers.push(remover);
        sql::execute(within.dbname(name), EXTENSION)?;
    }
    sql::execute(coordinator, EXTENSION)?;
    let coordinators = nodes.coordinator.iter().map(|node| ("citus_set_coordinator_host", node));
    let workers = nodes.workers.iter().map(|node| ("citus_add_node", node));
    for (function, Node { host, port }) in coordinators.chain(workers) {
        sql::execute(coordinator, &format!("SELECT {function}('{host}', {port})"))?;
    }
    Ok(removers)
}

const EXTENSION: &str = "CREATE EXTENSION citus";
