//! A server from its start to its end, and what a test may do to it between.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};
use tongjang_cluster::{Cluster, Database};

/// How many are asking something under the name `busy`.
const BUSY: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active'";

/// A connection as the project's own are made: by the address.
async fn connect(database: &Database, application_name: &str) -> Client {
    let mut config: tokio_postgres::Config = database.url().parse().unwrap();
    config.application_name(application_name);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// It is removed while the test may go on.
fn wait_until_gone(folder: &Path) {
    for _ in 0..3000 {
        if !fs::exists(folder).unwrap() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is still there", folder.display());
}

/// A table `a` with one committed row.
fn seven(cluster: &Cluster) -> Database {
    let database = cluster.database();
    cluster.execute(&database, "CREATE TABLE a (b int); INSERT INTO a VALUES (7)");
    database
}

fn sum(cluster: &Cluster, database: &Database) -> String {
    cluster.query_text(database, "SELECT coalesce(sum(b), 0) FROM a").unwrap()
}

/// Whether the process does, and does not only wait for somebody to take note of its end.
fn runs(id: u32) -> bool {
    fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_database_is_empty_and_its_own() {
    let cluster = Cluster::shared();
    let (one, other) = (seven(cluster), cluster.database());
    assert_eq!(sum(cluster, &one), "7");
    assert_eq!(cluster.query_text(&other, "SELECT to_regclass('a')"), None);
    assert_eq!(cluster.query_text(&other, "SELECT 1 WHERE false"), None);
}

#[test]
fn all_tests_share_one_server() {
    let address = |cluster: &'static Cluster| std::ptr::from_ref(cluster);
    assert_eq!(address(Cluster::shared()), address(Cluster::shared()));
}

#[tokio::test]
async fn a_database_goes_with_its_value_whoever_is_connected() {
    let cluster = Cluster::shared();
    let (database, other) = (cluster.database(), cluster.database());
    let client = connect(&database, "guest").await;
    let query = format!("SELECT count(*) FROM pg_database WHERE datname = '{}'", database.name());
    assert_eq!(cluster.query_text(&other, &query).unwrap(), "1");
    drop(database);
    assert_eq!(cluster.query_text(&other, &query).unwrap(), "0");
    assert!(client.simple_query("SELECT 1").await.is_err());
}

#[tokio::test]
async fn connections_are_told_apart_by_their_names() {
    let cluster = Cluster::shared();
    let (database, other) = (cluster.database(), cluster.database());
    let one = connect(&database, "one").await;
    let _two = connect(&database, "it's two").await;
    let _elsewhere = connect(&other, "one").await;
    assert_eq!(cluster.backends(&database, None).len(), 2);
    let named = cluster.backends(&database, Some("one"));
    let id: i32 = one.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    assert_eq!(named, [id as u32]);
    assert_eq!(cluster.backends(&database, Some("it's two")).len(), 1);

    assert!(cluster.terminate_backend(named[0]));
    assert!(one.simple_query("SELECT 1").await.is_err());
}

#[test]
fn durability_is_as_it_comes() {
    let cluster = Cluster::start();
    let database = cluster.database();
    for (parameter, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("max_connections", "200"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        let query = format!("SHOW {parameter}");
        assert_eq!(cluster.query_text(&database, &query).unwrap(), value, "{parameter}");
    }
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_committed() {
    let mut cluster = Cluster::start();
    let database = seven(&cluster);
    let port = cluster.port();
    let client = connect(&database, "guest").await;
    client.batch_execute("BEGIN; INSERT INTO a VALUES (100)").await.unwrap();
    // One that is busy would not notice for long that the server is gone.
    let busy = connect(&database, "busy").await;
    let long = tokio::spawn(async move {
        let numbers = "generate_series(1, 100000)";
        let query = format!("SELECT count(*) FROM {numbers} a, {numbers} b, {numbers} c");
        busy.simple_query(&query).await
    });
    while cluster.query_text(&database, BUSY).unwrap() == "0" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let all = cluster.backends(&database, None);
    assert_eq!(all.iter().filter(|id| runs(**id)).count(), 2);
    cluster.kill();
    assert_eq!(all.iter().filter(|id| runs(**id)).count(), 0);
    assert!(long.await.unwrap().is_err());
    assert!(client.batch_execute("COMMIT").await.is_err());
    cluster.start_again();
    assert_eq!(cluster.port(), port);
    assert_eq!(sum(&cluster, &database), "7");
    assert!(cluster.log().contains("was not properly shut down"), "{}", cluster.log());
}

#[tokio::test]
async fn a_server_that_is_stopped_leaves_its_data_in_order() {
    let mut cluster = Cluster::start();
    let database = seven(&cluster);
    let client = connect(&database, "guest").await;
    client.batch_execute("BEGIN; INSERT INTO a VALUES (100)").await.unwrap();
    cluster.stop_fast();
    assert!(client.batch_execute("COMMIT").await.is_err());
    cluster.start_again();
    assert_eq!(sum(&cluster, &database), "7");
    assert!(!cluster.log().contains("was not properly shut down"), "{}", cluster.log());
}

#[tokio::test]
async fn a_killed_connection_takes_all_others_along_and_the_server_recovers() {
    let mut cluster = Cluster::start();
    let database = seven(&cluster);
    let (one, two) = (connect(&database, "one").await, connect(&database, "two").await);
    let id = cluster.backends(&database, Some("one"))[0];
    cluster.kill_backend(id);
    assert!(one.simple_query("SELECT 1").await.is_err());
    // The server takes a moment to tell the others.
    let last = two.simple_query("SELECT pg_sleep(60)").await;
    assert!(last.is_err());
    cluster.wait();
    assert_eq!(sum(&cluster, &database), "7");
}

#[test]
#[should_panic(expected = "is no process of this server")]
fn what_is_not_the_servers_is_not_killed() {
    Cluster::start().kill_backend(std::process::id());
}

#[test]
fn a_parameter_that_is_set_holds_from_the_next_start_on() {
    let mut cluster = Cluster::start();
    let database = seven(&cluster);
    cluster.set("max_connections", "12");
    cluster.set("application_name", "it's");
    assert_eq!(cluster.query_text(&database, "SHOW max_connections").unwrap(), "12");
    assert_eq!(sum(&cluster, &database), "7");
}

#[tokio::test]
async fn a_small_disk_is_full_and_the_server_goes_on() {
    let mut cluster = Cluster::start();
    let Some(database) = cluster.small_database(32) else {
        eprintln!("this process may not mount a disk, so none is filled");
        return;
    };
    let client = connect(&database, "guest").await;
    client.batch_execute("CREATE TABLE a (b text)").await.unwrap();
    let fill = "INSERT INTO a SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
    let error = client.batch_execute(fill).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::DISK_FULL), "{error:?}");
    // Each by itself: the room is free when the first is committed.
    client.batch_execute("DROP TABLE a").await.unwrap();
    client.batch_execute("CREATE TABLE a (b text)").await.unwrap();
    client.batch_execute("INSERT INTO a VALUES ('y')").await.unwrap();
    let folder = cluster.data().parent().unwrap().to_owned();
    drop((client, database, cluster));
    wait_until_gone(&folder);
}

#[test]
fn a_server_ends_with_its_value_and_its_folder_too() {
    let cluster = Cluster::start();
    let (data, port) = (cluster.data(), cluster.port());
    assert!(fs::exists(data.join("PG_VERSION")).unwrap());
    drop(cluster);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    wait_until_gone(data.parent().unwrap());
}
