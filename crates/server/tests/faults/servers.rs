//! Two servers on one database, of which one goes.

use serde_json::Value;
use tokio::task::block_in_place;
use tongjang_cluster::Cluster;

use crate::customers::{Sent, caller};
use crate::ledger::migrated;
use crate::load::Books;
use crate::process::{Process, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_servers_is_killed_and_the_other_goes_on() {
    let database = migrated(Cluster::shared(), 4);
    let place = ["--store", database.url()];
    let mut mortal = Process::start(&place);
    let mut other = Process::start(&place);
    let mut books = Books::open(&other.base).await;
    for _ in 0..2 {
        let mut load = books.load(&[&mortal.base, &other.base]);
        load.goes_on(0, 40).await;
        mortal.kill();
        load.goes_on(1, 60).await;
        let tally = load.tally.clone();
        let sent = load.end().await;
        assert_eq!(tally.unavailable(1), 0, "the other was held up: {tally:?}");
        let moved = sent.iter().filter(|sent| sent.in_vain > 0).count();
        assert!(moved > 0, "nobody was cut off by the kill: {tally:?}");
        other.still_runs();
        mortal = Process::start(&place);
        books.close(&mortal.base, sent).await;
    }
    run(&[&["verify"], &place[..]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_servers_is_stopped_and_answers_all_that_it_took() {
    let database = migrated(Cluster::shared(), 4);
    let place = ["--store", database.url()];
    let mut leaving = Process::start(&place);
    let other = Process::start(&place);
    let mut books = Books::open(&other.base).await;
    for _ in 0..2 {
        let mut load = books.load(&[&leaving.base, &other.base]);
        load.goes_on(0, 40).await;
        block_in_place(|| leaving.stop());
        load.goes_on(1, 60).await;
        let tally = load.tally.clone();
        let sent = load.end().await;
        assert_eq!(tally.unavailable(1), 0, "the other was held up: {tally:?}");
        let (moved, booked) =
            sent.iter().filter(|sent| sent.in_vain > 0).fold((0, 0), |all, sent| {
                let (_, body) = sent.answer.as_ref().unwrap();
                (all.0 + 1, all.1 + usize::from(body["replayed"] == true))
            });
        assert!(moved > 0, "nobody was sent away by the stop: {tally:?}");
        assert_eq!(booked, 0, "of {moved} that it did not answer it had booked some");
        leaving = Process::start(&place);
        books.close(&leaving.base, sent).await;
    }
    run(&[&["verify"], &place[..]].concat());
}

const NDJSON: &str = "application/x-ndjson";
/// How many lines a stream has.
const LINES: usize = 1_500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_takes_a_stream_while_another_books_on_the_same_accounts() {
    let database = migrated(Cluster::shared(), 4);
    let place = ["--store", database.url()];
    let (streaming, other) = (Process::start(&place), Process::start(&place));
    let mut books = Books::open(&other.base).await;
    let customer = books.customers[0].clone();
    let (lines, mut sent): (String, Vec<Sent>) = (0..LINES).map(|nth| customer.line(nth)).unzip();

    let mut load = books.load(&[&other.base]);
    load.goes_on(0, 20).await;
    let before = load.tally.settled(0);
    let request = caller().post(format!("{}/v1/batches", streaming.base));
    let request = request.bearer_auth(&customer.token).header("content-type", NDJSON).body(lines);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(load.tally.settled(0) > before, "nothing was booked beside the stream");
    let beside = load.end().await;

    let outcomes: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(outcomes.len(), LINES);
    // Asked for as single calls, the lines are what they were.
    sent.extend(beside);
    books.close(&streaming.base, sent).await;
    for (outcome, sent) in outcomes.iter().zip(&books.all) {
        let (_, call) = sent.answer.as_ref().unwrap();
        assert_eq!(outcome["status"], 201, "{outcome}");
        assert_eq!(outcome["id"], call["id"], "{} was booked anew", sent.key);
    }
    run(&[&["verify"], &place[..]].concat());
}
