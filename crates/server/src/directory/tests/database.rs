//! A database with the directory's tables, for one test.

use tongjang_cluster::{Cluster, Database};
use tongjang_store::postgres::{Passwords, Pool, PoolLimits, Profile, Target};

use crate::directory::Directory;

const TABLES: &str = include_str!("../../../../store/src/postgres/migrations/0004-directory.sql");

/// The roles are the whole server's, so that another test may make them at the same time.
const ROLE: &str = "DO $$ BEGIN CREATE ROLE tongjang_app;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;";

/// The tables, and the ways to them.
pub(super) struct Tables(Database);

impl Tables {
    /// Empty tables in a new database.
    pub(super) fn new() -> Self {
        Self::on(Cluster::shared())
    }

    /// The same on a server that is not everybody's.
    pub(super) fn on(cluster: &Cluster) -> Self {
        let database = cluster.database();
        cluster.execute(&database, ROLE);
        let schema = "CREATE SCHEMA tongjang; GRANT USAGE ON SCHEMA tongjang TO tongjang_app;";
        cluster.execute(&database, &format!("{schema} {TABLES}"));
        Self(database)
    }

    /// The directory as a server has it. Each has a pool of its own.
    pub(super) async fn directory(&self) -> Directory {
        Directory::on_postgres(self.pool()).await.unwrap()
    }

    /// Connections with the rights of a server.
    pub(super) fn pool(&self) -> Pool {
        pool_to(self.0.url(), Profile::DIRECTORY)
    }

    /// Connections with the rights of the superuser.
    pub(super) fn superuser(&self) -> Pool {
        pool_to(self.0.url(), Profile::OWNER)
    }

    /// Connections of a server, with these settings.
    pub(super) fn pool_with(&self, settings: &'static str) -> Pool {
        pool_to(self.0.url(), Profile { settings, ..Profile::DIRECTORY })
    }

    /// Whether some connection waits for a lock of another.
    pub(super) fn has_one_waiting(&self) -> bool {
        let query = "SELECT 'yes' FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        Cluster::shared().query_text(&self.0, query).is_some()
    }
}

/// A pool of a few connections.
pub(super) fn pool_to(url: &str, profile: Profile) -> Pool {
    let target = Target::new(url, &Passwords::default()).unwrap();
    target.pool("tests", profile, PoolLimits { size: 4, ..PoolLimits::default() })
}
