//! Connections that are shared.

use std::time::Duration;

use tongjang_store::postgres::{Failure, PoolLimits, PoolStatus, Profile};

use crate::cluster::Cluster;

#[tokio::test]
async fn a_pool_gives_out_no_more_than_its_size_and_tells_who_waited_in_vain() {
    let cluster = Cluster::shared();
    let limits = PoolLimits { size: 2, wait: Duration::from_millis(50), ..PoolLimits::default() };
    let pool = cluster.by_socket("teller", "plain").pool("tongjang test", Profile::READER, limits);
    let status = |size, available| PoolStatus { max_size: 2, size, available, waiting: 0 };
    assert_eq!(pool.status(), status(0, 0));
    let first = pool.get().await.unwrap();
    let second = pool.get().await.unwrap();
    assert_eq!(pool.status(), status(2, 0));
    let error = pool.get().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("none of 2 was free within 50ms"), "{error}");
    assert_eq!(error.failure(), Some(Failure::Unavailable));

    let name = "SELECT current_setting('application_name')";
    let statement = first.prepare_cached(name).await.unwrap();
    let row = first.query_one(&statement, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "tongjang test");
    drop(first);
    assert_eq!(pool.status(), status(2, 1));
    drop(second);
    pool.close();
    let error = pool.get().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("the pool is closed"), "{error}");
}

#[tokio::test]
async fn a_connection_that_was_lost_is_replaced() {
    let cluster = Cluster::shared();
    let limits = PoolLimits { size: 1, ..PoolLimits::default() };
    let pool = cluster.by_socket("teller", "plain").pool("tongjang test", Profile::READER, limits);
    let process = "SELECT pg_backend_pid()";
    let client = pool.get().await.unwrap();
    let before: i32 = client.query_one(process, &[]).await.unwrap().get(0);
    let admin = cluster.admin().await;
    admin.query_one("SELECT pg_terminate_backend($1)", &[&before]).await.unwrap();
    while client.query_one(process, &[]).await.is_ok() {}
    while !client.is_closed() {
        tokio::task::yield_now().await;
    }
    drop(client);
    let client = pool.get().await.unwrap();
    let after: i32 = client.query_one(process, &[]).await.unwrap().get(0);
    assert_ne!(before, after);
    assert_eq!(pool.status().size, 1);
}

#[tokio::test]
async fn who_asks_a_pool_is_told_why_no_connection_could_be_opened() {
    let cluster = Cluster::shared();
    let pool = |user| {
        let target = cluster.by_socket(user, "plain");
        target.pool("tongjang test", Profile::READER, PoolLimits::default())
    };
    let (stranger, nobody) = (pool("stranger"), pool("nobody"));
    let (first, second) = tokio::join!(stranger.get(), nobody.get());
    let (first, second) = (first.map(drop).unwrap_err(), second.map(drop).unwrap_err());
    assert!(first.to_string().contains("GRANT tongjang_app TO"), "{first}");
    assert!(second.to_string().contains("role \"nobody\" does not exist"), "{second}");
    assert_eq!(second.failure(), Some(Failure::Refused));
}
