//! `POST /v1/batches`, as one document and line by line.

use reqwest::Method;
use serde_json::{Value, json};
use tongjang_server::config::Deposits;

use crate::app::{Answer, TestApp, answer};
use crate::bank::{Person, text};

impl TestApp {
    /// A batch in one document.
    async fn batch(&self, token: &str, body: Value) -> Answer {
        answer(self.request(Method::POST, "/v1/batches").bearer_auth(token).json(&body)).await
    }

    /// The outcomes of commands, each for itself.
    pub(crate) async fn each(&self, token: &str, commands: &[Value]) -> Vec<Value> {
        let answer = self.batch(token, json!({"atomic": false, "commands": commands})).await;
        outcomes(&answer.expect(200))
    }

    /// The outcomes of commands that are booked together.
    pub(crate) async fn together(&self, token: &str, commands: &[Value]) -> Vec<Value> {
        let answer = self.batch(token, json!({"atomic": true, "commands": commands})).await;
        outcomes(&answer.expect(200))
    }

    /// The outcomes of a body of lines.
    pub(crate) async fn lines(&self, token: &str, body: impl Into<reqwest::Body>) -> Vec<Value> {
        let request = self.request(Method::POST, "/v1/batches").bearer_auth(token);
        let request = request.header("content-type", "application/x-ndjson").body(body);
        let answer = answer(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        read_lines(&answer.text)
    }

    /// What the account's history says, the newest first.
    async fn history(&self, person: &Person, account: &str) -> Vec<Value> {
        let path = format!("/v1/accounts/{account}/entries?limit=500");
        let page = self.look(person, &path).await.expect(200);
        page["data"].as_array().unwrap().clone()
    }
}

fn outcomes(answer: &Value) -> Vec<Value> {
    answer["outcomes"].as_array().unwrap().clone()
}

fn read_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn ndjson(commands: &[Value]) -> String {
    commands.iter().map(|command| format!("{command}\n")).collect()
}

pub(crate) fn deposit(account: &str, amount: u64) -> Value {
    json!({"op": "deposit", "account": account, "amount": amount})
}

pub(crate) fn withdrawal(account: &str, amount: u64) -> Value {
    json!({"op": "withdrawal", "account": account, "amount": amount})
}

pub(crate) fn transfer(from: &str, to: &str, amount: u64) -> Value {
    json!({"op": "transfer", "from_account": from, "to_account": to, "amount": amount})
}

pub(crate) fn keyed(mut command: Value, key: &str) -> Value {
    command["idempotency_key"] = key.into();
    command
}

/// What of outcomes a table can hold: the status, or the problem's code.
pub(crate) fn told(outcomes: &[Value]) -> Vec<String> {
    let mut before = 0;
    let tell = |outcome: &Value| {
        let line = outcome["line"].as_u64().unwrap();
        assert!(line > before, "lines are in order: {outcome}");
        before = line;
        if outcome["replayed"] == true {
            format!("{} replayed", said(outcome))
        } else {
            said(outcome)
        }
    };
    outcomes.iter().map(tell).collect()
}

fn said(outcome: &Value) -> String {
    match outcome["status"].as_u64().unwrap() {
        201 => "201".to_owned(),
        status => {
            assert_eq!(outcome["problem"]["status"], status, "{outcome}");
            text(&outcome["problem"], "code")
        }
    }
}

#[tokio::test]
async fn commands_are_booked_in_their_order_and_each_is_answered() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 1000).await, app.account(&jun, 0).await);
    let number = text(&app.seen(&jun, &b).await, "number");
    let commands = [
        deposit(&a, 500),
        transfer(&a, &b, 1400),
        withdrawal(&a, 200),
        json!({"op": "transfer", "from_account": a, "amount": 60, "memo": "점심", "to_memo": "민지",
            "to_account": {"bank": "tongjang", "number": number}, "metadata": {"k": "v"}}),
        json!({"op": "open", "currency": "USD", "name": "여행"}),
    ];
    let expected = ["201", "201", "insufficient-funds", "201", "201"];
    let outcomes = app.each(&minji.token, &commands).await;
    assert_eq!(told(&outcomes), expected);
    assert_eq!(outcomes[2]["problem"]["available"], 100);
    assert_eq!((app.balance(&minji, &a).await, app.balance(&jun, &b).await), (40, 1460));
    let booked = app.look(&minji, &format!("/v1/transactions/{}", text(&outcomes[3], "id"))).await;
    assert_eq!(booked.expect(200)["metadata"]["k"], "v");
    assert_eq!(app.history(&jun, &b).await[0]["memo"], "민지");
    let opened = text(&outcomes[4], "id");
    assert_eq!(app.seen(&minji, &opened).await["name"], "여행");

    // The same line by line, and the blank lines count.
    let lines = format!("\n{}\r\n \n{}", deposit(&a, 1), withdrawal(&a, 41));
    let outcomes = app.lines(&minji.token, lines).await;
    assert_eq!(told(&outcomes), ["201", "201"]);
    assert_eq!((&outcomes[0]["line"], &outcomes[1]["line"]), (&json!(2), &json!(4)));
    assert_eq!(app.balance(&minji, &a).await, 0);
}

