//! Batches when something else goes wrong: a part that fails, a key that is gone, too much at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tongjang_server::app::Random;
use tongjang_server::auth::TOKEN_SECONDS;
use tongjang_server::config::Deposits;

use crate::app::{TestApp, answer};
use crate::bank::text;
use crate::batches::{deposit, keyed, ndjson, told, withdrawal};
use crate::streams::Raw;

#[tokio::test]
async fn what_was_booked_before_a_failure_is_told_line_by_line() {
    let app = TestApp::on_a_folder().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 100).await;
    let place = json!({"bank": "088", "number": "110-1"});
    let commands = [
        deposit(&a, 5),
        json!({"op": "open", "currency": "KRW", "bank": "088", "number": "110-1"}),
        // It waits for what is before it, and so do those after it.
        json!({"op": "transfer", "from_account": a, "to_account": place, "amount": 1}),
        // Its name cannot be put down.
        json!({"op": "open", "currency": "KRW", "name": "여행"}),
        deposit(&a, 7),
    ];
    let raw = rusqlite::Connection::open(app.data().join("directory.sqlite")).unwrap();
    raw.execute("ALTER TABLE account_labels RENAME TO elsewhere", []).unwrap();
    let failed = "store-unavailable";
    let outcomes = app.each(&minji.token, &commands).await;
    assert_eq!(told(&outcomes), ["201", "201", failed, failed, failed]);
    assert_eq!(outcomes[2]["status"], 503);
    raw.execute("ALTER TABLE elsewhere RENAME TO account_labels", []).unwrap();
    assert_eq!(app.balance(&minji, &a).await, 105);
    // Where nothing was booked before, the failure is that of the call.
    raw.execute("ALTER TABLE account_labels RENAME TO elsewhere", []).unwrap();
    let request = app.request(Method::POST, "/v1/batches").bearer_auth(&minji.token);
    let whole = answer(request.json(&json!({"commands": commands[3..]}))).await;
    whole.problem(503, failed);
    raw.execute("ALTER TABLE elsewhere RENAME TO account_labels", []).unwrap();
    assert_eq!(app.balance(&minji, &a).await, 105);
}

#[tokio::test]
async fn a_key_that_stands_for_another_name_keeps_an_atomic_batch_from_being_booked() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let open =
        |name: &str, key: &str| keyed(json!({"op": "open", "currency": "KRW", "name": name}), key);
    let opened = app.each(&minji.token, &[open("하나", "k")]).await;
    for commands in [
        [deposit(&a, 1), open("둘", "k"), deposit(&a, 2)],
        [deposit(&a, 1), keyed(json!({"op": "open", "currency": "KRW"}), "k"), deposit(&a, 2)],
    ] {
        let outcomes = app.together(&minji.token, &commands).await;
        assert_eq!(told(&outcomes), ["conflict", "idempotency-key-reused", "conflict"]);
        assert_eq!(outcomes[1]["problem"]["fields"], json!(["name"]));
    }
    let twice = [open("하나", "new"), open("둘", "new"), deposit(&a, 3)];
    let outcomes = app.together(&minji.token, &twice).await;
    assert_eq!(told(&outcomes), ["conflict", "idempotency-key-reused", "conflict"]);
    assert_eq!(app.balance(&minji, &a).await, 0);
    // The right name is replayed, and no key stands for anything that was not booked.
    let right = [open("하나", "k"), open("셋", "new"), deposit(&a, 4)];
    let outcomes = app.together(&minji.token, &right).await;
    assert_eq!(told(&outcomes), ["201 replayed", "201", "201"]);
    assert_eq!(outcomes[0]["id"], opened[0]["id"]);
    assert_eq!(app.balance(&minji, &a).await, 4);
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_deleted_or_its_token_runs_out() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let (id, key) = app.key(&minji.token, &["write"]).await;
    let mut by_key = Raw::post(&app, &key).await;
    let mut by_token = Raw::post(&app, &minji.token).await;
    for stream in [&mut by_key, &mut by_token] {
        stream.send(ndjson(&[deposit(&a, 1)]).as_bytes()).await;
        assert_eq!(stream.next().await["status"], 201);
    }
    let deleted = app.delete(Some(&minji.token), &format!("/v1/api-keys/{id}")).await;
    assert_eq!(deleted.status, 204);
    by_key.send(ndjson(&[deposit(&a, 10), deposit(&a, 100)]).as_bytes()).await;
    let outcomes = by_key.outcomes().await;
    assert_eq!(told(&outcomes), ["unauthenticated"]);
    assert_eq!(outcomes[0]["line"], 2);

    app.pass(i64::from(TOKEN_SECONDS));
    by_token.send(ndjson(&[deposit(&a, 1000)]).as_bytes()).await;
    assert_eq!(told(&by_token.outcomes().await), ["unauthenticated"]);
    let minji = crate::bank::Person { token: app.log_in("minji").await, ..minji };
    assert_eq!(app.balance(&minji, &a).await, 2);
}

