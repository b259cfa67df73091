//! A second server that follows the first and takes over from it.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::time::Duration;

use tokio_postgres::NoTls;
use tongjang_cluster::{Cluster, Database};

fn sum(cluster: &Cluster, database: &Database) -> String {
    cluster.query_text(database, "SELECT coalesce(sum(b), 0) FROM a").unwrap()
}

#[tokio::test]
async fn what_was_committed_is_on_the_standby_that_takes_over() {
    let mut primary = Cluster::start();
    let database = primary.database();
    primary.execute(&database, "CREATE TABLE a (b int); INSERT INTO a VALUES (7)");
    let mut standby = primary.standby();
    assert_ne!(standby.port(), primary.port());
    assert_eq!(standby.query_text(&database, "SELECT pg_is_in_recovery()").unwrap(), "t");
    for _ in 0..20 {
        primary.execute(&database, "INSERT INTO a VALUES (1)");
    }
    primary.kill();
    standby.promote();
    assert_eq!(sum(&standby, &database), "27");

    // It waits for no other one, although it came with the configuration of one that does.
    standby.execute(&database, "INSERT INTO a VALUES (1)");
    let url = standby.url_of(&database);
    assert!(url.ends_with(database.name()) && url != database.url(), "{url}");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let sum: i64 = client.query_one("SELECT sum(b) FROM a", &[]).await.unwrap().get(0);
    assert_eq!(sum, 28);
}

#[tokio::test]
async fn nothing_is_committed_that_the_standby_has_not() {
    let mut primary = Cluster::start();
    let database = primary.database();
    primary.execute(&database, "CREATE TABLE a (b int)");
    let mut standby = primary.standby();
    standby.kill();
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let insert = client.batch_execute("INSERT INTO a VALUES (1)");
    tokio::pin!(insert);
    let early = tokio::time::timeout(Duration::from_secs(1), &mut insert).await;
    assert!(early.is_err(), "{early:?}");
    standby.start_again();
    insert.await.unwrap();
    assert_eq!(sum(&primary, &database), "1");
}

#[test]
fn the_newest_of_two_standbys_is_waited_for() {
    let mut primary = Cluster::start();
    let database = primary.database();
    let mut first = primary.standby();
    let second = primary.standby();
    first.kill();
    primary.execute(&database, "CREATE TABLE a (b int); INSERT INTO a VALUES (1)");
    let query = "SELECT to_regclass('a') IS NOT NULL";
    // What is written is not yet what is shown, but it will be.
    while second.query_text(&database, query).unwrap() == "f" {
        std::thread::sleep(Duration::from_millis(10));
    }
}
