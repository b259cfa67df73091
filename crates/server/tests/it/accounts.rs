//! Opening accounts, listing them and looking at them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, answer};
use crate::bank::text;

#[tokio::test]
async fn an_account_is_opened_empty_and_where_the_answer_says() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let body = json!({"currency": "KRW", "bank": "088", "number": "110-234-567", "name": "생활비"});
    let answer = app.post(Some(&minji.token), "/v1/accounts", body).await;
    let opened = answer.expect(201);
    let id = text(&opened, "id");
    assert!(id.starts_with("acc_"), "{id}");
    assert_eq!(answer.header("location"), format!("/v1/accounts/{id}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(opened["owner_id"], minji.id);
    for (name, value) in [
        ("bank", json!("088")),
        ("number", json!("110-234-567")),
        ("name", json!("생활비")),
        ("currency", json!("KRW")),
        ("status", json!("open")),
        ("balance", json!(0)),
        ("held", json!(0)),
        ("available", json!(0)),
        ("overdraft_limit", json!(0)),
        ("entry_count", json!(0)),
        ("version", json!(1)),
    ] {
        assert_eq!(opened[name], value, "{name}");
    }
    assert_eq!(text(&opened, "head_hash").len(), 64);
    assert!(text(&opened, "opened_at").ends_with('Z'));
    assert_eq!(app.look(&minji, answer.header("location")).await.text, answer.text);
}

#[tokio::test]
async fn bank_number_and_name_may_be_left_out() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let opened = app.post(Some(&minji.token), "/v1/accounts", json!({"currency": "USD"})).await;
    let opened = opened.expect(201);
    assert_eq!(opened["bank"], "tongjang");
    assert_eq!(opened["name"], Value::Null);
    let number = text(&opened, "number");
    let digits: Vec<u32> = number.chars().filter_map(|letter| letter.to_digit(10)).collect();
    assert!(number.starts_with("110-") && digits.len() == 13, "{number}");
    let luhn: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { *digit } else { digit * 2 % 10 + digit / 5 })
        .sum();
    assert_eq!(luhn % 10, 0, "{number}");
}

#[tokio::test]
async fn texts_are_composed_and_trimmed() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    // The same three letters, the first time typed in their parts.
    let body = json!({"currency": "KRW", "bank": " 은행 ", "name": "  쌈지  ", "number": " 1 "});
    let opened = app.post(Some(&minji.token), "/v1/accounts", body).await.expect(201);
    assert_eq!((&opened["bank"], &opened["name"]), (&json!("은행"), &json!("쌈지")));
    let body = json!({"currency": "KRW", "bank": "은행", "number": "1"});
    let again = app.post(Some(&minji.token), "/v1/accounts", body).await;
    again.problem(409, "account-number-taken");
}

#[tokio::test]
async fn what_cannot_be_opened_is_pointed_at() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    for (body, pointer) in [
        (json!({"currency": "ZZZ"}), "/currency"),
        (json!({"currency": "krw"}), "/currency"),
        (json!({"currency": "XAU"}), "/currency"),
        (json!({}), "/currency"),
        (json!({"currency": 410}), "/currency"),
        (json!({"currency": "KRW", "bank": ""}), "/bank"),
        (json!({"currency": "KRW", "bank": "b".repeat(41)}), "/bank"),
        (json!({"currency": "KRW", "number": "1_2"}), "/number"),
        (json!({"currency": "KRW", "number": "1".repeat(35)}), "/number"),
        (json!({"currency": "KRW", "name": "가".repeat(61)}), "/name"),
        (json!({"currency": "KRW", "name": "a\u{7}"}), "/name"),
        (json!({"currency": "KRW", "balance": 1000}), "/balance"),
    ] {
        let answer = app.post(Some(&minji.token), "/v1/accounts", body.clone()).await;
        let problem = answer.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let list = app.look(&minji, "/v1/accounts").await.expect(200);
    assert_eq!(list, json!({"data": [], "next_cursor": null, "prev_cursor": null}));
}

#[tokio::test]
async fn a_number_is_given_once_in_a_bank_whoever_asks() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let body =
        |bank: &str| json!({"currency": "KRW", "bank": bank, "number": "110-1", "name": "x"});
    app.post(Some(&minji.token), "/v1/accounts", body("088")).await.expect(201);
    let taken = app.post(Some(&jun.token), "/v1/accounts", body("088")).await;
    taken.problem(409, "account-number-taken");
    app.post(Some(&jun.token), "/v1/accounts", body("004")).await.expect(201);
}

