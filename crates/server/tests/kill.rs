//! The server as a process that is killed under load, over and over: what was answered is there
//! unchanged and once, and what was not is settled by asking again with the same key. So with
//! single calls, and so with a stream of them.
//!
//! `TONGJANG_KILLS` says how often, six times if it is not set.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

/// How many book at once.
const CUSTOMERS: usize = 8;
const KILLS: usize = 6;
const PASSWORD: &str = "correct horse battery";

/// One life of the server.
struct Process {
    child: Child,
    base: String,
}

impl Process {
    fn start(data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tongjang"));
        command.args(["--log", "warn", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env_remove("TONGJANG_STORE");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let base = first.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(base.starts_with("http://"), "it did not start: {first}");
        Self { child, base }
    }

    /// No matter what it is doing.
    fn kill(self) {
        drop(self);
    }

    /// As a service manager does, which also expects it to end well.
    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

/// Not even a test that fails leaves a server behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody with two accounts, and the other customers' accounts to send money to.
#[derive(Clone)]
struct Customer {
    number: usize,
    token: String,
    accounts: [String; 2],
    others: Vec<String>,
}

/// A request that was sent, and what was answered if anything was.
#[derive(Clone)]
struct Sent {
    customer: usize,
    key: String,
    path: String,
    body: Value,
    answer: Option<(StatusCode, Value)>,
}

impl Customer {
    async fn join(client: &Client, base: &str, number: usize) -> Self {
        let login = json!({"username": format!("customer{number}"), "password": PASSWORD});
        let call = async |path: &str, token: &str, body: &Value| -> Value {
            let request = client.post(format!("{base}{path}")).bearer_auth(token).json(body);
            let response = request.send().await.unwrap();
            assert!(response.status().is_success(), "{path}: {}", response.status());
            response.json().await.unwrap()
        };
        let sign_up = client.post(format!("{base}/v1/users")).json(&login).send().await.unwrap();
        assert_eq!(sign_up.status(), StatusCode::CREATED);
        let log_in = client.post(format!("{base}/v1/tokens")).json(&login).send().await.unwrap();
        let token: Value = log_in.json().await.unwrap();
        let token = token["access_token"].as_str().unwrap().to_owned();
        let mut accounts = [const { String::new() }; 2];
        for account in &mut accounts {
            let opened = call("/v1/accounts", &token, &json!({"currency": "KRW"})).await;
            *account = opened["id"].as_str().unwrap().to_owned();
        }
        Self { number, token, accounts, others: Vec::new() }
    }

    /// The `nth` request of a round: deposits, withdrawals that are sometimes too large, and
    /// transfers to others and between the customer's own accounts.
    fn request(&self, round: usize, nth: usize) -> Sent {
        let [first, second] = &self.accounts;
        let other = &self.others[(nth * 7 + self.number) % self.others.len()];
        let transfer = |to: &str, amount: usize| {
            let memo = "이체";
            json!({"from_account": first, "to_account": to, "amount": amount, "memo": memo})
        };
        let (path, body) = match nth % 5 {
            0 => (format!("/v1/accounts/{first}/deposits"), json!({"amount": 1_000 + nth})),
            1 => (format!("/v1/accounts/{first}/withdrawals"), json!({"amount": 700 + nth})),
            2 => ("/v1/transfers".to_owned(), transfer(other, 90 + nth)),
            3 => ("/v1/transfers".to_owned(), transfer(second, 110)),
            _ => (format!("/v1/accounts/{second}/deposits"), json!({"amount": 1, "memo": "이자"})),
        };
        let key = format!("{round}-{}-{nth}", self.number);
        Sent { customer: self.number, key, path, body, answer: None }
    }

    /// Sends `sent` and tells the answer; `None` if there is none, or none that settles it.
    async fn ask(&self, client: &Client, base: &str, sent: &Sent) -> Option<(StatusCode, Value)> {
        let request = client.post(format!("{base}{}", sent.path)).bearer_auth(&self.token);
        let request = request.header("idempotency-key", &sent.key).json(&sent.body);
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body: Value = response.json().await.ok()?;
        let open = status == StatusCode::SERVICE_UNAVAILABLE;
        let settled = status == StatusCode::CREATED || status == StatusCode::UNPROCESSABLE_ENTITY;
        assert!(settled || open, "{}: {status} {body}", sent.path);
        body["replayed"] = json!(headers.contains_key("idempotency-replayed"));
        (!open).then_some((status, body))
    }

    /// Books without a pause until the server no longer answers.
    async fn work(self, client: Client, base: String, round: usize) -> Vec<Sent> {
        let mut all = Vec::new();
        for nth in 0.. {
            let mut sent = self.request(round, nth);
            sent.answer = self.ask(&client, &base, &sent).await;
            let gone = sent.answer.is_none();
            all.push(sent);
            if gone {
                break;
            }
        }
        all
    }

    /// All entries of an account, the oldest first, each of which must follow from the one before.
    async fn passbook(&self, client: &Client, base: &str, account: &str) -> Vec<Value> {
        let mut entries: Vec<Value> = Vec::new();
        let mut next = format!("/v1/accounts/{account}/entries?order=asc&limit=500");
        loop {
            let page = self.look(client, base, &next).await;
            entries.extend(page["data"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("/v1/accounts/{account}/entries?cursor={cursor}");
        }
        let mut balance = 0;
        for (before, entry) in entries.iter().enumerate() {
            assert_eq!(entry["number"], before + 1, "{account}");
            let amount = entry["amount"].as_i64().unwrap();
            balance += if entry["direction"] == "credit" { amount } else { -amount };
            assert_eq!(entry["balance"], balance, "entry {} of {account}", before + 1);
            assert!(balance >= 0, "entry {} of {account}", before + 1);
        }
        let shown = self.look(client, base, &format!("/v1/accounts/{account}")).await;
        assert_eq!(
            (&shown["balance"], &shown["entry_count"]),
            (&json!(balance), &json!(entries.len()))
        );
        entries
    }

    async fn look(&self, client: &Client, base: &str, path: &str) -> Value {
        let request = client.get(format!("{base}{path}")).bearer_auth(&self.token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }
}

/// Asks for everything again that was sent in the round: what was answered is answered so once
/// more, and what was not now is.
async fn settle(client: &Client, base: &str, customers: &[Customer], round: &mut [Sent]) {
    for sent in round {
        let customer = &customers[sent.customer];
        let (status, mut body) = customer.ask(client, base, sent).await.unwrap();
        if let Some((before, mut answered)) = sent.answer.take() {
            assert_eq!(body["replayed"], true, "{}: what was answered is lost", sent.key);
            answered["replayed"] = json!(true);
            assert_eq!((status, &body), (before, &answered), "{}", sent.key);
            if status == StatusCode::CREATED {
                let path = format!("/v1/transactions/{}", body["id"].as_str().unwrap());
                let mut kept = customer.look(client, base, &path).await;
                kept["replayed"] = json!(true);
                assert_eq!(kept, body, "{}", sent.key);
            }
        }
        body["replayed"] = json!(true);
        sent.answer = Some((status, body));
    }
}

/// Every account's history holds exactly what was answered over all rounds, once.
async fn compare(client: &Client, base: &str, customers: &[Customer], all: &[Sent]) {
    let mut booked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sent in all {
        let Some((StatusCode::CREATED, body)) = &sent.answer else { continue };
        let id = body["id"].as_str().unwrap();
        let from = sent.path.split('/').nth(3);
        let named = [from, sent.body["from_account"].as_str(), sent.body["to_account"].as_str()];
        for account in named.into_iter().flatten() {
            let fresh = booked.entry(account.to_owned()).or_default().insert(id.to_owned());
            assert!(fresh, "{}: two requests share {id}", sent.key);
        }
    }
    for customer in customers {
        for account in &customer.accounts {
            let entries = customer.passbook(client, base, account).await;
            let id = |entry: &Value| entry["transaction_id"].as_str().unwrap().to_owned();
            let kept: BTreeSet<String> = entries.iter().map(id).collect();
            assert_eq!(kept.len(), entries.len(), "{account} has a booking twice");
            let expected = booked.get(account).cloned().unwrap_or_default();
            assert_eq!(kept, expected, "{account}: what is kept and what was answered");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_every_kill() {
    let kills = std::env::var("TONGJANG_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut process = Process::start(&data);
    let client = Client::new();
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        customers.push(Customer::join(&client, &process.base, number).await);
    }
    let firsts: Vec<String> = customers.iter().map(|one| one.accounts[0].clone()).collect();
    for customer in &mut customers {
        let others = firsts.iter().filter(|account| !customer.accounts.contains(account));
        customer.others = others.cloned().collect();
    }
    let mut all: Vec<Sent> = Vec::new();
    for round in 0..kills {
        // A client of its own: no connection of an earlier life is tried again.
        let client = Client::new();
        let mut working = JoinSet::new();
        for customer in customers.clone() {
            working.spawn(customer.work(client.clone(), process.base.clone(), round));
        }
        tokio::time::sleep(Duration::from_millis(150 + (round as u64 * 137) % 400)).await;
        // Every third life ends in order, under load all the same.
        if round % 3 == 2 {
            process.stop();
        } else {
            process.kill();
        }
        let mut sent = working.join_all().await.concat();
        let open = sent.iter().filter(|sent| sent.answer.is_none()).count();
        assert_eq!(open, CUSTOMERS, "the last request of each is not answered");
        assert!(sent.len() > 2 * open, "hardly any load: {} requests", sent.len());
        process = Process::start(&data);
        settle(&client, &process.base, &customers, &mut sent).await;
        all.append(&mut sent);
        compare(&client, &process.base, &customers, &all).await;
    }
    process.kill();
    let mut verify = Command::new(env!("CARGO_BIN_EXE_tongjang"));
    let verified = verify.arg("verify").arg("--data").arg(&data).output().unwrap();
    let errors = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "after {kills} kills and {} requests: {errors}", all.len());
}

/// How many lines a stream has: more than are answered before the kill.
const LINES: usize = 40_000;

/// Sends `lines` as a batch line by line and reads its outcomes until the server is gone, which is
/// killed when so many were read.
async fn stream(process: Process, token: &str, lines: &str, kill_after: usize) -> Vec<Value> {
    let address = process.base.strip_prefix("http://").unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // So that most outcomes stay with the server until they are read, however fast it is.
    socket.set_recv_buffer_size(4096).unwrap();
    let connection = socket.connect(address.parse().unwrap()).await.unwrap();
    let (read, mut write) = connection.into_split();
    let head = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: kill\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        lines.len()
    );
    let body = [head.as_bytes(), lines.as_bytes()].concat();
    // It breaks off when the server is killed.
    let writing = tokio::spawn(async move { write.write_all(&body).await });
    let mut read = tokio::io::BufReader::new(read);
    let (mut outcomes, mut process) = (Vec::new(), Some(process));
    loop {
        let mut line = String::new();
        if !matches!(read.read_line(&mut line).await, Ok(some) if some > 0) {
            break;
        }
        // A line that is cut by the kill was not answered.
        if let Ok(outcome) = serde_json::from_str::<Value>(&line)
            && outcome.is_object()
        {
            outcomes.push(outcome);
        }
        if outcomes.len() >= kill_after {
            drop(process.take());
        }
    }
    let _ = writing.await;
    outcomes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_stream_that_was_answered_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut process = Process::start(&data);
    let customer = Customer::join(&Client::new(), &process.base, 0).await;
    let [account, other] = &customer.accounts;
    let line = |nth: usize| {
        let key = format!("line-{nth}");
        let command = match nth % 3 {
            2 => json!({"op": "transfer", "from_account": account, "to_account": other,
                "amount": 1, "idempotency_key": key}),
            _ => json!({"op": "deposit", "account": account, "amount": 2, "idempotency_key": key}),
        };
        format!("{command}\n")
    };
    let lines: String = (0..LINES).map(line).collect();
    let mut answered: Vec<Value> = Vec::new();
    for kill_after in [1, 700, 9_000] {
        let outcomes = stream(process, &customer.token, &lines, kill_after).await;
        assert!(kill_after <= outcomes.len() && outcomes.len() < LINES, "{}", outcomes.len());
        for (outcome, before) in outcomes.iter().zip(&answered) {
            assert_eq!((&outcome["id"], &outcome["replayed"]), (&before["id"], &json!(true)));
        }
        if outcomes.len() > answered.len() {
            answered = outcomes;
        }
        process = Process::start(&data);
    }
    let client = Client::new();
    let request = client.post(format!("{}/v1/batches", process.base)).bearer_auth(&customer.token);
    let request = request.header("content-type", "application/x-ndjson").body(lines);
    let text = request.send().await.unwrap().text().await.unwrap();
    let all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(all.len(), LINES);
    assert!(all.iter().all(|outcome| outcome["status"] == 201));
    for (outcome, before) in all.iter().zip(&answered) {
        assert_eq!((&outcome["id"], &outcome["replayed"]), (&before["id"], &json!(true)));
    }
    let booked: BTreeSet<&str> = all.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(booked.len(), LINES, "each is booked once");
    let transfers = LINES / 3;
    let deposits = LINES - transfers;
    let base = &process.base;
    let (entries, others) = (
        customer.passbook(&client, base, account).await,
        customer.passbook(&client, base, other).await,
    );
    assert_eq!((entries.len(), others.len()), (LINES, transfers));
    assert_eq!(entries.last().unwrap()["balance"], 2 * deposits - transfers);
    process.stop();
}
