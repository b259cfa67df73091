//! What callers see when the store fails or cannot keep up.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tongjang_store::faulty::FaultyDisk;
use tongjang_store::{StoreError, TellerLimits};

use crate::app::{TestApp, answer};

#[tokio::test]
async fn after_a_failed_write_nothing_is_booked_and_nothing_is_claimed() {
    let disk = FaultyDisk::new(1);
    let under = Arc::new(disk.clone());
    let mut app = TestApp::on_a_folder_in(|_| {}, |around| around.disk = under).await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 1_000).await;
    app.get(None, "/readyz").await.expect(200);

    let next = disk.operations();
    (next..next + 10).for_each(|operation| disk.fail_at(operation));
    let lost = app.deposit(&minji, &account, json!({"amount": 5})).await;
    lost.problem(503, "store-unavailable");
    assert!(!lost.header("retry-after").is_empty());

    app.deposit(&minji, &account, json!({"amount": 5})).await.problem(503, "store-unavailable");
    app.get(None, "/readyz").await.problem(503, "store-unavailable");
    app.get(None, "/healthz").await.expect(200);
    assert_eq!(app.balance(&minji, &account).await, 1_000, "what is durable can still be read");
    // The process that runs the server looks at this and ends.
    let failed = async {
        while !app.server().has_failed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), failed).await.unwrap();
    let error = app.stop_failed().await;
    assert!(matches!(error, StoreError::Io { .. } | StoreError::Poisoned { .. }), "{error}");
}

#[tokio::test]
async fn whoever_waits_when_the_store_fails_is_told_at_once() {
    let disk = FaultyDisk::new(1);
    let under = Arc::new(disk.clone());
    // One by one, so that nearly all of them still wait when the first one fails.
    let slow = TellerLimits { batch: 1, ..TellerLimits::default() };
    let mut app = TestApp::on_a_folder_in(
        |_| {},
        |around| {
            around.disk = under;
            around.limits.teller = slow;
        },
    )
    .await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 1_000).await;
    let path = format!("/v1/accounts/{account}/deposits");
    let next = disk.operations();
    (next + 20..next + 2_000).for_each(|operation| disk.fail_at(operation));
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        tasks.spawn(answer(app.asks(&minji, &path, json!({"amount": 1}))));
    }
    let answers = tokio::time::timeout(Duration::from_secs(20), tasks.join_all()).await;
    let refused = answers.expect("nobody waits for a teller who is gone");
    let refused: Vec<_> = refused.iter().filter(|answer| answer.status != 201).collect();
    assert!(refused.len() > 1);
    for answer in refused {
        answer.problem(503, "store-unavailable");
    }
    app.stop_failed().await;
}

#[tokio::test]
async fn when_too_many_wait_some_are_sent_away_and_told_to_come_again() {
    let narrow = TellerLimits { queue: 1, batch: 1 };
    let app = TestApp::start_in(|_| {}, |around| around.limits.teller = narrow).await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let path = format!("/v1/accounts/{account}/deposits");
    let (mut booked, mut sent_away) = (0, 0);
    // How fast the disk is decides how many it takes until one has to wait too long.
    for _ in 0..100 {
        let mut tasks = JoinSet::new();
        for _ in 0..64 {
            tasks.spawn(answer(app.asks(&minji, &path, json!({"amount": 1}))));
        }
        for answer in tasks.join_all().await {
            if answer.status == 201 {
                booked += 1;
            } else {
                answer.problem(503, "overloaded");
                assert_eq!(answer.header("retry-after"), "1");
                sent_away += 1;
            }
        }
        if sent_away > 0 {
            break;
        }
    }
    assert!(sent_away > 0, "{booked} were booked and none was sent away");
    assert_eq!(app.balance(&minji, &account).await, booked, "who was sent away changed nothing");
}
