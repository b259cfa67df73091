//! API keys: made once, shown once, good for what they say, and gone when they are deleted.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn a_key_acts_for_its_owner_and_shows_its_secret_once() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let (id, secret) = app.key(&token, &["write"]).await;
    assert!(id.starts_with("key_"));
    let me = app.get(Some(&secret), "/v1/me").await.expect(200);
    assert_eq!(me["username"], "minji");

    let listed = app.get(Some(&token), "/v1/api-keys").await;
    assert!(!listed.text.contains(&secret));
    let key = &listed.expect(200)["data"][0];
    assert_eq!(key["id"], id);
    assert_eq!(key["name"], "backend");
    assert_eq!(key["scopes"], json!(["read", "write"]));
    assert_eq!(key["last_four"], secret[secret.len() - 4..]);
    assert_eq!(key["expires_at"], json!(null));
}

#[tokio::test]
async fn a_deleted_key_is_refused_at_once() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let (id, secret) = app.key(&token, &["read"]).await;
    app.get(Some(&secret), "/v1/me").await.expect(200);
    let path = format!("/v1/api-keys/{id}");
    assert_eq!(app.delete(Some(&token), &path).await.status, 204);
    app.get(Some(&secret), "/v1/me").await.problem(401, "unauthenticated");
    app.delete(Some(&token), &path).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_deleted_key_is_refused_though_who_deleted_it_hung_up() {
    let app = TestApp::on_a_folder().await;
    let token = app.user("minji").await;
    let (id, secret) = app.key(&token, &["read"]).await;
    app.get(Some(&secret), "/v1/me").await.expect(200);
    // The deletion waits for as long as somebody else writes.
    let raw = rusqlite::Connection::open(app.data().join("directory.sqlite")).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let asked = app.request(Method::DELETE, &format!("/v1/api-keys/{id}")).bearer_auth(&token);
    asked.timeout(Duration::from_secs(1)).send().await.unwrap_err();
    raw.execute_batch("COMMIT").unwrap();
    let count = "SELECT count(*) FROM api_keys";
    while raw.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It is gone from the file, and a moment later from memory.
    for _ in 0..200 {
        if app.get(Some(&secret), "/v1/me").await.status == 401 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the key is still taken");
}

#[tokio::test]
async fn a_key_ends_when_it_was_said_to() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let soon = app.server().app().clock.now().micros() / 1_000_000 + 600;
    let soon = tongjang_server::api::time(tongjang_core::Timestamp::from_micros(soon * 1_000_000));
    let body = json!({"name": "ci", "scopes": ["read"], "expires_at": soon});
    let key = app.post(Some(&token), "/v1/api-keys", body).await.expect(201);
    assert_eq!(key["expires_at"], soon);
    app.get(key["secret"].as_str(), "/v1/me").await.expect(200);
    app.pass(601);
    app.get(key["secret"].as_str(), "/v1/me").await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_key_never_manages_keys() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let (id, secret) = app.key(&token, &["read", "write"]).await;
    let body = json!({"name": "more", "scopes": ["write"]});
    app.post(Some(&secret), "/v1/api-keys", body).await.problem(403, "not-permitted");
    app.get(Some(&secret), "/v1/api-keys").await.problem(403, "not-permitted");
    let path = format!("/v1/api-keys/{id}");
    app.delete(Some(&secret), &path).await.problem(403, "not-permitted");
}

#[tokio::test]
async fn a_reading_key_may_only_read() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let (_, secret) = app.key(&token, &["read"]).await;
    app.get(Some(&secret), "/v1/me").await.expect(200);
    let body = json!({"name": "x", "scopes": ["read"]});
    let refused = app.post(Some(&secret), "/v1/api-keys", body).await;
    let problem = refused.problem(403, "not-permitted");
    assert_eq!(problem["detail"], "This API key may only read.");
}

#[tokio::test]
async fn nobody_deletes_the_key_of_another() {
    let app = TestApp::start().await;
    let (minji, jisoo) = (app.user("minji").await, app.user("jisoo").await);
    let (id, secret) = app.key(&minji, &["read"]).await;
    let path = format!("/v1/api-keys/{id}");
    app.delete(Some(&jisoo), &path).await.problem(404, "not-found");
    app.delete(Some(&jisoo), "/v1/api-keys/nonsense").await.problem(404, "not-found");
    app.get(Some(&secret), "/v1/me").await.expect(200);
    assert_eq!(app.get(Some(&jisoo), "/v1/api-keys").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn an_unsound_key_is_pointed_at() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    for (body, pointer) in [
        (json!({"name": "", "scopes": ["read"]}), "/name"),
        (json!({"name": "x", "scopes": []}), "/scopes"),
        (json!({"name": "x", "scopes": ["admin"]}), "/scopes/0"),
        (json!({"name": "x"}), "/scopes"),
        (
            json!({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at",
        ),
        (json!({"name": "x", "scopes": ["read"], "expires_at": "tomorrow"}), "/expires_at"),
        (json!({"name": "x", "scopes": ["read"], "scope": "read"}), "/scope"),
    ] {
        let refused = app.post(Some(&token), "/v1/api-keys", body).await;
        let problem = refused.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}