#[tokio::test]
async fn a_label_is_its_owners_alone_and_outlives_a_restart() {
    let mut app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let body = json!({"currency": "KRW", "name": "비상금"});
    let opened = app.post(Some(&minji.token), "/v1/accounts", body).await.expect(201);
    let (from, to) = (text(&opened, "id"), app.account(&jun, 0).await);
    app.deposit(&minji, &from, json!({"amount": 5})).await.expect(201);
    app.transfer(&minji, json!({"from_account": from, "to_account": to, "amount": 5})).await;
    let seen = app.look(&jun, &format!("/v1/accounts/{to}/entries")).await;
    assert_eq!(seen.expect(200)["data"][0]["counterparty"]["name"], "minji");
    assert!(!seen.text.contains("비상금"), "{}", seen.text);
    app.restart().await;
    assert_eq!(app.seen(&minji, &from).await["name"], "비상금");
}

#[tokio::test]
async fn an_opening_is_repeated_under_its_key_and_opens_nothing_more() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let open = |body: Value| {
        answer(app.asks(&minji, "/v1/accounts", body).header("idempotency-key", "\"k1\""))
    };
    let body = json!({"currency": "KRW", "name": "생활비"});
    let first = open(body.clone()).await;
    let id = text(&first.expect(201), "id");
    assert_eq!(first.header("idempotency-replayed"), "");
    // What happens to the account meanwhile does not change the answer.
    app.deposit(&minji, &id, json!({"amount": 5})).await.expect(201);
    let again = open(body).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("etag"), first.header("etag"));
    for (body, fields) in [
        (json!({"currency": "USD", "name": "생활비"}), json!(["currency"])),
        (json!({"currency": "KRW", "name": "월급"}), json!(["name"])),
        (json!({"currency": "KRW"}), json!(["name"])),
        (json!({"currency": "KRW", "name": "생활비", "number": "1"}), json!(["number"])),
    ] {
        let problem = open(body).await.problem(422, "idempotency-key-reused");
        assert_eq!(problem["fields"], fields);
    }
    let list = app.look(&minji, "/v1/accounts").await.expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["name"], "생활비");
}

#[tokio::test]
async fn an_account_seen_before_is_not_sent_again() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let path = format!("/v1/accounts/{account}");
    let look = |tag: &str| {
        let request = app.request(Method::GET, &path).bearer_auth(&minji.token);
        answer(request.header("if-none-match", tag))
    };
    let unchanged = look("\"1\"").await;
    assert_eq!((unchanged.status.as_u16(), unchanged.text.as_str()), (304, ""));
    assert_eq!(unchanged.header("etag"), "\"1\"");
    app.deposit(&minji, &account, json!({"amount": 5})).await.expect(201);
    let changed = look("\"1\"").await;
    assert_eq!(changed.expect(200)["version"], 2);
    assert_eq!(changed.header("etag"), "\"2\"");
}

#[tokio::test]
async fn one_sees_ones_own_accounts_page_by_page_and_nobody_elses() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.push(app.account(&minji, 0).await);
        app.account(&jun, 0).await;
    }
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|account| text(account, "id")).collect()
    };
    let first = app.look(&minji, "/v1/accounts?limit=2&order=asc").await.expect(200);
    assert_eq!(ids(&first), opened[..2]);
    assert_eq!(first["prev_cursor"], Value::Null);
    let turn = |page: &Value, name: &str| {
        let path = format!("/v1/accounts?cursor={}", text(page, name));
        let (app, minji) = (&app, &minji);
        async move { app.look(minji, &path).await.expect(200) }
    };
    let second = turn(&first, "next_cursor").await;
    assert_eq!(ids(&second), opened[2..4]);
    let third = turn(&second, "next_cursor").await;
    assert_eq!(ids(&third), opened[4..]);
    assert_eq!(third["next_cursor"], Value::Null);
    assert_eq!(turn(&third, "prev_cursor").await, second);
    assert_eq!(turn(&second, "prev_cursor").await, first);

    // A cursor is of its caller and its order.
    let cursor = text(&first, "next_cursor");
    for (person, query) in [
        (&jun, format!("cursor={cursor}")),
        (&minji, format!("cursor={cursor}&order=desc")),
        (&minji, format!("cursor={cursor}x")),
    ] {
        let answer = app.look(person, &format!("/v1/accounts?{query}")).await;
        answer.problem(400, "invalid-cursor");
    }
    for query in ["limit=0", "limit=501", "limit=x", "order=up", "page=2", "limit=1&limit=2"] {
        let answer = app.look(&minji, &format!("/v1/accounts?{query}")).await;
        answer.problem(400, "invalid-request");
    }
}