#[tokio::test]
async fn a_full_answer_is_that_of_the_single_call() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 1000).await, app.account(&jun, 0).await);
    let commands = [
        transfer(&a, &b, 5),
        json!({"op": "open", "currency": "KRW", "name": "생활비"}),
        withdrawal(&a, 9999),
    ];
    let request = app.request(Method::POST, "/v1/batches?answer=full").bearer_auth(&minji.token);
    let request = request.header("content-type", "application/x-ndjson").body(ndjson(&commands));
    let outcomes = read_lines(&answer(request).await.text);
    assert_eq!(told(&outcomes), ["201", "201", "insufficient-funds"]);
    let booked = app.look(&minji, &format!("/v1/transactions/{}", text(&outcomes[0], "id"))).await;
    assert_eq!(outcomes[0]["body"], booked.expect(200));
    assert_eq!(outcomes[0]["body"]["entries"].as_array().unwrap().len(), 1, "the payer's alone");
    assert_eq!(outcomes[1]["body"], app.seen(&minji, &text(&outcomes[1], "id")).await);
    let single = app.withdraw(&minji, &a, json!({"amount": 9999})).await;
    assert_eq!(outcomes[2]["problem"], single.problem(422, "insufficient-funds"));
}

#[tokio::test]
async fn bad_lines_are_refused_and_the_others_are_booked() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let long = format!("{}{}", deposit(&a, 1), " ".repeat(70_000));
    let lines = [
        deposit(&a, 1).to_string(),
        r#"{"op": "deposit", "account": "#.to_owned(),
        deposit(&a, 10).to_string(),
        json!({"op": "deposit", "account": a, "amount": 1, "mem": "x"}).to_string(),
        json!({"op": "deposit", "account": a, "amount": "1"}).to_string(),
        json!({"op": "deposit", "account": a, "amount": 1.0}).to_string(),
        json!({"op": "deposit", "account": a}).to_string(),
        json!({"op": "refund", "account": a, "amount": 1}).to_string(),
        json!({"op": "deposit", "account": "acc_x", "amount": 1}).to_string(),
        "[]".to_owned(),
        "\u{feff}{}".to_owned(),
        long,
        deposit(&a, 100).to_string(),
        json!({"op": "open", "currency": "KRW", "bank": ""}).to_string(),
        json!({"op": "deposit", "account": a, "amount": 1, "memo": "a\nb"}).to_string(),
        keyed(deposit(&a, 1), "two words").to_string(),
        // It breaks off in the middle.
        deposit(&a, 1000).to_string()[..20].to_owned(),
    ];
    let outcomes = app.lines(&minji.token, lines.join("\n")).await;
    let expected = [
        "201",
        "malformed-json",
        "201",
        "invalid-request",
        "invalid-amount",
        "invalid-amount",
        "invalid-amount",
        "invalid-request",
        "not-found",
        "invalid-request",
        "malformed-json",
        "body-too-large",
        "201",
        "invalid-request",
        "invalid-request",
        "invalid-idempotency-key",
        "malformed-json",
    ];
    assert_eq!(told(&outcomes), expected);
    assert_eq!(outcomes[3]["problem"]["errors"][0]["pointer"], "/mem");
    assert_eq!(app.balance(&minji, &a).await, 111);
    // A last line that is whole needs no end.
    assert_eq!(told(&app.lines(&minji.token, deposit(&a, 1).to_string()).await), ["201"]);
    assert_eq!(app.lines(&minji.token, "").await, Vec::<Value>::new());
    assert_eq!(app.lines(&minji.token, "\n\n").await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_atomic_batch_is_booked_as_a_whole_or_not_at_all() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let (a, b) = (app.account(&minji, 1000).await, app.account(&minji, 0).await);
    let mut commands = vec![
        keyed(transfer(&a, &b, 600), "k1"),
        keyed(transfer(&b, &a, 500), "k2"),
        json!({"op": "open", "currency": "EUR", "number": "77-1", "idempotency_key": "k3"}),
        keyed(withdrawal(&a, 901), "k4"),
    ];
    let (history, accounts) =
        (app.history(&minji, &a).await, app.look(&minji, "/v1/accounts").await);
    let outcomes = app.together(&minji.token, &commands).await;
    assert_eq!(told(&outcomes), ["conflict", "conflict", "conflict", "insufficient-funds"]);
    assert!(text(&outcomes[0]["problem"], "detail").contains("command 4"), "{}", outcomes[0]);
    assert_eq!(app.history(&minji, &a).await, history);
    assert_eq!(app.history(&minji, &b).await, Vec::<Value>::new());
    assert_eq!(app.look(&minji, "/v1/accounts").await.text, accounts.text);

    // No key stands for anything, so the same keys serve the batch once it is right.
    commands[3] = keyed(withdrawal(&a, 900), "k4");
    let outcomes = app.together(&minji.token, &commands).await;
    assert_eq!(told(&outcomes), ["201"; 4]);
    assert_eq!((app.balance(&minji, &a).await, app.balance(&minji, &b).await), (0, 100));
    let again = app.together(&minji.token, &commands).await;
    assert_eq!(told(&again), ["201 replayed"; 4]);
    let ids = |outcomes: &[Value]| outcomes.iter().map(|o| o["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&outcomes));
    assert_eq!((app.balance(&minji, &a).await, app.balance(&minji, &b).await), (0, 100));

    // What is wrong in itself keeps all others from being booked too, and they are told which.
    let bad = [deposit(&a, 1), json!({"op": "deposit", "account": a, "amount": 0}), deposit(&a, 2)];
    let outcomes = app.together(&minji.token, &bad).await;
    assert_eq!(told(&outcomes), ["conflict", "invalid-amount", "conflict"]);
    assert!(text(&outcomes[2]["problem"], "detail").contains("command 2"), "{}", outcomes[2]);
    assert_eq!(app.balance(&minji, &a).await, 0);
}

#[tokio::test]
async fn an_atomic_batch_that_no_commit_can_hold_is_refused_as_a_whole() {
    let small = |around: &mut tongjang_server::serve::Surroundings| {
        around.limits.segment_bytes = 64 << 10;
    };
    let app = TestApp::on_a_folder_in(|_| {}, small).await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let commands = vec![deposit(&a, 1); 500];
    let refused = app.batch(&minji.token, json!({"atomic": true, "commands": commands})).await;
    refused.problem(422, "limit-exceeded");
    assert_eq!(app.balance(&minji, &a).await, 0);
    let some = app.together(&minji.token, &commands[..30]).await;
    assert_eq!(told(&some), ["201"; 30]);
    assert_eq!(told(&app.each(&minji.token, &commands).await), vec!["201"; 500]);
    assert_eq!(app.balance(&minji, &a).await, 530);
}

#[tokio::test]
async fn ten_thousand_commands_are_booked_together() {
    let app = TestApp::start_in(|_| {}, |around| around.limits.segment_bytes = 64 << 20).await;
    let minji = app.customer("minji").await;
    let (a, b) = (app.account(&minji, 10_000).await, app.account(&minji, 0).await);
    let commands = vec![transfer(&a, &b, 1); 10_000];
    assert_eq!(told(&app.together(&minji.token, &commands).await), vec!["201"; 10_000]);
    assert_eq!((app.balance(&minji, &a).await, app.balance(&minji, &b).await), (0, 10_000));
    let refused = app.together(&minji.token, &commands).await;
    assert_eq!(told(&refused)[..2], ["insufficient-funds", "conflict"]);

    let more = vec![transfer(&b, &a, 1); 10_001];
    for commands in [json!(more), json!([])] {
        let refused = app.batch(&minji.token, json!({"commands": commands})).await;
        let problem = refused.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], "/commands");
    }
    assert_eq!(app.balance(&minji, &a).await, 0);
}

