//! Batches line by line on a connection of the test's own: pauses, breaks, and who does not read.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tongjang_store::TellerLimits;

use crate::app::{PASSWORD, TestApp};
use crate::bank::text;
use crate::batches::{deposit, keyed, ndjson, told};
use crate::cli::{Process, post};

/// A connection on which a body of lines is written and read by hand.
struct Raw {
    read: BufReader<tokio::net::tcp::OwnedReadHalf>,
    write: tokio::net::tcp::OwnedWriteHalf,
}

impl Raw {
    async fn post(app: &TestApp, token: &str) -> Self {
        Self::open(app.address(), token).await
    }

    async fn open(address: SocketAddr, token: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (read, mut write) = stream.into_split();
        let head = format!(
            "POST /v1/batches HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {token}\r\n\
             content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        Self { read: BufReader::new(read), write }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.write.write_all(&chunk(bytes)).await.unwrap();
    }

    async fn end(&mut self) {
        self.write.write_all(b"0\r\n\r\n").await.unwrap();
    }

    /// Reads a line; none, if the answer is over. Who waits for a minute waits in vain.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let reading = self.read.read_line(&mut line);
        let some = tokio::time::timeout(Duration::from_secs(60), reading).await;
        (some.expect("nothing more is answered").unwrap() > 0).then_some(line)
    }

    /// Reads on to the next outcome.
    async fn next(&mut self) -> Value {
        loop {
            let line = self.line().await.expect("the answer is not over");
            if line.starts_with("{\"line\"") {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    /// Reads all outcomes up to the end of the answer.
    async fn outcomes(mut self) -> Vec<Value> {
        let mut outcomes = Vec::new();
        loop {
            // The last piece is an empty one.
            let Some(line) = self.line().await.filter(|line| line != "0\r\n") else {
                return outcomes;
            };
            if line.starts_with("{\"line\"") {
                outcomes.push(serde_json::from_str(&line).unwrap());
            }
        }
    }
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

#[tokio::test]
async fn outcomes_come_while_the_caller_pauses() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let mut stream = Raw::post(&app, &minji.token).await;
    for line in 1..=3 {
        // Nothing is sent until the line before is answered; half a line is none.
        let half = deposit(&a, line).to_string();
        let (one, other) = half.split_at(25);
        stream.send(one.as_bytes()).await;
        stream.send(format!("{other}\n").as_bytes()).await;
        let outcome = stream.next().await;
        assert_eq!((&outcome["line"], &outcome["status"]), (&json!(line), &json!(201)));
    }
    stream.end().await;
    assert_eq!(stream.outcomes().await, Vec::<Value>::new());
    assert_eq!(app.balance(&minji, &a).await, 6);
}

#[tokio::test]
async fn who_goes_away_in_the_middle_finds_all_of_it_by_his_keys() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let commands: Vec<Value> = (0..3000).map(|n| keyed(deposit(&a, 1), &format!("k{n}"))).collect();
    let body = ndjson(&commands);
    let mut answered = 0;
    for cut in [body.len() / 3, body.len() / 2] {
        let mut stream = Raw::post(&app, &minji.token).await;
        stream.send(&body.as_bytes()[..cut]).await;
        stream.next().await;
        answered += 1;
        drop(stream);
    }
    assert!(app.balance(&minji, &a).await >= answered / 2);
    let outcomes = app.lines(&minji.token, body).await;
    assert_eq!(outcomes.len(), 3000);
    assert!(outcomes.iter().all(|outcome| outcome["status"] == 201));
    assert_eq!(outcomes[0]["replayed"], true);
    assert_eq!(app.balance(&minji, &a).await, 3000);
    app.get(None, "/readyz").await.expect(200);
}

#[tokio::test]
async fn who_does_not_read_his_outcomes_is_not_read_from_either() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 0).await, app.account(&jun, 0).await);
    let mut stream = Raw::post(&app, &minji.token).await;
    let some = ndjson(&vec![json!({"op": "deposit", "account": a, "amount": 1, "x": 1}); 1000]);
    let mut sent = 0;
    // Each line's outcome is longer than the line, so the caller's own buffers fill up first.
    let blocked = loop {
        let sending = tokio::time::timeout(Duration::from_secs(3), stream.send(some.as_bytes()));
        match sending.await {
            Ok(()) => sent += 1,
            Err(_) => break true,
        }
        if sent > 2000 {
            break false;
        }
    };
    assert!(blocked, "{sent} thousand lines were taken in, and none of their outcomes was read");
    // Nobody else is held up.
    app.deposit(&jun, &b, json!({"amount": 1})).await.expect(201);
    assert_eq!(told(&app.each(&jun.token, &[deposit(&b, 1)]).await), ["201"]);
}