#[tokio::test]
async fn a_user_has_so_many_streams_and_no_more() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 0).await, app.account(&jun, 0).await);
    let mut streams = Vec::new();
    for _ in 0..16 {
        let mut stream = Raw::post(&app, &minji.token).await;
        stream.send(ndjson(&[deposit(&a, 1)]).as_bytes()).await;
        assert_eq!(stream.next().await["status"], 201);
        streams.push(stream);
    }
    let one_more = || {
        let request = app.request(Method::POST, "/v1/batches").bearer_auth(&minji.token);
        answer(request.header("content-type", "application/x-ndjson").body(ndjson(&[])))
    };
    let refused = one_more().await;
    refused.problem(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(told(&app.lines(&jun.token, ndjson(&[deposit(&b, 1)])).await), ["201"]);
    let mut one = streams.pop().unwrap();
    one.end().await;
    assert_eq!(one.outcomes().await.len(), 0);
    // Its place is free once it is over for the server, too.
    while one_more().await.status == 429 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn documents_have_room_for_so_many_bytes_of_a_user() {
    let small = |around: &mut tongjang_server::serve::Surroundings| {
        around.limits.batches.bytes_of_user = 64 << 10;
        around.limits.batches.patience = std::time::Duration::from_millis(1);
    };
    let app = TestApp::start_in(|_| {}, small).await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 0).await, app.account(&jun, 0).await);
    let mut held = TcpStream::connect(app.address()).await.unwrap();
    let document = json!({"commands": [deposit(&a, 1)]}).to_string();
    let padded = format!("{document}{}", " ".repeat((64 << 10) - document.len()));
    let head = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {}\r\n\
         connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        minji.token,
        padded.len()
    );
    held.write_all(head.as_bytes()).await.unwrap();
    held.write_all(&padded.as_bytes()[..60 << 10]).await.unwrap();
    // It is for the server to read what was sent.
    let mut tries = 0;
    let refused = loop {
        tries += 1;
        assert!(tries < 1000, "the room is taken, and nobody is sent away");
        let request = app.request(Method::POST, "/v1/batches").bearer_auth(&minji.token);
        let other = answer(request.json(&json!({"commands": [deposit(&a, 10)]}))).await;
        if other.status != 200 {
            break other;
        }
    };
    refused.problem(429, "rate-limited");
    assert_eq!(told(&app.each(&jun.token, &[deposit(&b, 1)]).await), ["201"]);
    held.write_all(&padded.as_bytes()[60 << 10..]).await.unwrap();
    let mut text = String::new();
    held.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("\"status\":201"), "{text}");
    assert_eq!(told(&app.each(&minji.token, &[deposit(&a, 1)]).await), ["201"]);
}

#[tokio::test]
async fn a_write_key_of_an_operator_is_good_for_his_own_accounts_alone() {
    let app = TestApp::start_with(|config| config.deposits = Deposits::Operator).await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let operator = app.operator("boss").await;
    let (_, write) = app.key(&operator, &["write"]).await;
    let (_, operate) = app.key(&operator, &["operate"]).await;
    let own = app.post(Some(&operator), "/v1/accounts", json!({"currency": "KRW"})).await;
    let own = text(&own.expect(201), "id");
    let commands = [deposit(&own, 5), deposit(&a, 5), withdrawal(&own, 1), withdrawal(&a, 1)];
    let refused = "not-account-owner";
    for (key, status, outcomes) in [
        (&write, 403, ["201", refused, "201", refused]),
        (&operate, 201, ["201", "201", "201", "201"]),
    ] {
        assert_eq!(told(&app.each(key, &commands).await), outcomes);
        let single = |account: &str| {
            let path = format!("/v1/accounts/{account}/deposits");
            answer(app.request(Method::POST, &path).bearer_auth(key).json(&json!({"amount": 1})))
        };
        single(&own).await.expect(201);
        assert_eq!(single(&a).await.status, status);
    }
    assert_eq!(app.balance(&minji, &a).await, 5);
}

/// Chance that says the same for so many numbers of eight bytes as it is told.
fn repeating(left: Arc<AtomicU64>) -> Random {
    let real = Random::system();
    Random::new(move |bytes| {
        let again = bytes.len() == 8
            && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if again {
            bytes.fill(7);
        } else {
            bytes.copy_from_slice(&chance(&real, bytes.len()));
        }
    })
}

fn chance(real: &Random, bytes: usize) -> Vec<u8> {
    let words = real.nonces(bytes.div_ceil(8));
    words.into_iter().flat_map(u64::to_ne_bytes).take(bytes).collect()
}

#[tokio::test]
async fn a_number_that_was_made_up_and_is_taken_is_made_up_anew() {
    let left = Arc::new(AtomicU64::new(0));
    let random = repeating(left.clone());
    let app = TestApp::on_a_folder_in(|_| {}, |around| around.random = random).await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let open = |name: &str| json!({"op": "open", "currency": "KRW", "name": name});
    let number = async |outcome: &serde_json::Value| {
        let account = app.seen(&minji, &text(outcome, "id")).await;
        (text(&account, "number"), text(&account, "name"))
    };
    left.store(1, SeqCst);
    let first = app.each(&minji.token, &[open("처음"), deposit(&a, 1)]).await;
    assert_eq!(told(&first), ["201", "201"]);
    let (taken, _) = number(&first[0]).await;

    left.store(1, SeqCst);
    let each = app.each(&minji.token, &[open("다음"), deposit(&a, 1)]).await;
    left.store(1, SeqCst);
    let together = app.together(&minji.token, &[open("함께"), deposit(&a, 1)]).await;
    for (outcomes, name) in [(each, "다음"), (together, "함께")] {
        assert_eq!(told(&outcomes), ["201", "201"]);
        let (number, label) = number(&outcomes[0]).await;
        assert!(number != taken && label == name, "{number} {label}");
    }

    // Chance that says nothing else finds none, and nothing of the name is left.
    left.store(u64::MAX, SeqCst);
    let outcomes = app.each(&minji.token, &[open("못 찾음"), deposit(&a, 1)]).await;
    left.store(0, SeqCst);
    assert_eq!(told(&outcomes), ["account-number-taken", "201"]);
    let raw = rusqlite::Connection::open(app.data().join("directory.sqlite")).unwrap();
    let names = "SELECT count(*) FROM account_labels WHERE name = '못 찾음'";
    assert_eq!(raw.query_row(names, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(app.balance(&minji, &a).await, 4);
}
