//! A server that is killed over and over. So with single calls, and so with a stream of them.
//!
//! `TONGJANG_KILLS` says how often, six times if it is not set; on a database half as often.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tongjang_cluster::Cluster;

use crate::PATIENCE;
use crate::customers::{CUSTOMERS, Customer, Sent, all_join, caller, compare, settle};
use crate::ledger::migrated;
use crate::process::{Process, run};

const KILLS: usize = 6;

/// Kills the server on the ledger that `place` names, `kills` times under load.
async fn outlived(place: &[&str], kills: usize) {
    let mut process = Process::start(place);
    let client = caller();
    let customers = all_join(&client, &process.base).await;
    let mut all: Vec<Sent> = Vec::new();
    for round in 0..kills {
        // A client of its own: no connection of an earlier life is tried again.
        let client = caller();
        let answered = Arc::new(AtomicUsize::new(0));
        let mut working = JoinSet::new();
        for customer in customers.clone() {
            let (base, answered) = (process.base.clone(), answered.clone());
            working.spawn(customer.work(client.clone(), base, round, answered));
        }
        // After some answers, and at whatever moment then.
        let busy = async {
            while answered.load(SeqCst) < 3 * CUSTOMERS {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, busy).await.expect("the server answers");
        sleep(Duration::from_millis((round as u64 * 137) % 400)).await;
        // Every third life ends in order, under load all the same.
        if round % 3 == 2 {
            process.stop();
        } else {
            process.kill();
        }
        let mut sent = working.join_all().await.concat();
        let open = sent.iter().filter(|sent| sent.answer.is_none()).count();
        assert_eq!(open, CUSTOMERS, "the last request of each is not answered");
        process = Process::start(place);
        settle(&client, &process.base, &customers, &mut sent).await;
        all.append(&mut sent);
        compare(&client, &process.base, &customers, &all).await;
    }
    process.kill();
    run(&[&["verify"], place].concat());
}

fn kills() -> usize {
    std::env::var("TONGJANG_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    outlived(&["--data", data.to_str().unwrap()], kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_every_kill_of_a_server_on_a_database() {
    let database = migrated(Cluster::shared(), 4);
    outlived(&["--store", database.url()], kills().div_ceil(2)).await;
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
    let place = ["--data", data.to_str().unwrap()];
    let mut process = Process::start(&place);
    let customer = Customer::join(&Client::new(), &process.base, 0).await;
    let [account, other] = &customer.accounts;
    let (lines, _): (String, Vec<Sent>) = (0..LINES).map(|nth| customer.line(nth)).unzip();
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
        process = Process::start(&place);
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
