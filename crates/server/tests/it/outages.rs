//! A database that cannot be reached, or does not let a server have what it needs: what callers
//! are told, and that the server goes on without a restart.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::task::block_in_place;
use tokio_postgres::{Client, NoTls};
use tongjang_cluster::{Cluster, Database, Proxy};

use crate::app::{Answer, TestApp, new_ledger, soon, while_told};
use crate::bank::text;
use crate::servers::{balance, deposit, opened};

/// A server that reaches the database by `proxy`.
async fn behind(proxy: &Proxy, database: &Database) -> TestApp {
    let store = proxy.url(database).parse().unwrap();
    TestApp::start_with(|config| config.ledger.store = Some(store)).await
}

/// Insists on 503 with all that belongs to it, and gives its detail.
#[track_caller]
fn unavailable(answer: &Answer) -> String {
    let problem = answer.problem(503, "store-unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    problem["detail"].as_str().unwrap().to_owned()
}

/// What is said where it is known that nothing was booked.
const NOTHING: &str = "Nothing was changed. Try again after `Retry-After` seconds.";

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_knows_is_told_and_settled_by_its_key() {
    let database = new_ledger(1).await;
    let proxy = Proxy::to(Cluster::shared().port());
    let app = behind(&proxy, &database).await;
    let token = app.user("minji").await;
    let account = opened(&app, &token).await;
    for (nth, arrives) in [(1, true), (2, false)] {
        let key = format!("key-{nth}");
        if arrives {
            proxy.close_after(b"COMMIT");
        } else {
            proxy.close_before(b"COMMIT");
        }
        let unknown = deposit(&app, &token, &account, 10, &key).await;
        assert_eq!(proxy.caught(), nth, "the connection was cut at the commit");
        let detail = unavailable(&unknown);
        assert!(detail.contains("whether it was booked is not known"), "{detail}");

        proxy.open();
        let again = async || deposit(&app, &token, &account, 10, &key).await;
        let settled = while_told(StatusCode::SERVICE_UNAVAILABLE, again).await;
        settled.expect(201);
        assert_eq!(replayed(&settled), arrives, "{}", settled.text);
        let twice = deposit(&app, &token, &account, 10, &key).await;
        assert_eq!((twice.status, &twice.text), (settled.status, &settled.text));
        assert!(replayed(&twice));
        assert_eq!(balance(&app, &token, &account).await, 10 * nth);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_vanishes_in_a_commit_holds_nobody_up() {
    let database = new_ledger(1).await;
    let proxy = Proxy::to(Cluster::shared().port());
    let store = proxy.url(&database).parse().unwrap();
    let change = |config: &mut tongjang_server::config::Config| config.ledger.store = Some(store);
    let patience = Duration::from_secs(2);
    let vanishing = TestApp::start_in(change, |around| around.limits.request = patience).await;
    let other = TestApp::on(&database).await;
    let token = other.user("minji").await;
    let account = opened(&other, &token).await;
    let before = async || deposit(&vanishing, &token, &account, 1, "before").await;
    while_told(StatusCode::SERVICE_UNAVAILABLE, before).await.expect(201);

    // From here on nothing passes, and nobody is told. The database holds the account's lock.
    proxy.hold_before(b"COMMIT");
    unavailable(&deposit(&vanishing, &token, &account, 10, "lost").await);
    assert_eq!(proxy.caught(), 1);
    unavailable(&deposit(&vanishing, &token, &account, 10, "lost").await);
    let read = vanishing.get(Some(&token), &format!("/v1/accounts/{account}")).await;
    assert_eq!(unavailable(&read), NOTHING);

    // The lock goes when the session has been idle in its transaction for too long.
    let beside = async || deposit(&other, &token, &account, 100, "beside").await;
    while_told(StatusCode::SERVICE_UNAVAILABLE, beside).await.expect(201);
    assert_eq!(balance(&other, &token, &account).await, 101);

    // The kernel has noticed: `tcp_user_timeout` is up.
    proxy.cut();
    proxy.release();
    let again = async || deposit(&vanishing, &token, &account, 10, "lost").await;
    while_told(StatusCode::SERVICE_UNAVAILABLE, again).await.expect(201);
    assert_eq!(balance(&other, &token, &account).await, 111);
}

/// A connection of somebody who is not one of the servers.
async fn stranger(database: &Database) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_connections_says_so_and_goes_on_when_there_are_some() {
    let cluster = block_in_place(|| {
        let mut cluster = Cluster::start();
        cluster.set("max_connections", "24");
        cluster
    });
    let database = cluster.database();
    crate::cli::printed(&["migrate", "--store", database.url()], "");
    let app = TestApp::on(&database).await;
    let token = app.user("minji").await;
    let account = opened(&app, &token).await;
    deposit(&app, &token, &account, 5, "before").await.expect(201);

    // A stranger has the server's connections, and every other one.
    for backend in cluster.backends(&database, None) {
        cluster.terminate_backend(backend);
    }
    let mut taken = Vec::new();
    let full = loop {
        match stranger(&database).await {
            Ok(client) => taken.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(full.code().map(|code| code.code()), Some("53300"), "{full}");
    assert_eq!(unavailable(&deposit(&app, &token, &account, 6, "while").await), NOTHING);
    unavailable(&app.get(None, "/readyz").await);
    let said =
        crate::cli::refused(&["serve", "--listen", "127.0.0.1:0", "--store", database.url()]);
    assert!(said.contains("too many clients already (SQLSTATE 53300)"), "{said}");

    drop(taken);
    let again = async || deposit(&app, &token, &account, 6, "while").await;
    while_told(StatusCode::SERVICE_UNAVAILABLE, again).await.expect(201);
    assert_eq!(balance(&app, &token, &account).await, 11);
    // The database goes before the cluster that it is in.
    drop(database);
}

/// An account with this number.
async fn numbered(app: &TestApp, token: &str, number: &str) -> String {
    let body = json!({"currency": "KRW", "bank": "088", "number": number});
    text(&app.post(Some(token), "/v1/accounts", body).await.expect(201), "id")
}

/// The part of an account with this number.
fn part(database: &Database, number: &str) -> String {
    let query = format!("SELECT part FROM tongjang.accounts WHERE number = '{number}'");
    Cluster::shared().query_text(database, &query).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_a_stranger_holds_is_refused_in_time_and_others_go_on() {
    let database = new_ledger(4).await;
    // Only what the database answers is an answer here.
    let store = database.url().parse().unwrap();
    let app = TestApp::start_in(
        |config| config.ledger.store = Some(store),
        |around| around.limits.request = Duration::from_secs(600),
    )
    .await;
    let minji = app.user("minji").await;
    let held = numbered(&app, &minji, "110-0").await;
    // Somebody whose accounts are in another part, and so another settlement account's.
    let (mut jun, mut free) = (String::new(), String::new());
    for nth in 1.. {
        let number = format!("110-{nth}");
        jun = app.user(&format!("jun{nth}")).await;
        free = numbered(&app, &jun, &number).await;
        if part(&database, &number) != part(&database, "110-0") {
            break;
        }
    }
    let stranger = stranger(&database).await.unwrap();
    let lock = "SELECT FROM tongjang.accounts WHERE number = '110-0' FOR UPDATE";
    stranger.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
    let refused = deposit(&app, &minji, &held, 10, "held");
    let others = async {
        for nth in 0..20 {
            deposit(&app, &jun, &free, 1, &format!("free-{nth}")).await.expect(201);
        }
    };
    // All the time the stranger holds it.
    let (refused, ()) =
        soon("the lock is given up and others go on", async { tokio::join!(refused, others) })
            .await;
    // Reading waits for nobody.
    assert_eq!(balance(&app, &minji, &held).await, 0);
    assert_eq!(unavailable(&refused), NOTHING);
    stranger.batch_execute("COMMIT").await.unwrap();
    let served = deposit(&app, &minji, &held, 10, "held").await;
    served.expect(201);
    assert!(!replayed(&served), "nothing had been booked");
    assert_eq!(balance(&app, &jun, &free).await, 20);
}