#[tokio::test]
async fn a_key_used_twice_in_a_batch_books_once() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let commands = [
        keyed(deposit(&a, 5), "k"),
        keyed(deposit(&a, 5), "k"),
        keyed(deposit(&a, 6), "k"),
        keyed(withdrawal(&a, 6), "refused"),
        keyed(deposit(&a, 1), "more"),
        keyed(withdrawal(&a, 6), "refused"),
        json!({"op": "open", "currency": "KRW", "name": "하나", "idempotency_key": "o"}),
        json!({"op": "open", "currency": "KRW", "name": "하나", "idempotency_key": "o"}),
        json!({"op": "open", "currency": "KRW", "name": "둘", "idempotency_key": "o"}),
    ];
    let expected = [
        "201",
        "201 replayed",
        "idempotency-key-reused",
        "insufficient-funds",
        "201",
        "insufficient-funds replayed",
        "201",
        "201 replayed",
        "idempotency-key-reused",
    ];
    let outcomes = app.lines(&minji.token, ndjson(&commands)).await;
    assert_eq!(told(&outcomes), expected);
    assert_eq!(outcomes[0]["id"], outcomes[1]["id"]);
    assert_eq!(outcomes[2]["problem"]["fields"], json!(["amount"]));
    assert_eq!(outcomes[8]["problem"]["fields"], json!(["name"]));
    assert_eq!(app.seen(&minji, &text(&outcomes[6], "id")).await["name"], "하나");
    assert_eq!(app.balance(&minji, &a).await, 6);
    // The key is that of a single call, too.
    let path = format!("/v1/accounts/{a}/deposits");
    let single = app.asks(&minji, &path, json!({"amount": 5})).header("idempotency-key", "k");
    let single = answer(single).await;
    assert_eq!(single.header("idempotency-replayed"), "true");
    assert_eq!(single.expect(201)["id"], outcomes[0]["id"]);
}

