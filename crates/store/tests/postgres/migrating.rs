//! Who may bring a schema up to date, and where.

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
    let layout = Layout { parts: Parts::new(2), id: 7, citus: false };
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

fn migrated_to(url: &str, parts: Option<Parts>) -> Result<Parts, String> {
    let layout = Layout { parts, id: 7, citus: false };
    RUNTIME.block_on(async {
        let (mut client, driver) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(driver);
        let migrated = schema::migrate(&mut client, layout).await;
        migrated.map(|migrated| migrated.parts).map_err(|error| error.to_string())
    })
}

#[test]
fn a_database_that_can_hold_no_ledger_gets_none() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let ascii = format!("{}_ascii", database.name());
    let make = format!("CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' TEMPLATE template0");
    cluster.execute(&database, &make);
    let url = database.url().replace(database.name(), &ascii);
    let refused = migrated_to(&url, None).unwrap_err();
    assert!(refused.contains("its encoding is SQL_ASCII"), "{refused}");
    RUNTIME.block_on(async {
        let (client, driver) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(driver);
        let there = "SELECT FROM pg_namespace WHERE nspname = 'tongjang'";
        assert!(client.query_opt(there, &[]).await.unwrap().is_none());
    });
    cluster.execute(&database, &format!("DROP DATABASE {ascii} WITH (FORCE)"));
}

#[test]
fn a_ledger_keeps_its_parts() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    assert_eq!(migrated_to(database.url(), Parts::new(3)), Ok(Parts::new(3).unwrap()));
    for parts in [None, Parts::new(3)] {
        assert_eq!(migrated_to(database.url(), parts), Ok(Parts::new(3).unwrap()));
    }
    let refused = migrated_to(database.url(), Parts::new(4)).unwrap_err();
    assert!(refused.contains("has 3 parts and keeps them"), "{refused}");
    assert!(refused.contains("`tongjang copy` takes it into a new one of 4"), "{refused}");

    let other = cluster.database();
    assert_eq!(migrated_to(other.url(), None), Ok(Parts::USUAL));
}
