//! Every call, tried by everybody: a table that fails when a call is missing from it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, answer, authorized};
use crate::bank::text;

/// What each of them is answered: nobody, a stranger, the owner, the owner's reading key, the
/// owner's writing key, an operator.
struct Row {
    call: &'static str,
    body: fn(&World) -> Option<Value>,
    expected: [u16; 6],
}

/// Whose ids stand in the calls.
struct World {
    account: String,
    other: String,
    transaction: String,
    key: String,
}

fn none(_: &World) -> Option<Value> {
    None
}

fn amount(_: &World) -> Option<Value> {
    Some(json!({"amount": 1}))
}

const TABLE: &[Row] = &[
    row("GET /healthz", none, [200; 6]),
    row("GET /readyz", none, [200; 6]),
    row("GET /metrics", none, [200; 6]),
    row("GET /v1/me", none, [401, 200, 200, 200, 200, 200]),
    row(
        "POST /v1/users",
        |_| Some(json!({"username": "minji", "password": crate::app::PASSWORD})),
        // Anybody may ask, but a key that only reads never writes.
        [409, 409, 409, 403, 409, 409],
    ),
    row(
        "POST /v1/tokens",
        |_| Some(json!({"username": "minji", "password": crate::app::PASSWORD})),
        [200; 6],
    ),
    row("GET /v1/api-keys", none, [401, 200, 200, 403, 403, 200]),
    row(
        "POST /v1/api-keys",
        |_| Some(json!({"name": "more", "scopes": ["read"]})),
        [401, 201, 201, 403, 403, 201],
    ),
    row("DELETE /v1/api-keys/{key}", none, [401, 404, 204, 403, 403, 404]),
    row("GET /v1/accounts", none, [401, 200, 200, 200, 200, 200]),
    row("POST /v1/accounts", |_| Some(json!({"currency": "KRW"})), [401, 201, 201, 403, 201, 201]),
    row("GET /v1/accounts/{account}", none, [401, 403, 200, 200, 200, 200]),
    row("GET /v1/accounts/{account}/balance", none, [401, 403, 200, 200, 200, 200]),
    row("GET /v1/accounts/{account}/entries", none, [401, 403, 200, 200, 200, 200]),
    row("GET /v1/accounts/{account}/entries/summary", none, [401, 403, 200, 200, 200, 200]),
    row("POST /v1/accounts/{account}/deposits", amount, [401, 403, 201, 403, 201, 403]),
    row("POST /v1/accounts/{account}/withdrawals", amount, [401, 403, 201, 403, 201, 403]),
    row(
        "POST /v1/transfers",
        |world| {
            let (from, to) = (&world.account, &world.other);
            Some(json!({"from_account": from, "to_account": to, "amount": 1}))
        },
        [401, 403, 201, 403, 201, 403],
    ),
    row("GET /v1/transactions/{transaction}", none, [401, 403, 200, 200, 200, 200]),
    row("GET /v1/ledger", none, [401, 403, 403, 403, 403, 200]),
];

const fn row(call: &'static str, body: fn(&World) -> Option<Value>, expected: [u16; 6]) -> Row {
    Row { call, body, expected }
}

#[tokio::test]
async fn every_call_is_answered_as_the_table_says() {
    let app = TestApp::start().await;
    let (minji, jisoo) = (app.customer("minji").await, app.customer("jisoo").await);
    let operator = app.operator("teller").await;
    let (_, reading) = app.key(&minji.token, &["read"]).await;
    let (_, writing) = app.key(&minji.token, &["read", "write"]).await;
    let account = app.account(&minji, 1_000).await;
    let booked = app.deposit(&minji, &account, json!({"amount": 1})).await.expect(201);
    let mut world = World {
        account,
        other: app.account(&minji, 0).await,
        transaction: text(&booked, "id"),
        key: String::new(),
    };
    let (owner, stranger) = (minji.token.as_str(), jisoo.token.as_str());
    let callers = [
        ("nobody", None),
        ("a stranger", Some(stranger)),
        ("the owner", Some(owner)),
        ("a reading key", Some(reading.as_str())),
        ("a writing key", Some(writing.as_str())),
        ("an operator", Some(operator.as_str())),
    ];
    for Row { call, body, expected } in TABLE {
        let (method, path) = call.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        for ((who, token), expected) in callers.iter().zip(expected) {
            world.key = app.key(owner, &["read"]).await.0;
            let path = path
                .replace("{account}", &world.account)
                .replace("{transaction}", &world.transaction)
                .replace("{key}", &world.key);
            let mut request = authorized(app.request(method.clone(), &path), *token);
            if let Some(body) = body(&world) {
                request = request.json(&body);
            }
            let answer = answer(request).await;
            let status = answer.status.as_u16();
            assert_eq!(status, *expected, "{call} by {who}: {}", answer.text);
            app.delete(Some(owner), &format!("/v1/api-keys/{}", world.key)).await;
        }
    }
}

/// The calls of the document, with `{}` for each parameter.
fn calls(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(move |method| bare(&format!("{} {path}", method.to_uppercase())))
    });
    calls.collect()
}

fn bare(call: &str) -> String {
    let parts = call.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn no_call_is_missing_from_the_table() {
    let document = serde_json::to_value(tongjang_server::api::document()).unwrap();
    let tried: BTreeSet<String> = TABLE.iter().map(|row| bare(row.call)).collect();
    assert_eq!(tried, calls(&document));
}

#[test]
fn every_operation_is_named_once_and_declares_its_parameters() {
    let document = serde_json::to_value(tongjang_server::api::document()).unwrap();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} names two operations");
            assert!(operation["summary"].is_string(), "{name}");
            let declared = operation["parameters"].as_array().into_iter().flatten();
            let in_path = declared.filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{name}");
        }
    }
}

/// A change of the document is a change of the contract, to be looked at.
#[test]
fn the_document_is_the_one_that_was_agreed_upon() {
    let document = tongjang_server::api::document().to_pretty_json().unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!(document.replace(&version, "\"version\": \"…\""));
}
