//! The same request twice, and many requests at once.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::{Answer, TestApp, answer};
use crate::bank::{Person, text};

const KEY: &str = "idempotency-key";

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == "true"
}

/// Sends all of them at the same time.
async fn at_once(requests: Vec<RequestBuilder>) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for request in requests {
        tasks.spawn(answer(request));
    }
    tasks.join_all().await
}

#[tokio::test]
async fn what_was_booked_under_a_key_is_answered_again_byte_for_byte() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (account, to) = (app.account(&minji, 1000).await, app.account(&jun, 0).await);
    let paying = format!("/v1/accounts/{account}");
    let transfer = json!({
        "from_account": account, "to_account": to, "amount": 3, "memo": "점심", "to_memo": "밥",
        "metadata": {"order": "9"},
    });
    for (key, path, body) in [
        ("k1", format!("{paying}/deposits"), json!({"amount": 5, "memo": "m"})),
        ("k2", format!("{paying}/withdrawals"), json!({"amount": 5})),
        ("k3", "/v1/transfers".to_owned(), transfer),
    ] {
        let post = |key: &str| answer(app.asks(&minji, &path, body.clone()).header(KEY, key));
        let first = post(key).await;
        first.expect(201);
        assert!(!replayed(&first));
        app.withdraw(&minji, &account, json!({"amount": 1})).await.expect(201);
        // Quoted, as the draft writes it, it is the same key.
        for key in [key.to_owned(), format!("\"{key}\"")] {
            let again = post(&key).await;
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            assert_eq!(again.header("location"), first.header("location"));
            assert!(replayed(&again));
        }
    }
    assert_eq!(app.seen(&minji, &account).await["entry_count"], 7);
    assert_eq!(app.balance(&minji, &account).await, 994);
}

#[tokio::test]
async fn a_refusal_is_kept_under_its_key_even_when_the_money_comes() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 10).await;
    let path = format!("/v1/accounts/{account}/withdrawals");
    let post = || answer(app.asks(&minji, &path, json!({"amount": 11})).header(KEY, "k1"));
    let first = post().await;
    first.problem(422, "insufficient-funds");
    assert!(!replayed(&first));
    app.deposit(&minji, &account, json!({"amount": 1000})).await.expect(201);
    let again = post().await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert!(replayed(&again));
    assert_eq!(app.balance(&minji, &account).await, 1010);
}

#[tokio::test]
async fn what_the_caller_can_mend_is_not_kept_under_his_key() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (account, theirs) = (app.account(&minji, 10).await, app.account(&jun, 0).await);
    let to = |account: &str| format!("/v1/accounts/{account}/deposits");
    let body = || json!({"amount": 1});
    let wrong = app.asks(&minji, &to(&theirs), body()).header(KEY, "k1");
    answer(wrong).await.problem(403, "not-account-owner");
    let wrong = app.asks(&minji, &to(&account), json!({"amount": 0})).header(KEY, "k1");
    answer(wrong).await.problem(400, "invalid-amount");
    let stale =
        app.asks(&minji, &to(&account), body()).header(KEY, "k1").header("if-match", "\"9\"");
    answer(stale).await.problem(412, "version-mismatch");
    let mended = answer(app.asks(&minji, &to(&account), body()).header(KEY, "k1")).await;
    mended.expect(201);
    assert!(!replayed(&mended));
}

#[tokio::test]
async fn a_key_used_for_another_request_names_what_differs() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let (account, other) = (app.account(&minji, 100).await, app.account(&minji, 0).await);
    let post = |path: String, body: Value| answer(app.asks(&minji, &path, body).header(KEY, "k1"));
    let to = |account: &str, call: &str| format!("/v1/accounts/{account}/{call}");
    let first = json!({"amount": 5, "memo": "m", "metadata": {"a": "1"}});
    post(to(&account, "deposits"), first.clone()).await.expect(201);
    let transfer = json!({"from_account": account, "to_account": other, "amount": 5});
    for (path, body, fields) in [
        (
            to(&account, "deposits"),
            json!({"amount": 6, "memo": "n"}),
            json!(["amount", "memo", "metadata"]),
        ),
        (to(&other, "deposits"), first.clone(), json!(["account"])),
        (to(&account, "withdrawals"), first.clone(), json!(["operation"])),
        ("/v1/transfers".into(), transfer, json!(["operation"])),
        ("/v1/accounts".into(), json!({"currency": "KRW"}), json!(["operation"])),
    ] {
        let refused = post(path, body).await;
        assert_eq!(refused.problem(422, "idempotency-key-reused")["fields"], fields);
        assert!(!replayed(&refused));
    }
    // The order of members and the white space between them are no difference.
    let path = to(&account, "deposits");
    let request = app.request(reqwest::Method::POST, &path).bearer_auth(&minji.token);
    let spaced = r#" { "metadata" : {"a" : "1"} , "memo":"m" , "amount" : 5 } "#;
    let request = request.header("content-type", "application/json").header(KEY, "k1");
    assert!(replayed(&answer(request.body(spaced)).await));
}

