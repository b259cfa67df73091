//! Lines that are cut and held: what a client sees, and what the server has done.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::sync::OnceLock;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use tongjang_cluster::{Cluster, Database, Direction, Proxy};

/// A database with an empty table `a`, and a line to it. The server is always our own, for that of
/// the environment may be anywhere.
fn line() -> (&'static Cluster, Database, Proxy) {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(Cluster::start);
    let database = cluster.database();
    cluster.execute(&database, "CREATE TABLE a (b int)");
    (cluster, database, Proxy::to(cluster.port()))
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn sum(cluster: &Cluster, database: &Database) -> String {
    cluster.query_text(database, "SELECT coalesce(sum(b), 0) FROM a").unwrap()
}

#[tokio::test]
async fn a_line_that_is_left_alone_changes_nothing() {
    let (cluster, database, proxy) = line();
    let client = connect(&proxy.url(&database)).await.unwrap();
    client.execute("INSERT INTO a SELECT * FROM generate_series(1, 1000)", &[]).await.unwrap();
    let rows = client.query("SELECT repeat('x', 1000) FROM a", &[]).await.unwrap();
    assert_eq!((rows.len(), sum(cluster, &database).as_str()), (1000, "500500"));
    assert_eq!(proxy.caught(), 0);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_done() {
    let (cluster, database, proxy) = line();
    let client = connect(&proxy.url(&database)).await.unwrap();
    let other = connect(&proxy.url(&database)).await.unwrap();
    for round in 1..=20 {
        proxy.cut_after(b"COMMIT");
        let client = connect(&proxy.url(&database)).await.unwrap();
        client.batch_execute("BEGIN; INSERT INTO a VALUES (1)").await.unwrap();
        assert!(client.batch_execute("COMMIT").await.is_err());
        assert_eq!((proxy.caught(), sum(cluster, &database)), (round, round.to_string()));
    }
    // Only the one that sent it is cut, and only once.
    client.batch_execute("BEGIN; INSERT INTO a VALUES (1); COMMIT").await.unwrap();
    other.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(sum(cluster, &database), "21");
}

#[tokio::test]
async fn a_commit_that_never_arrives_is_not_done() {
    let (cluster, database, proxy) = line();
    for round in 1..=20 {
        proxy.cut_before(b"COMMIT");
        let client = connect(&proxy.url(&database)).await.unwrap();
        client.batch_execute("BEGIN; INSERT INTO a VALUES (1)").await.unwrap();
        assert!(client.batch_execute("COMMIT").await.is_err());
        assert_eq!((proxy.caught(), sum(cluster, &database).as_str()), (round, "0"));
    }
}

#[tokio::test]
async fn a_statement_of_its_own_can_be_caught_too() {
    let (cluster, database, proxy) = line();
    let client = connect(&proxy.url(&database)).await.unwrap();
    let insert = client.prepare("INSERT INTO a VALUES ($1)").await.unwrap();
    // The number as it goes to the server, in four bytes.
    proxy.cut_after(&777_777_i32.to_be_bytes());
    client.execute(&insert, &[&1]).await.unwrap();
    assert!(client.execute(&insert, &[&777_777]).await.is_err());
    assert_eq!((proxy.caught(), sum(cluster, &database).as_str()), (1, "777778"));
}

#[tokio::test]
async fn a_line_is_cut_for_all_and_can_be_had_again() {
    let (_, database, proxy) = line();
    let url = proxy.url(&database);
    let (one, two) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
    proxy.cut();
    assert!(one.simple_query("SELECT 1").await.is_err());
    assert!(two.simple_query("SELECT 1").await.is_err());
    let three = connect(&url).await.unwrap();
    proxy.close();
    assert!(three.simple_query("SELECT 1").await.is_err());
    assert!(connect(&url).await.is_err());
    proxy.open();
    connect(&url).await.unwrap().simple_query("SELECT 1").await.unwrap();
    drop(proxy);
    assert!(connect(&url).await.is_err());
}

#[tokio::test]
async fn a_commit_can_be_the_last_thing_that_is_heard() {
    let (cluster, database, proxy) = line();
    let url = proxy.url(&database);
    for (nth, arrives) in [(1, true), (2, false)] {
        let (client, other) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
        if arrives {
            proxy.close_after(b"COMMIT");
        } else {
            proxy.close_before(b"COMMIT");
        }
        client.batch_execute("BEGIN; INSERT INTO a VALUES (1)").await.unwrap();
        assert!(client.batch_execute("COMMIT").await.is_err());
        assert!(other.simple_query("SELECT 1").await.is_err());
        assert!(connect(&url).await.is_err());
        assert_eq!((proxy.caught(), sum(cluster, &database).as_str()), (nth, "1"));
        proxy.open();
    }
    connect(&url).await.unwrap().simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn everything_can_stand_still_before_a_commit() {
    let (cluster, database, proxy) = line();
    let url = proxy.url(&database);
    let (client, other) = (connect(&url).await.unwrap(), connect(&url).await.unwrap());
    client.batch_execute("BEGIN; INSERT INTO a VALUES (1)").await.unwrap();
    proxy.hold_before(b"COMMIT");
    let commit = client.batch_execute("COMMIT");
    tokio::pin!(commit);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut commit).await;
    assert!(early.is_err(), "{early:?}");
    let question = other.simple_query("SELECT 1");
    assert!(tokio::time::timeout(Duration::from_millis(100), question).await.is_err());
    assert_eq!((proxy.caught(), sum(cluster, &database).as_str()), (1, "0"));
    proxy.release();
    commit.await.unwrap();
    assert_eq!(sum(cluster, &database), "1");
}

#[tokio::test]
async fn an_answer_that_is_held_arrives_when_it_is_let_go() {
    let (cluster, database, proxy) = line();
    let client = connect(&proxy.url(&database)).await.unwrap();
    proxy.hold(Direction::ToClient);
    let insert = client.batch_execute("INSERT INTO a VALUES (1)");
    tokio::pin!(insert);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut insert).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(sum(cluster, &database), "1");
    proxy.release();
    insert.await.unwrap();
}

#[tokio::test]
async fn a_question_that_is_held_is_not_done_until_it_is_let_go() {
    let (cluster, database, proxy) = line();
    let client = connect(&proxy.url(&database)).await.unwrap();
    proxy.hold(Direction::ToServer);
    let insert = client.batch_execute("INSERT INTO a VALUES (1)");
    tokio::pin!(insert);
    let early = tokio::time::timeout(Duration::from_millis(500), &mut insert).await;
    assert!(early.is_err(), "{early:?}");
    assert_eq!(sum(cluster, &database), "0");
    proxy.release();
    insert.await.unwrap();
    assert_eq!(sum(cluster, &database), "1");
    // What is held can be cut as well.
    proxy.hold(Direction::ToClient);
    let lost = client.batch_execute("INSERT INTO a VALUES (1)");
    let (lost, ()) = tokio::join!(lost, async {
        while sum(cluster, &database) != "2" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        proxy.cut();
    });
    assert!(lost.is_err());
}

#[tokio::test]
async fn a_line_to_nobody_is_closed_at_once() {
    let mut cluster = Cluster::start();
    let database = cluster.database();
    let proxy = Proxy::to(cluster.port());
    cluster.kill();
    assert!(connect(&proxy.url(&database)).await.is_err());
    cluster.start_again();
    connect(&proxy.url(&database)).await.unwrap().simple_query("SELECT 1").await.unwrap();
}