#[tokio::test]
async fn a_foreign_account_is_not_told_of() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 1000).await, app.account_in(&minji, "USD").await);
    let own = app.account(&jun, 5).await;
    let place = json!({"bank": "tongjang", "number": "000"});
    let commands = [
        deposit(&a, 1),
        withdrawal(&a, 1_000_000),
        transfer(&a, &own, 1),
        transfer(&a, "acc_01j9w3k0v8e2t6m5qzr7xh4ndp", 1),
        transfer(&a, "nobody", 1),
        json!({"op": "transfer", "from_account": a, "to_account": place, "amount": 1}),
        transfer(&b, &b, 1),
        json!({"op": "open", "currency": "KRW", "owner_id": minji.id}),
    ];
    let expected = [["not-account-owner"; 7].as_slice(), &["not-permitted"]].concat();
    let outcomes = app.each(&jun.token, &commands).await;
    assert_eq!(told(&outcomes), expected);
    let single = app.deposit(&jun, &a, json!({"amount": 1})).await;
    assert!(outcomes[..7].iter().all(|outcome| outcome["problem"] == single.json()));
    let unknown = [
        transfer(&own, "acc_01j9w3k0v8e2t6m5qzr7xh4ndp", 1),
        transfer(&own, "nobody", 1),
        transfer("acc_01j9w3k0v8e2t6m5qzr7xh4ndp", &own, 1),
    ];
    for (outcome, command) in app.each(&jun.token, &unknown).await.iter().zip(&unknown) {
        let mut body = command.clone();
        body.as_object_mut().unwrap().remove("op");
        let single = app.transfer(&jun, body).await.problem(404, "not-found");
        assert_eq!(outcome["problem"], single);
    }
    assert_eq!(app.balance(&minji, &a).await, 1000);
}

