//! What every request passes, and what is refused before any handler sees it.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{PASSWORD, TestApp, answer};

#[tokio::test]
async fn what_is_nowhere_is_not_found() {
    let app = TestApp::start().await;
    for path in ["/v1", "/v1/", "/v1/me/", "/v2/me", "/V1/me", "/v1/none"] {
        app.get(None, path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn who_opens_the_address_in_a_browser_sees_the_calls() {
    let app = TestApp::start().await;
    let shown = app.get(None, "/").await;
    assert_eq!(shown.status, 200);
    assert!(shown.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let app = TestApp::start().await;
    let refused = answer(app.request(Method::PUT, "/v1/me")).await;
    refused.problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), "GET,HEAD");
    let refused = answer(app.request(Method::GET, "/v1/users")).await;
    refused.problem(405, "method-not-allowed");
    assert_eq!(refused.header("allow"), "POST");
    let options = answer(app.request(Method::OPTIONS, "/v1/api-keys")).await;
    assert_eq!(options.status, 204);
    let mut allowed: Vec<&str> = options.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let head = answer(app.request(Method::HEAD, "/healthz")).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn who_takes_no_json_gets_none() {
    let app = TestApp::start().await;
    let get = |accept: &str| app.request(Method::GET, "/v1/me").header("accept", accept);
    answer(get("text/html")).await.problem(406, "not-acceptable");
    answer(get("application/json;q=0")).await.problem(406, "not-acceptable");
    answer(get("text/html, */*;q=0.1")).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused() {
    let app = TestApp::start().await;
    let post = || app.request(Method::POST, "/v1/users");
    answer(post().body("{}")).await.problem(415, "unsupported-media-type");
    let typed = |kind: &str| post().header("content-type", kind.to_owned());
    answer(typed("text/plain").body("{}")).await.problem(415, "unsupported-media-type");
    let json = || typed("application/json");
    answer(json().body("{\"username\":")).await.problem(400, "malformed-json");
    answer(json().body("")).await.problem(400, "malformed-json");
    answer(json().body("[]")).await.problem(400, "invalid-request");
    let padded = |length: usize| {
        let start = format!("{{\"username\":\"m\",\"password\":\"{PASSWORD}\"}}");
        start + &" ".repeat(length)
    };
    answer(json().body(padded(1 << 20))).await.problem(413, "body-too-large");
    answer(json().body(padded(1 << 19))).await.problem(400, "invalid-request");
}

#[tokio::test]
async fn a_long_body_without_a_length_is_refused_too() {
    let app = TestApp::start().await;
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let head = "POST /v1/users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                connection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        // The server may close as soon as it has seen too much.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
}

#[tokio::test]
async fn a_problem_speaks_the_callers_language() {
    let app = TestApp::start().await;
    let get = |wish: &str| app.request(Method::GET, "/v1/me").header("accept-language", wish);
    let korean = answer(get("ko-KR,ko;q=0.9,en;q=0.8")).await;
    assert_eq!(korean.problem(401, "unauthenticated")["title"], "인증되지 않았습니다");
    assert_eq!(korean.header("content-language"), "ko");
    let english = answer(get("en,ko;q=0.9")).await;
    assert_eq!(english.problem(401, "unauthenticated")["title"], "Who is calling is not known");
    assert_eq!(english.header("content-language"), "en");
}

#[tokio::test]
async fn a_request_id_comes_back() {
    let app = TestApp::start().await;
    let given = app.request(Method::GET, "/healthz").header("x-request-id", "order-17");
    assert_eq!(answer(given).await.header("x-request-id"), "order-17");
    let one = app.get(None, "/healthz").await.header("x-request-id").to_owned();
    let other = app.get(None, "/v1/none").await.header("x-request-id").to_owned();
    assert!(!one.is_empty() && one != other, "{one} {other}");
}

#[tokio::test]
async fn who_does_not_finish_his_header_is_hung_up_on() {
    let short = Duration::from_millis(200);
    let app = TestApp::start_in(|_| {}, |around| around.limits.header = short).await;
    for start in ["", "G", "PRI * HTTP/2", "GET /healthz HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
        assert!(ended.await.is_ok(), "{start:?} was left open");
    }
}

#[tokio::test]
async fn who_does_not_finish_his_body_is_answered_all_the_same() {
    let short = Duration::from_millis(200);
    let app = TestApp::start_in(|_| {}, |around| around.limits.request = short).await;
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    let head = "POST /v1/users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 503");
}

#[tokio::test]
async fn who_finds_no_place_is_answered_when_another_leaves() {
    let app = TestApp::start_in(|_| {}, |around| around.limits.connections = 1).await;
    let ask = |stream: TcpStream| async move {
        let mut stream = stream;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream
    };
    let mut start = vec![0; 15];
    let mut first = ask(TcpStream::connect(app.address()).await.unwrap()).await;
    first.read_exact(&mut start).await.unwrap();
    let mut second = ask(TcpStream::connect(app.address()).await.unwrap()).await;
    let soon = Duration::from_millis(200);
    assert!(tokio::time::timeout(soon, second.read_exact(&mut start)).await.is_err());
    drop(first);
    second.read_exact(&mut start).await.unwrap();
    assert_eq!(start, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_takes_nothing_more() {
    let mut app = TestApp::start().await;
    let address = app.address();
    let body = json!({"username": "minji", "password": PASSWORD}).to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (first, rest) = (body[..10].to_owned(), body[10..].to_owned());
    let head = format!(
        "POST /v1/users HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{first}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Once this is answered, the server has read what was sent before it.
    app.get(None, "/healthz").await.expect(200);
    let late = tokio::spawn(async move {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    app.stop().await;
    let answer = late.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}