#[tokio::test]
async fn many_streams_at_a_narrow_window_wait_and_lose_nothing() {
    let narrow = TellerLimits { queue: 64, batch: 50 };
    let app = TestApp::start_in(|_| {}, |around| around.limits.teller = narrow).await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let body = ndjson(&vec![deposit(&a, 1); 2000]);
    let streams: Vec<_> = (0..4).map(|_| app.lines(&minji.token, body.clone())).collect();
    let mut streams = streams.into_iter();
    let [one, two, three, four] = std::array::from_fn(|_| streams.next().unwrap());
    let all = tokio::join!(one, two, three, four);
    for outcomes in [all.0, all.1, all.2, all.3] {
        assert_eq!(told(&outcomes), vec!["201"; 2000]);
    }
    assert_eq!(app.balance(&minji, &a).await, 8000);
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_in_order() {
    let mut app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let mut stream = Raw::post(&app, &minji.token).await;
    stream.send(ndjson(&[deposit(&a, 1), deposit(&a, 2)]).as_bytes()).await;
    assert_eq!(stream.next().await["line"], 1);
    assert_eq!(stream.next().await["line"], 2);
    let (_, outcomes) = tokio::join!(app.stop(), stream.outcomes());
    assert_eq!(told(&outcomes), ["shutting-down"]);
    assert_eq!(outcomes[0]["line"], 3);
}

#[tokio::test]
async fn a_broken_body_books_its_whole_lines_and_nothing_of_the_last() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let mut stream = Raw::post(&app, &minji.token).await;
    let lines = format!("{}\n{}", deposit(&a, 1), deposit(&a, 2));
    stream.send(lines.as_bytes()).await;
    // No size of a chunk.
    stream.write.write_all(b"zz\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read.read_to_end(&mut rest).await;
    while app.balance(&minji, &a).await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.balance(&minji, &a).await, 1);
}

#[tokio::test]
async fn a_line_without_an_end_takes_no_memory_and_the_next_one_is_booked() {
    // A process of its own, whose memory no other test uses.
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let base = &process.base;
    let login = json!({"username": "minji", "password": PASSWORD});
    post(base, None, "/v1/users", login.clone()).await;
    let token = text(&post(base, None, "/v1/tokens", login).await, "access_token");
    let opened = post(base, Some(&token), "/v1/accounts", json!({"currency": "KRW"})).await;
    let address = base.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = Raw::open(address, &token).await;
    let piece = vec![b'a'; 1 << 20];
    let before = resident_bytes(base).await;
    // A GiB.
    for _ in 0..1024 {
        stream.send(&piece).await;
    }
    let grown = resident_bytes(base).await - before;
    assert!(grown < 24e6, "the line is kept in memory: {grown} bytes");
    let line = deposit(&text(&opened, "id"), 7);
    stream.send(format!("\n{line}\n").as_bytes()).await;
    stream.end().await;
    assert_eq!(told(&stream.outcomes().await), ["body-too-large", "201"]);
}

/// What the server says that it has in memory.
async fn resident_bytes(base: &str) -> f64 {
    let page = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
    let name = "process_resident_memory_bytes ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.expect("Linux tells").parse().unwrap()
}