#[tokio::test]
async fn an_operator_and_his_key_for_it_book_on_any_account() {
    let app = TestApp::on_a_folder().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let a = app.account(&minji, 1000).await;
    let operator = app.operator("boss").await;
    let body = json!({"name": "k", "scopes": ["operate"]});
    let refused = app.post(Some(&minji.token), "/v1/api-keys", body).await;
    refused.problem(403, "not-permitted");
    let (id, operate) = app.key(&operator, &["operate"]).await;
    let (_, write) = app.key(&operator, &["write"]).await;
    let keys = app.get(Some(&operator), "/v1/api-keys").await.expect(200);
    let made = keys["data"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(made["scopes"], json!(["read", "write", "operate"]));

    let commands = [
        deposit(&a, 1),
        json!({"op": "open", "currency": "KRW", "owner_id": jun.id, "name": "선물"}),
        json!({"op": "open", "currency": "KRW", "owner_id": "usr_01j9w3k0v8e2t6m5qzr7xh4ndp"}),
    ];
    for token in [&operator, &operate] {
        let outcomes = app.lines(token, ndjson(&commands)).await;
        assert_eq!(told(&outcomes), ["201", "201", "invalid-request"]);
        let opened = app.seen(&jun, &text(&outcomes[1], "id")).await;
        assert_eq!((&opened["owner_id"], &opened["name"]), (&json!(jun.id), &json!("선물")));
    }
    let outcomes = app.lines(&write, ndjson(&commands)).await;
    assert_eq!(told(&outcomes), ["not-account-owner", "not-permitted", "not-permitted"]);
    assert_eq!(app.balance(&minji, &a).await, 1002);

    // Nobody touches the ledger's own accounts, and a key is worth what its owner is.
    let settlement = tongjang_core::AccountId::settlement(tongjang_core::Currency::KRW, 0);
    let outcomes = app.each(&operate, &[deposit(&settlement.to_string(), 1)]).await;
    assert_eq!(told(&outcomes), ["not-account-owner"]);
    let data = app.data().join("directory.sqlite");
    demote(&data);
    let mut app = app;
    app.restart().await;
    let outcomes = app.each(&operate, &commands[..2]).await;
    assert_eq!(told(&outcomes), ["not-account-owner", "not-permitted"]);
}

fn demote(directory: &std::path::Path) {
    let raw = rusqlite::Connection::open(directory).unwrap();
    let sql = "UPDATE users SET role = 'customer' WHERE role = 'operator'";
    assert_eq!(raw.execute(sql, []).unwrap(), 1);
}

#[tokio::test]
async fn where_only_operators_deposit_they_alone_do_in_batches() {
    let app = TestApp::start_with(|config| config.deposits = Deposits::Operator).await;
    let minji = app.customer("minji").await;
    let (a, b) = (app.account(&minji, 0).await, app.account(&minji, 0).await);
    let operator = app.operator("boss").await;
    assert_eq!(told(&app.each(&operator, &[deposit(&a, 9)]).await), ["201"]);
    let commands = [deposit(&a, 1), withdrawal(&a, 1), transfer(&a, &b, 1)];
    let outcomes = app.each(&minji.token, &commands).await;
    assert_eq!(told(&outcomes), ["not-permitted", "not-permitted", "201"]);
    assert_eq!(app.balance(&minji, &a).await, 8);
}

#[tokio::test]
async fn an_account_that_a_line_opened_is_found_by_a_later_one() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 100).await;
    let open = json!({"op": "open", "currency": "KRW", "bank": "088", "number": "110-1"});
    let to = |number: &str, amount: u64| {
        json!({"op": "transfer", "from_account": a, "amount": amount,
            "to_account": {"bank": "088", "number": number}})
    };
    let commands = [to("110-1", 1), open, to("1101", 2), to("110-2", 4), deposit(&a, 8)];
    let expected = ["not-found", "201", "201", "not-found", "201"];
    assert_eq!(told(&app.lines(&minji.token, ndjson(&commands)).await), expected);
    assert_eq!(app.balance(&minji, &a).await, 106);
    let open = json!({"op": "open", "currency": "KRW", "bank": "088", "number": "110-2"});
    let commands = [open, to("110-2", 6), to("110-3", 1)];
    assert_eq!(told(&app.each(&minji.token, &commands).await), ["201", "201", "not-found"]);
    assert_eq!(app.balance(&minji, &a).await, 100);
}

