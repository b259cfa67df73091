//! Every code of the contract, provoked through HTTP at least once.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tongjang_core::{Command, Status};
use tongjang_server::problem::Code;

use crate::app::{Answer, PASSWORD, TestApp, answer};
use crate::bank::{Person, text};

/// Codes that cannot be provoked here, and why.
const NOT_HERE: [(Code, &str); 7] = [
    (Code::AlreadyReversed, "there is no call for reversals yet"),
    (Code::HoldNotPending, "there is no call for holds yet"),
    (Code::AccountNotEmpty, "there is no call that closes an account yet"),
    (Code::Conflict, "the embedded journal has one writer and so no conflicts"),
    (Code::BalanceOverflow, "it takes 2^31 of the largest deposits"),
    (Code::Internal, "it would be a bug; a page that panics is tried beside the edge"),
    (Code::Overloaded, "`failing` provokes it, with a teller who lets only one wait"),
];

/// What was answered so far, by code.
struct Seen(BTreeMap<&'static str, Answer>);

impl Seen {
    #[track_caller]
    fn take(&mut self, code: Code, answer: Answer) {
        let problem = answer.problem(code.status().as_u16(), code.as_str());
        if code.status() == 400 && code.as_str().starts_with("invalid-") {
            let located = problem["errors"][0]["pointer"].is_string();
            assert!(located || code == Code::InvalidCursor, "{problem}");
        }
        self.0.insert(code.as_str(), answer);
    }
}

#[tokio::test]
async fn each_code_of_the_contract_is_answered_where_it_is_due() {
    let app = TestApp::start().await;
    let mut seen = Seen(BTreeMap::new());
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let account = app.account(&minji, 1000).await;
    malformed(&app, &mut seen, &minji, &account).await;
    refused_by_the_rules(&app, &mut seen, &minji, &account).await;
    not_allowed(&app, &mut seen, &jun, &account).await;
    limited(&app, &mut seen).await;
    seen.take(Code::ShuttingDown, while_shutting_down().await);
    seen.take(Code::StoreUnavailable, without_a_directory().await);

    for code in Code::ALL {
        let excused = NOT_HERE.iter().find(|(here, _)| here == code);
        assert_eq!(seen.0.contains_key(code.as_str()), excused.is_none(), "{}", code.as_str());
    }
    for (code, answer) in &seen.0 {
        let status = answer.status.as_u16();
        let waits = matches!(status, 429 | 503);
        assert_eq!(!answer.header("retry-after").is_empty(), waits, "{code}");
        assert_eq!(!answer.header("www-authenticate").is_empty(), status == 401, "{code}");
    }
}

async fn malformed(app: &TestApp, seen: &mut Seen, minji: &Person, account: &str) {
    let path = format!("/v1/accounts/{account}/deposits");
    let raw = |kind: &str, body: String| {
        let request = app.request(Method::POST, &path).bearer_auth(&minji.token);
        answer(request.header("content-type", kind).body(body))
    };
    seen.take(Code::MalformedJson, raw("application/json", "{\"amount\": }".into()).await);
    seen.take(Code::UnsupportedMediaType, raw("text/plain", "{\"amount\": 1}".into()).await);
    let large = format!("{{\"memo\": \"{}\"}}", "m".repeat(1 << 20));
    seen.take(Code::BodyTooLarge, raw("application/json", large).await);
    let deposit = |body| app.deposit(minji, account, body);
    seen.take(Code::InvalidRequest, deposit(json!({"amount": 1, "memo": 2})).await);
    seen.take(Code::InvalidAmount, deposit(json!({"amount": 1.5})).await);
    let unkeyed = app.asks(minji, &path, json!({"amount": 1})).header("idempotency-key", "a b");
    seen.take(Code::InvalidIdempotencyKey, answer(unkeyed).await);
    let entries = format!("/v1/accounts/{account}/entries?cursor=made-up");
    seen.take(Code::InvalidCursor, app.look(minji, &entries).await);
    let page = app.request(Method::GET, "/v1/me").bearer_auth(&minji.token);
    seen.take(Code::NotAcceptable, answer(page.header("accept", "text/html")).await);
    seen.take(Code::MethodNotAllowed, app.delete(Some(&minji.token), "/v1/accounts").await);
    let nowhere = "/v1/accounts/acc_00000000000000000000000009";
    seen.take(Code::NotFound, app.look(minji, nowhere).await);
}

async fn refused_by_the_rules(app: &TestApp, seen: &mut Seen, minji: &Person, account: &str) {
    let withdraw = |amount: i64| app.withdraw(minji, account, json!({"amount": amount}));
    seen.take(Code::InsufficientFunds, withdraw(1001).await);
    let to = |target: &str| {
        app.transfer(minji, json!({"from_account": account, "to_account": target, "amount": 1}))
    };
    let dollars = app.account_in(minji, "USD").await;
    seen.take(Code::SameAccount, to(account).await);
    seen.take(Code::CurrencyMismatch, to(&dollars).await);
    let path = format!("/v1/accounts/{account}/withdrawals");
    let ask = |name: &str, value: &str, amount: i64| {
        answer(app.asks(minji, &path, json!({"amount": amount})).header(name, value))
    };
    seen.take(Code::VersionMismatch, ask("if-match", "\"1\"", 1).await);
    ask("idempotency-key", "k1", 1).await.expect(201);
    seen.take(Code::IdempotencyKeyReused, ask("idempotency-key", "k1", 2).await);
    let number = text(&app.seen(minji, account).await, "number");
    let body = json!({"currency": "KRW", "number": number});
    seen.take(Code::AccountNumberTaken, answer(app.asks(minji, "/v1/accounts", body)).await);

    let other = app.account(minji, 0).await;
    change_status(app, &other, Status::Frozen).await;
    let frozen = app.deposit(minji, &other, json!({"amount": 1})).await;
    seen.take(Code::AccountFrozen, frozen);
    change_status(app, &other, Status::Closed).await;
    seen.take(Code::AccountClosed, app.deposit(minji, &other, json!({"amount": 1})).await);
}

/// What an operator will do by a call of his own one day.
async fn change_status(app: &TestApp, account: &str, status: Status) {
    let server = app.server().app();
    let operator = tongjang_core::Caller::operator(tongjang_core::UserId::from_bits(1));
    let command = Command::ChangeStatus { account: account.parse().unwrap(), status };
    let request = server.request(operator, command, None, None);
    server.ledger.perform(request).await.unwrap().outcome.unwrap();
}

async fn not_allowed(app: &TestApp, seen: &mut Seen, jun: &Person, account: &str) {
    seen.take(Code::Unauthenticated, app.get(None, "/v1/me").await);
    let path = format!("/v1/accounts/{account}");
    seen.take(Code::NotAccountOwner, app.look(jun, &path).await);
    seen.take(Code::NotPermitted, app.look(jun, "/v1/ledger").await);
    let body = json!({"username": "jun", "password": PASSWORD});
    seen.take(Code::UsernameTaken, app.post(None, "/v1/users", body).await);
}

async fn limited(app: &TestApp, seen: &mut Seen) {
    let tae = app.customer("tae").await;
    let body = json!({"name": "backend", "scopes": ["read"]});
    let many = loop {
        let answer = app.post(Some(&tae.token), "/v1/api-keys", body.clone()).await;
        if answer.status != 201 {
            break answer;
        }
    };
    seen.take(Code::LimitExceeded, many);
    let wrong = json!({"username": "tae", "password": "not the password"});
    let slowed = loop {
        let answer = app.post(None, "/v1/tokens", wrong.clone()).await;
        if answer.status != 401 {
            break answer;
        }
    };
    seen.take(Code::RateLimited, slowed);
}

/// The answer to a deposit whose body arrives only when the teller has gone home.
async fn while_shutting_down() -> Answer {
    let mut app = TestApp::start_in(|_| {}, |around| around.limits.stop = Duration::ZERO).await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let head = format!(
        "POST /v1/accounts/{account}/deposits HTTP/1.1\r\nhost: bank\r\nconnection: close\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\
         expect: 100-continue\r\n\r\n",
        minji.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body when the handler waits for it.
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    app.stop().await;
    stream.write_all(b"{\"amount\": 1}").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    read(&answer)
}

/// The answer of a server whose directory is spoilt.
async fn without_a_directory() -> Answer {
    let app = TestApp::on_a_folder().await;
    let token = app.user("minji").await;
    let raw = rusqlite::Connection::open(app.data().join("directory.sqlite")).unwrap();
    raw.execute_batch("DROP TABLE api_keys").unwrap();
    app.get(Some(&token), "/v1/api-keys").await
}

/// An answer of HTTP/1.1 that has a length.
fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap());
    Answer {
        status: status.parse().unwrap(),
        headers: headers
            .map(|(name, value)| {
                let name: reqwest::header::HeaderName = name.parse().unwrap();
                (name, value.parse().unwrap())
            })
            .collect(),
        text: body.to_owned(),
    }
}
