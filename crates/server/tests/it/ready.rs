//! Whether a server on a database says that it is ready while others make it wait.

use std::time::Duration;

use tongjang_store::postgres::{Passwords, Profile, Target};

use crate::app::{TestApp, new_ledger};
use crate::metrics::value;

/// Waits for what is true soon, and fails if it never is.
pub(crate) async fn soon(mut is_so: impl AsyncFnMut() -> bool, what: &str) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), so).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_queries_all_wait_is_ready() {
    let database = new_ledger(1).await;
    let app = TestApp::on(&database).await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 5).await;
    let target = Target::new(database.url(), &Passwords::default()).unwrap();
    let (owner, driver) = target.connect("owner", &Profile::OWNER).await.unwrap();
    tokio::spawn(driver);
    owner.batch_execute("BEGIN; LOCK TABLE tongjang.accounts").await.unwrap();

    let path = format!("/v1/accounts/{account}");
    let mut queries = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let request = app.request(reqwest::Method::GET, &path).bearer_auth(&minji.token);
        queries.spawn(async { request.send().await.unwrap().status() });
    }
    let all_wait = async || {
        let metrics = app.get(None, "/metrics").await.text;
        let of = |name: &str| {
            value(&metrics, &format!("tongjang_database_connections_{name}{{pool=\"queries\"}}"))
        };
        of("open") == of("max") && of("free") == Some(0)
    };
    soon(all_wait, "not all connections wait for the locked table").await;
    app.get(None, "/readyz").await.expect(200);
    assert!(all_wait().await, "the queries no longer wait");
    owner.batch_execute("ROLLBACK").await.unwrap();
    while let Some(status) = queries.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}
