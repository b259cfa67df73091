//! A ledger in a database of its own.

use tongjang_cluster::{Cluster, Database};

use crate::process::run;

/// A new database on `cluster` with an empty ledger in `parts`.
pub(crate) fn migrated(cluster: &Cluster, parts: u16) -> Database {
    let database = cluster.database();
    migrate(&database, parts);
    database
}

/// Makes an empty ledger in `parts` in the database.
pub(crate) fn migrate(database: &Database, parts: u16) {
    run(&["migrate", "--store", database.url(), "--parts", &parts.to_string()]);
}