#[tokio::test]
async fn a_batch_is_taken_as_it_should_be_sent_and_not_otherwise() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let body = json!({"commands": [deposit(&a, 1)]}).to_string();
    let send = |content_type: &str, body: &str| {
        let request = app.request(Method::POST, "/v1/batches").bearer_auth(&minji.token);
        request.header("content-type", content_type.to_owned()).body(body.to_owned())
    };
    for content_type in ["text/plain", "application/jsonl", "application/json; charset=euc-kr"] {
        answer(send(content_type, &body)).await.problem(415, "unsupported-media-type");
    }
    let json = "application/json";
    answer(send(json, "{")).await.problem(400, "malformed-json");
    answer(send(json, "[]")).await.problem(400, "invalid-request");
    answer(send(json, "{}")).await.problem(400, "invalid-request");
    answer(send(json, r#"{"commands": {}}"#)).await.problem(400, "invalid-request");
    answer(send(json, r#"{"commands": [1], "atomic": 1}"#)).await.problem(400, "invalid-request");
    answer(send(json, r#"{"commands": [1], "x": 1}"#)).await.problem(400, "invalid-request");
    let huge = format!("{}{}", body, " ".repeat(32 << 20));
    answer(send(json, &huge)).await.problem(413, "body-too-large");
    let key = send(json, &body).header("idempotency-key", "k");
    answer(key).await.problem(400, "invalid-idempotency-key");
    let lines_only = send(json, &body).header("accept", "application/x-ndjson");
    answer(lines_only).await.problem(406, "not-acceptable");
    let html = send(json, &body).header("accept", "text/html");
    answer(html).await.problem(406, "not-acceptable");
    assert_eq!(app.balance(&minji, &a).await, 0);

    let lines = send("application/x-ndjson", &deposit(&a, 1).to_string());
    let taken = answer(lines.header("accept", "application/x-ndjson")).await;
    assert_eq!(told(&read_lines(&taken.text)), ["201"]);
    let korean = send("Application/X-NDJSON; charset=utf-8", &withdrawal(&a, 9).to_string());
    let told = answer(korean.header("accept-language", "ko")).await;
    let outcome = &read_lines(&told.text)[0];
    assert_eq!(outcome["problem"]["title"], "잔액이 부족합니다");
}
