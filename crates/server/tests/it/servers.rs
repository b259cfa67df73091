//! Several servers on one database: to callers they are one.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tongjang_cluster::{Cluster, Proxy};

use crate::app::{Answer, TestApp, answer, authorized, new_ledger, while_told};

pub(crate) async fn opened(app: &TestApp, token: &str) -> String {
    let account = app.post(Some(token), "/v1/accounts", json!({"currency": "KRW"})).await;
    account.expect(201)["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn deposit(
    app: &TestApp,
    token: &str,
    account: &str,
    amount: u64,
    key: &str,
) -> Answer {
    let path = format!("/v1/accounts/{account}/deposits");
    let request = authorized(app.request(Method::POST, &path), Some(token));
    answer(request.header("idempotency-key", key).json(&json!({ "amount": amount }))).await
}

pub(crate) async fn balance(app: &TestApp, token: &str, account: &str) -> Value {
    let account = app.get(Some(token), &format!("/v1/accounts/{account}")).await.expect(200);
    account["balance"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_did_another_knows() {
    let database = new_ledger(4).await;
    let (one, other) = (TestApp::on(&database).await, TestApp::on(&database).await);
    let token = one.user("minji").await;
    let account = opened(&one, &token).await;
    let first = deposit(&one, &token, &account, 500, "k1").await;
    assert_eq!(first.status, StatusCode::CREATED);

    // The token, the account and the key are the other's, too.
    let again = deposit(&other, &token, &account, 500, "k1").await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let reused = deposit(&other, &token, &account, 501, "k1").await;
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(reused.text.contains("idempotency-key-reused"), "{}", reused.text);
    deposit(&other, &token, &account, 7, "k2").await.expect(201);
    assert_eq!(balance(&one, &token, &account).await, 507);

    // A list goes on at the other.
    let path = format!("/v1/accounts/{account}/entries?limit=1");
    let page = one.get(Some(&token), &path).await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = format!("{path}&cursor={cursor}");
    let rest = other.get(Some(&token), &rest).await.expect(200);
    assert_eq!((&rest["data"][0]["number"], &rest["data"][0]["balance"]), (&json!(1), &json!(500)));

    // A key that one deletes the other refuses, soon.
    let (id, secret) = one.key(&token, &["write"]).await;
    other.get(Some(&secret), "/v1/me").await.expect(200);
    one.delete(Some(&token), &format!("/v1/api-keys/{id}")).await;
    let refused = while_told(StatusCode::OK, async || other.get(Some(&secret), "/v1/me").await);
    refused.await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_of_two_servers_with_one_key_are_one_booking() {
    let database = new_ledger(4).await;
    let apps = [TestApp::on(&database).await, TestApp::on(&database).await];
    let token = apps[0].user("minji").await;
    let account = opened(&apps[0], &token).await;
    let asked = (0..50).map(|n| deposit(&apps[n % 2], &token, &account, 11, "same"));
    let answers = futures_util::future::join_all(asked).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.text), (StatusCode::CREATED, &answers[0].text));
    }
    let replayed = |answer: &&Answer| answer.headers.contains_key("idempotency-replayed");
    assert_eq!(answers.iter().filter(replayed).count(), 49);
    assert_eq!(balance(&apps[1], &token, &account).await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_both_ways_by_two_servers_leave_what_there_was() {
    let database = new_ledger(4).await;
    let apps = [TestApp::on(&database).await, TestApp::on(&database).await];
    let tokens = [apps[0].user("minji").await, apps[1].user("jisoo").await];
    let accounts = [opened(&apps[0], &tokens[0]).await, opened(&apps[1], &tokens[1]).await];
    for n in 0..2 {
        deposit(&apps[n], &tokens[n], &accounts[n], 10_000, "start").await.expect(201);
    }
    let transfer = |n: usize| {
        let (app, from) = (&apps[(n / 2) % 2], n % 2);
        let body = json!({
            "from_account": accounts[from], "to_account": accounts[1 - from], "amount": 1 + n
        });
        let request = authorized(app.request(Method::POST, "/v1/transfers"), Some(&tokens[from]));
        answer(request.header("idempotency-key", format!("t{n}")).json(&body))
    };
    let answers = futures_util::future::join_all((0..120).map(transfer)).await;
    for answer in answers {
        answer.expect(201);
    }
    let sum = |n: usize| (0..120u64).filter(|t| *t as usize % 2 == n).map(|t| 1 + t).sum::<u64>();
    let expected = [10_000 - sum(0) + sum(1), 10_000 - sum(1) + sum(0)];
    for n in 0..2 {
        assert_eq!(balance(&apps[1 - n], &tokens[n], &accounts[n]).await, expected[n]);
    }
    let verified = crate::cli::printed(&["verify", "--store", database.url()], "");
    assert!(verified.contains("every number, balance and hash holds"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_answered_by_what_became_of_it() {
    let database = new_ledger(1).await;
    let proxy = Proxy::to(Cluster::shared().port());
    let behind = proxy.url(&database).parse().unwrap();
    let app = TestApp::start_with(|config| config.ledger.store = Some(behind)).await;
    let token = app.user("minji").await;
    let account = opened(&app, &token).await;
    for (n, key) in ["a", "b", "c"].into_iter().enumerate() {
        proxy.cut_after(b"COMMIT");
        let answered = deposit(&app, &token, &account, 10, key).await;
        assert_eq!(answered.status, StatusCode::CREATED, "{}", answered.text);
        assert_eq!(proxy.caught(), n as u64 + 1, "the connection was cut");
        assert_eq!(balance(&app, &token, &account).await, 10 * (n + 1));
    }
    // Before the COMMIT arrived nothing was done, so it is decided again.
    proxy.cut_before(b"COMMIT");
    deposit(&app, &token, &account, 10, "d").await.expect(201);
    assert_eq!(proxy.caught(), 4, "the connection was cut");
    assert_eq!(balance(&app, &token, &account).await, 40);
    let metrics = app.get(None, "/metrics").await.text;
    assert!(metrics.contains("tongjang_database_broken_commits_total 4"), "{metrics}");
    assert!(metrics.contains("tongjang_database_connections_max{pool=\"queries\"} 16"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_callers_are_told_and_afterwards_it_goes_on() {
    let (mut cluster, database) = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::start();
        let database = cluster.database();
        (cluster, database)
    })
    .await
    .unwrap();
    let url = database.url().to_owned();
    let migrate = ["migrate", "--store", &url];
    crate::cli::printed(&migrate, "");
    let app = TestApp::on(&database).await;
    let token = app.user("minji").await;
    let account = opened(&app, &token).await;
    deposit(&app, &token, &account, 5, "before").await.expect(201);
    app.get(None, "/readyz").await.expect(200);

    let mut cluster = tokio::task::spawn_blocking(move || {
        cluster.kill();
        cluster
    })
    .await
    .unwrap();
    let refused = deposit(&app, &token, &account, 6, "while").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    let ready = app.get(None, "/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);

    let _cluster = tokio::task::spawn_blocking(move || {
        cluster.start_again();
        cluster
    })
    .await
    .unwrap();
    let again = async || deposit(&app, &token, &account, 6, "while").await;
    while_told(StatusCode::SERVICE_UNAVAILABLE, again).await.expect(201);
    assert_eq!(balance(&app, &token, &account).await, 11);
    // The database goes before the cluster that it is in.
    drop(database);
}
