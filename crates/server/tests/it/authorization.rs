//! Who may call what: every route of the document, by everybody.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{PASSWORD, TestApp, answer, authorized};
use crate::bank::text;
use crate::openapi::calls;

/// Who calls, in the order of the table's columns.
const CALLERS: [&str; 6] =
    ["nobody", "a stranger", "the owner", "a read key", "a write key", "an operator"];

/// What each of them is answered. The ids are the owner's.
const TABLE: [(&str, [&str; 6]); 21] = [
    ("GET /healthz", ["200"; 6]),
    ("GET /readyz", ["200"; 6]),
    ("GET /metrics", ["200"; 6]),
    ("POST /v1/users", ["201", "201", "201", "403 not-permitted", "201", "201"]),
    ("POST /v1/tokens", ["200"; 6]),
    ("GET /v1/me", [NOBODY, "200", "200", "200", "200", "200"]),
    ("GET /v1/api-keys", [NOBODY, "200", "200", KEY, KEY, "200"]),
    ("POST /v1/api-keys", [NOBODY, "201", "201", KEY, KEY, "201"]),
    ("DELETE /v1/api-keys/{id}", [NOBODY, "404 not-found", "204", KEY, KEY, "404 not-found"]),
    ("GET /v1/accounts", [NOBODY, "200", "200", "200", "200", "200"]),
    ("POST /v1/accounts", [NOBODY, "201", "201", READ_ONLY, "201", "201"]),
    ("GET /v1/accounts/{id}", READS),
    ("GET /v1/accounts/{id}/balance", READS),
    ("GET /v1/accounts/{id}/entries", READS),
    ("GET /v1/accounts/{id}/entries/summary", READS),
    ("POST /v1/accounts/{id}/deposits", MOVES),
    ("POST /v1/accounts/{id}/withdrawals", MOVES),
    ("POST /v1/transfers", MOVES),
    // Whose accounts its commands may use, each outcome tells.
    ("POST /v1/batches", [NOBODY, "200", "200", READ_ONLY, "200", "200"]),
    ("GET /v1/transactions/{id}", READS),
    ("GET /v1/ledger", [NOBODY, OTHER, OTHER, OTHER, OTHER, "200"]),
];

const NOBODY: &str = "401 unauthenticated";
const KEY: &str = "403 not-permitted";
const READ_ONLY: &str = "403 not-permitted";
const OTHER: &str = "403 not-permitted";
const STRANGER: &str = "403 not-account-owner";
/// An operator reads everything.
const READS: [&str; 6] = [NOBODY, STRANGER, "200", "200", "200", "200"];
/// Money is moved by its owner alone, unless `--deposits operator` says otherwise.
const MOVES: [&str; 6] = [NOBODY, STRANGER, "201", READ_ONLY, "201", STRANGER];

#[tokio::test]
async fn every_call_is_open_to_whom_the_table_says_and_to_nobody_else() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let operator = app.operator("boss").await;
    let (_, read) = app.key(&minji.token, &["read"]).await;
    let (_, write) = app.key(&minji.token, &["write"]).await;
    let tokens =
        [None, Some(&jun.token), Some(&minji.token), Some(&read), Some(&write), Some(&operator)];
    let account = app.account(&minji, 1000).await;
    let other = app.account(&minji, 0).await;
    let booked = app.deposit(&minji, &account, json!({"amount": 1})).await.expect(201);

    let document = app.get(None, "/openapi.json").await.expect(200);
    let mut table: BTreeMap<&str, [&str; 6]> = TABLE.into_iter().collect();
    assert_eq!(table.len(), TABLE.len(), "a route stands in the table twice");
    for (method, path, _) in calls(&document) {
        let route = format!("{method} {path}");
        let expected = table.remove(route.as_str());
        let expected = expected.unwrap_or_else(|| panic!("{route} is missing from the table"));
        for ((caller, token), expected) in CALLERS.iter().zip(tokens).zip(expected) {
            let id = match path.as_str() {
                "/v1/transactions/{id}" => text(&booked, "id"),
                "/v1/api-keys/{id}" => app.key(&minji.token, &["read"]).await.0,
                _ => account.clone(),
            };
            let method: Method = method.parse().unwrap();
            let mut request = app.request(method.clone(), &path.replace("{id}", &id));
            if method == Method::POST {
                request = request.json(&body(&path, caller, &account, &other));
            }
            let answer = answer(authorized(request, token.map(String::as_str))).await;
            let code = match answer.status.as_u16() {
                ..400 => String::new(),
                _ => format!(" {}", text(&answer.json(), "code")),
            };
            let seen = format!("{}{code}", answer.status.as_u16());
            assert_eq!(seen, expected, "{route} by {caller}: {}", answer.text);
            if seen == STRANGER {
                assert!(!answer.text.contains("1000"), "{route} tells {caller} a balance");
            }
        }
    }
    assert!(table.is_empty(), "these routes are no more: {table:?}");
}

#[tokio::test]
async fn a_parameter_that_a_call_does_not_know_is_refused_by_every_call() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let (account, other) = (app.account(&minji, 1000).await, app.account(&minji, 0).await);
    let document = app.get(None, "/openapi.json").await.expect(200);
    for (method, path, _) in calls(&document) {
        if !path.starts_with("/v1/") {
            continue;
        }
        let method: Method = method.parse().unwrap();
        let address = format!("{}?ammount=5", path.replace("{id}", &account));
        let mut request = app.request(method.clone(), &address);
        if method == Method::POST {
            request = request.json(&body(&path, "somebody", &account, &other));
        }
        let answer = answer(authorized(request, Some(&minji.token))).await;
        let problem = answer.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], "/ammount", "{method} {path}");
    }
    assert_eq!(app.balance(&minji, &account).await, 1000);
}

fn body(path: &str, caller: &str, account: &str, other: &str) -> Value {
    match path {
        "/v1/users" => {
            json!({"username": caller.replace(' ', "_"), "password": PASSWORD})
        }
        "/v1/tokens" => json!({"username": "minji", "password": PASSWORD}),
        "/v1/api-keys" => json!({"name": "backend", "scopes": ["read"]}),
        "/v1/accounts" => json!({"currency": "KRW"}),
        "/v1/transfers" => json!({"from_account": account, "to_account": other, "amount": 1}),
        "/v1/batches" => json!({"commands": [{"op": "deposit", "account": account, "amount": 1}]}),
        _ => json!({"amount": 1}),
    }
}

#[tokio::test]
async fn a_stranger_cannot_tell_an_account_he_does_not_own_from_another() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (full, empty) = (app.account(&minji, 1000).await, app.account_in(&minji, "USD").await);
    let own = app.account(&jun, 5).await;
    for path in ["", "/balance", "/entries", "/entries?cursor=x", "/entries/summary?memo="] {
        let of = |account: &str| format!("/v1/accounts/{account}{path}");
        let (one, two) = (app.look(&jun, &of(&full)).await, app.look(&jun, &of(&empty)).await);
        assert_eq!(one.text, two.text, "{path}");
        if !path.contains('?') {
            one.problem(403, "not-account-owner");
        }
    }
    // Nor by what would be wrong with a transfer from it.
    for (amount, to) in [(1, &own), (1_000_000, &own), (1, &full)] {
        let body = json!({"from_account": full, "to_account": to, "amount": amount});
        app.transfer(&jun, body).await.problem(403, "not-account-owner");
    }
}
