//! Signing up, logging in, and who is known to be calling.

use serde_json::json;
use tongjang_server::config::Signup;

use crate::app::{PASSWORD, TestApp, answer};

#[tokio::test]
async fn whoever_signs_up_can_log_in_and_is_known() {
    let app = TestApp::start().await;
    let body = json!({"username": "Minji", "password": PASSWORD, "name": "김민지"});
    let user = app.post(None, "/v1/users", body).await.expect(201);
    assert!(user["id"].as_str().unwrap().starts_with("usr_"));
    assert_eq!(user["username"], "Minji");
    assert_eq!(user["name"], "김민지");
    assert_eq!(user["role"], "customer");
    assert!(user["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(user.get("password").is_none());

    let body = json!({"username": "mINJI", "password": PASSWORD});
    let token = app.post(None, "/v1/tokens", body).await.expect(200);
    assert_eq!(token["token_type"], "Bearer");
    assert_eq!(token["expires_in"], 43_200);
    let me = app.get(token["access_token"].as_str(), "/v1/me").await.expect(200);
    assert_eq!(me, user);
}

#[tokio::test]
async fn a_username_is_taken_in_any_case_and_width() {
    let app = TestApp::start().await;
    app.user("minji").await;
    for username in ["minji", "MINJI", "ｍｉｎｊｉ"] {
        let body = json!({"username": username, "password": PASSWORD});
        app.post(None, "/v1/users", body).await.problem(409, "username-taken");
    }
}

#[tokio::test]
async fn of_fifty_who_want_one_username_at_once_one_gets_it() {
    let app = TestApp::start().await;
    let body = json!({"username": "minji", "password": PASSWORD});
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let request = app.request(reqwest::Method::POST, "/v1/users").json(&body);
        tasks.spawn(async move { answer(request).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
}

#[tokio::test]
async fn an_unsound_username_or_password_is_pointed_at() {
    let app = TestApp::start().await;
    let long = "x".repeat(201);
    for (username, password, pointer) in [
        ("mi", PASSWORD, "/username"),
        ("min ji", PASSWORD, "/username"),
        ("minji", "short", "/password"),
        ("minji", &long, "/password"),
    ] {
        let body = json!({"username": username, "password": password});
        let problem = app.post(None, "/v1/users", body).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
        assert!(!problem.to_string().contains(password), "no password comes back");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let app = TestApp::start().await;
    app.user("minji").await;
    let wrong = json!({"username": "minji", "password": "wrong password"});
    let wrong = app.post(None, "/v1/tokens", wrong).await;
    let unknown = json!({"username": "nobody", "password": "wrong password"});
    let unknown = app.post(None, "/v1/tokens", unknown).await;
    wrong.problem(401, "unauthenticated");
    assert_eq!(wrong.header("www-authenticate"), "Bearer realm=\"tongjang\"");
    assert_eq!(wrong.text, unknown.text);
    let endless = json!({"username": "\u{fdfa}".repeat(100_000), "password": "wrong password"});
    assert_eq!(app.post(None, "/v1/tokens", endless).await.text, wrong.text);
}

#[tokio::test]
async fn after_ten_wrong_passwords_even_the_right_one_has_to_wait() {
    let app = TestApp::start().await;
    app.user("minji").await;
    let wrong = json!({"username": "Minji", "password": "wrong password"});
    for _ in 0..10 {
        app.post(None, "/v1/tokens", wrong.clone()).await.problem(401, "unauthenticated");
    }
    let right = json!({"username": "minji", "password": PASSWORD});
    let limited = app.post(None, "/v1/tokens", right.clone()).await;
    limited.problem(429, "rate-limited");
    let seconds: u32 = limited.header("retry-after").parse().unwrap();
    assert!((1..=301).contains(&seconds), "{seconds}");
    app.pass(i64::from(seconds));
    app.post(None, "/v1/tokens", right).await.expect(200);
}

#[tokio::test]
async fn a_token_ends_after_twelve_hours() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    app.pass(43_190);
    app.get(Some(&token), "/v1/me").await.expect(200);
    app.pass(10);
    let ended = app.get(Some(&token), "/v1/me").await;
    ended.problem(401, "unauthenticated");
    let challenge = "Bearer realm=\"tongjang\", error=\"invalid_token\"";
    assert_eq!(ended.header("www-authenticate"), challenge);
}

#[tokio::test]
async fn who_shows_no_token_or_a_wrong_one_is_nobody() {
    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let get = || app.request(reqwest::Method::GET, "/v1/me");
    let none = answer(get()).await;
    none.problem(401, "unauthenticated");
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"tongjang\"");
    let forged = format!("{}0", &token[..token.len() - 1]);
    for value in [
        format!("Basic {token}"),
        token.clone(),
        "Bearer".into(),
        "Bearer x".into(),
        format!("Bearer {forged}x"),
        format!("Bearer {token} {token}"),
    ] {
        let refused = answer(get().header("authorization", &value)).await;
        refused.problem(401, "unauthenticated");
    }
    let twice = get().bearer_auth(&token).bearer_auth(&token);
    answer(twice).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_outlives_a_restart_and_no_password_or_token_is_on_the_disk() {
    let mut app = TestApp::on_a_folder().await;
    let token = app.user("minji").await;
    let (_, secret) = app.key(&token, &["read"]).await;
    app.restart().await;
    app.get(Some(&token), "/v1/me").await.expect(200);
    app.get(Some(&secret), "/v1/me").await.expect(200);
    app.stop().await;
    for file in std::fs::read_dir(app.data()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for hidden in [PASSWORD, &token, &secret] {
                let found = bytes.windows(hidden.len()).any(|part| part == hidden.as_bytes());
                assert!(!found, "{} holds a secret", path.display());
            }
        }
    }
}

#[tokio::test]
async fn where_sign_up_is_closed_only_an_operator_takes_somebody_in() {
    let app = TestApp::start_with(|config| config.signup = Signup::Closed).await;
    let body = json!({"username": "minji", "password": PASSWORD});
    app.post(None, "/v1/users", body.clone()).await.problem(403, "not-permitted");
    let operator = app.operator("teller").await;
    let user = app.post(Some(&operator), "/v1/users", body).await.expect(201);
    assert_eq!(user["role"], "customer");
    let minji = app.log_in("minji").await;
    let body = json!({"username": "jisoo", "password": PASSWORD});
    app.post(Some(&minji), "/v1/users", body).await.problem(403, "not-permitted");
    assert_eq!(app.get(Some(&operator), "/v1/me").await.expect(200)["role"], "operator");
}