#[tokio::test]
async fn two_callers_may_use_the_same_key() {
    let app = TestApp::start().await;
    for name in ["minji", "jun"] {
        let person = app.customer(name).await;
        let path = format!("/v1/accounts/{}/deposits", app.account(&person, 0).await);
        let first = answer(app.asks(&person, &path, json!({"amount": 5})).header(KEY, "k1")).await;
        first.expect(201);
        assert!(!replayed(&first), "{name}");
    }
}

#[tokio::test]
async fn an_unsound_key_is_refused_before_anything_happens() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let path = format!("/v1/accounts/{account}/deposits");
    for key in ["", "two words", "\"open", &"k".repeat(256)] {
        let request = app.asks(&minji, &path, json!({"amount": 5})).header(KEY, key);
        answer(request).await.problem(400, "invalid-idempotency-key");
    }
    let twice = app.asks(&minji, &path, json!({"amount": 5})).header(KEY, "a").header(KEY, "b");
    answer(twice).await.problem(400, "invalid-idempotency-key");
    assert_eq!(app.balance(&minji, &account).await, 0);
}

#[tokio::test]
async fn fifty_clients_with_one_key_get_one_booking_and_fifty_equal_answers() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 1000).await;
    let path = format!("/v1/accounts/{account}/withdrawals");
    let body = json!({"amount": 100, "memo": "한 번만"});
    let request = || app.asks(&minji, &path, body.clone()).header(KEY, "k1");
    let answers = at_once((0..50).map(|_| request()).collect()).await;
    for one in &answers {
        assert_eq!((one.status.as_u16(), &one.text), (201, &answers[0].text));
    }
    assert_eq!(answers.iter().filter(|one| !replayed(one)).count(), 1);
    assert_eq!(app.balance(&minji, &account).await, 900);
    assert_eq!(app.seen(&minji, &account).await["entry_count"], 2);
}

#[tokio::test]
async fn fifty_openings_under_one_key_open_one_account() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let body = json!({"currency": "KRW", "name": "생활비"});
    let request = || app.asks(&minji, "/v1/accounts", body.clone()).header(KEY, "k1");
    let answers = at_once((0..50).map(|_| request()).collect()).await;
    for one in &answers {
        assert_eq!((one.status.as_u16(), &one.text), (201, &answers[0].text));
    }
    let list = app.look(&minji, "/v1/accounts").await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["name"], "생활비");
}

#[tokio::test]
async fn of_withdrawals_racing_for_the_last_won_as_many_win_as_there_are_won() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 7).await;
    let path = format!("/v1/accounts/{account}/withdrawals");
    let requests = (0..40).map(|_| app.asks(&minji, &path, json!({"amount": 1}))).collect();
    let answers = at_once(requests).await;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for one in &answers {
        *statuses.entry(one.status.as_u16()).or_default() += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(201, 7), (422, 33)]));
    let mut balances: Vec<i64> = answers
        .iter()
        .filter(|one| one.status == 201)
        .map(|one| one.json()["entries"][0]["balance"].as_i64().unwrap())
        .collect();
    balances.sort_unstable();
    assert_eq!(balances, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(app.balance(&minji, &account).await, 0);
}

#[tokio::test]
async fn transfers_in_a_ring_lose_no_won_and_wait_for_nobody() {
    let app = TestApp::start().await;
    let mut ring: Vec<(Person, String)> = Vec::new();
    for name in ["minji", "jun", "sora", "tae"] {
        let person = app.customer(name).await;
        let account = app.account(&person, 100).await;
        ring.push((person, account));
    }
    let mut requests = Vec::new();
    for round in 0..30 {
        for (place, (person, from)) in ring.iter().enumerate() {
            let (_, to) = &ring[(place + 1 + round % 3) % ring.len()];
            let body = json!({"from_account": from, "to_account": to, "amount": 1 + round % 40});
            requests.push(app.asks(person, "/v1/transfers", body));
        }
    }
    for one in at_once(requests).await {
        assert!(matches!(one.status.as_u16(), 201 | 422), "{}", one.text);
    }
    let mut sum = 0;
    for (person, account) in &ring {
        let path = format!("/v1/accounts/{account}/entries?order=asc&limit=500");
        let entries = app.look(person, &path).await.expect(200);
        let mut balance = 0;
        for (place, entry) in entries["data"].as_array().unwrap().iter().enumerate() {
            let amount = entry["amount"].as_i64().unwrap();
            balance += if entry["direction"] == "credit" { amount } else { -amount };
            assert_eq!(entry["number"], place + 1);
            assert_eq!(entry["balance"], balance, "{entry}");
            assert!(balance >= 0, "{entry}");
        }
        assert_eq!(app.balance(person, account).await, balance);
        assert_eq!(text(&app.seen(person, account).await, "status"), "open");
        sum += balance;
    }
    assert_eq!(sum, 400);
}
