//! Who may bring a schema up to date.

use tokio_postgres::NoTls;
use tongjang_cluster::Cluster;
use tongjang_store::postgres::{Layout, Parts, schema};

use crate::certify::tellers::RUNTIME;

/// As on a server that somebody else runs: its users may make roles and databases, and no more.
#[test]
fn whoever_makes_roles_and_owns_the_database_need_not_be_a_superuser() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let admin = format!(
        "CREATE ROLE admin LOGIN CREATEROLE; ALTER DATABASE {} OWNER TO admin",
        database.name()
    );
    cluster.execute(&database, &admin);
    let url = database.url().replacen("//postgres@", "//admin@", 1);
    assert_ne!(url, database.url());
    let layout = Layout { parts: Parts::new(2).unwrap(), id: 7, citus: false };
    RUNTIME.block_on(async {
        let (mut client, driver) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(driver);
        let migrated = schema::migrate(&mut client, layout).await.unwrap();
        assert_eq!(migrated.version, schema::known());
        // And again, when there is nothing to do.
        assert_eq!(schema::migrate(&mut client, layout).await.unwrap().steps, Vec::<&str>::new());
    });
    drop(database);
}
