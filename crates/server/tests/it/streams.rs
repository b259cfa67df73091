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
pub(crate) struct Raw {
    read: BufReader<tokio::net::tcp::OwnedReadHalf>,
    write: tokio::net::tcp::OwnedWriteHalf,
}

impl Raw {
    pub(crate) async fn post(app: &TestApp, token: &str) -> Self {
        Self::open(app.address(), token).await
    }

    async fn open(address: SocketAddr, token: &str) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap(), token, "").await
    }

    /// The same on this connection, with some more lines in its head.
    async fn on(stream: TcpStream, token: &str, more: &str) -> Self {
        let (read, mut write) = stream.into_split();
        let head = format!(
            "POST /v1/batches HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {token}\r\n{more}\
             content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        Self { read: BufReader::new(read), write }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.write.write_all(&chunk(bytes)).await.unwrap();
    }

    pub(crate) async fn end(&mut self) {
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
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let line = self.line().await.expect("the answer is not over");
            if line.starts_with("{\"line\"") {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }

    /// Reads all outcomes up to the end of the answer.
    pub(crate) async fn outcomes(mut self) -> Vec<Value> {
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
    assert!(app.balance(&minji, &a).await >= 1, "one at least was answered: {answered}");
    let outcomes = app.lines(&minji.token, body).await;
    assert_eq!(outcomes.len(), 3000);
    assert!(outcomes.iter().all(|outcome| outcome["status"] == 201));
    assert_eq!(outcomes[0]["replayed"], true);
    assert_eq!(app.balance(&minji, &a).await, 3000);
    app.get(None, "/readyz").await.expect(200);
}

#[tokio::test]
async fn who_does_not_read_his_outcomes_is_not_read_from_either() {
    const BLOCKS: usize = 800;
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (a, b) = (app.account(&minji, 0).await, app.account(&jun, 0).await);
    // His outcomes stay with the server, and soon fill what it may keep of them.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(app.address()).await.unwrap();
    let Raw { mut read, mut write } = Raw::on(stream, &minji.token, "").await;
    // Each line's outcome is longer than the line. A block's only deposit tells that it was read.
    let mut block = vec![json!({"op": "deposit", "account": a, "amount": 1, "x": 1}); 100];
    block[0] = deposit(&a, 1);
    let block = chunk(ndjson(&block).as_bytes());
    let sending = tokio::spawn(async move {
        for _ in 0..BLOCKS {
            write.write_all(&block).await.unwrap();
        }
        write.write_all(b"0\r\n\r\n").await.unwrap();
        write
    });
    // Until nothing more is taken in, however often it is asked.
    let (mut taken, mut the_same) = (0, 0);
    while the_same < 100 {
        let now = app.balance(&minji, &a).await;
        the_same = if now == taken && now > 0 { the_same + 1 } else { 0 };
        taken = now;
        assert!((taken as usize) < BLOCKS, "all was taken in, and none of its outcomes was read");
    }
    // Nobody else is held up.
    app.deposit(&jun, &b, json!({"amount": 1})).await.expect(201);
    assert_eq!(told(&app.each(&jun.token, &[deposit(&b, 1)]).await), ["201"]);
    // It goes on as soon as somebody reads.
    let mut outcomes = 0;
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.unwrap();
        outcomes += usize::from(line.starts_with("{\"line\""));
        if line == "0\r\n" {
            break;
        }
    }
    assert_eq!(outcomes, BLOCKS * 100);
    assert_eq!(app.balance(&minji, &a).await, BLOCKS as i64);
    sending.await.unwrap();
}

#[tokio::test]
async fn who_waits_to_be_told_to_go_on_is_told_before_the_answer_begins() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let a = app.account(&minji, 0).await;
    let connect = || async { TcpStream::connect(app.address()).await.unwrap() };
    let waits = "expect: 100-continue\r\n";
    let mut stream = Raw::on(connect().await, &minji.token, waits).await;
    assert_eq!(stream.line().await.unwrap(), "HTTP/1.1 100 Continue\r\n");
    assert_eq!(stream.line().await.unwrap(), "\r\n");
    // The head of the answer does not wait for a line, and nor does it with who expects nothing.
    assert_eq!(stream.line().await.unwrap(), "HTTP/1.1 200 OK\r\n");
    stream.send(ndjson(&[deposit(&a, 1)]).as_bytes()).await;
    assert_eq!(stream.next().await["status"], 201);
    stream.end().await;
    assert_eq!(stream.outcomes().await.len(), 0);
    let mut stream = Raw::on(connect().await, &minji.token, "").await;
    assert_eq!(stream.line().await.unwrap(), "HTTP/1.1 200 OK\r\n");
    // Who is refused is told so, and not to go on.
    let mut stream = Raw::on(connect().await, "nobody", waits).await;
    assert_eq!(stream.line().await.unwrap(), "HTTP/1.1 401 Unauthorized\r\n");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_silent_peer_is_asked_whether_he_is_still_there() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let connection = TcpStream::connect(app.address()).await.unwrap();
    let (here, there) = (connection.local_addr().unwrap().port(), app.address().port());
    let mut stream = Raw::on(connection, &minji.token, "").await;
    stream.line().await.unwrap();
    // Of the server's end the kernel says which timer runs, and 02 is that of a silent peer.
    let (local, remote) = (format!(":{there:04X}"), format!(":{here:04X}"));
    loop {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let mut ends = rows.filter(|row| row[1].ends_with(&local) && row[2].ends_with(&remote));
        let timer = ends.next().expect("it is connected")[5].to_owned();
        // While something was sent and not yet acknowledged, another one runs.
        if !timer.starts_with("01:") {
            assert!(timer.starts_with("02:"), "{timer}");
            break;
        }
    }
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
