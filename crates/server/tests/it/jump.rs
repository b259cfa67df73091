//! `offset`: from nowhere to any page of a history, and on and back from there.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::bank::text;
use crate::history::{numbers, six_entries};

#[tokio::test]
async fn a_jump_lands_on_the_page_that_turning_leads_to() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    for amount in 1..=10 {
        app.deposit(&minji, &account, json!({"amount": amount})).await.expect(201);
    }
    let turn = |page: &Value, name: &str| {
        let query = format!("cursor={}", text(page, name));
        let (app, minji, account) = (&app, &minji, &account);
        async move { app.entries(minji, account, &query).await }
    };
    for (order, expected) in [
        ("desc", [vec![10, 9, 8, 7], vec![6, 5, 4, 3], vec![2, 1]]),
        ("asc", [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]),
    ] {
        let query = |offset: u64| format!("order={order}&limit=4&offset={offset}");
        let first = app.entries(&minji, &account, &query(0)).await;
        let second = app.entries(&minji, &account, &query(4)).await;
        let third = app.entries(&minji, &account, &query(8)).await;
        for (page, expected) in [&first, &second, &third].into_iter().zip(&expected) {
            assert_eq!(numbers(page), expected[..], "{order}");
        }
        assert_eq!(first["prev_cursor"], Value::Null);
        assert_eq!(third["next_cursor"], Value::Null);
        assert_eq!(turn(&first, "next_cursor").await, second);
        assert_eq!(turn(&second, "next_cursor").await, third);
        assert_eq!(turn(&third, "prev_cursor").await, second);
        assert_eq!(turn(&second, "prev_cursor").await, first);

        let between = app.entries(&minji, &account, &query(1)).await;
        let back = turn(&between, "prev_cursor").await;
        assert_eq!(numbers(&back), expected[0][..1], "{order}");
        assert_eq!(back["prev_cursor"], Value::Null);

        for beyond in [10, 11, u64::MAX] {
            let none = app.entries(&minji, &account, &query(beyond)).await;
            assert_eq!((&none["data"], &none["next_cursor"]), (&json!([]), &Value::Null));
            let last = turn(&none, "prev_cursor").await;
            assert_eq!(numbers(&last), [&expected[1][2..], &expected[2]].concat()[..]);
            assert_eq!(last["next_cursor"], Value::Null);
        }
    }

    // What is booked after the jump is not of this listing.
    let third = app.entries(&minji, &account, "limit=4&offset=4").await;
    app.deposit(&minji, &account, json!({"amount": 11})).await.expect(201);
    let first = turn(&third, "prev_cursor").await;
    assert_eq!(numbers(&first), [10, 9, 8, 7]);
    assert_eq!(first["prev_cursor"], Value::Null);

    let empty = app.account(&minji, 0).await;
    let nothing = app.entries(&minji, &empty, "offset=5").await;
    assert_eq!(nothing, json!({"data": [], "next_cursor": null, "prev_cursor": null}));
}

#[tokio::test]
async fn a_jump_counts_the_entries_of_a_range_and_a_direction() {
    let app = TestApp::start().await;
    let (minji, account) = six_entries(&app).await;
    let credits = "direction=credit&order=asc&from=2020-01-01";
    let page = app.entries(&minji, &account, &format!("{credits}&limit=2&offset=1")).await;
    assert_eq!(numbers(&page), [3, 5]);
    let next = format!("cursor={}", text(&page, "next_cursor"));
    assert_eq!(numbers(&app.entries(&minji, &account, &next).await), [6]);
    let prev = format!("cursor={}", text(&page, "prev_cursor"));
    assert_eq!(numbers(&app.entries(&minji, &account, &prev).await), [1]);
    // Nothing skipped is nothing asked.
    let page = app.entries(&minji, &account, &format!("offset=0&{next}")).await;
    assert_eq!(numbers(&page), [6]);
    for query in [
        "offset=1&kind=deposit",
        "offset=1&memo=x",
        "offset=1&min_amount=1",
        "offset=1&max_amount=1",
        &format!("offset=1&{next}"),
        "offset=-1",
        "offset=1.5",
        "offset=18446744073709551616",
    ] {
        let path = format!("/v1/accounts/{account}/entries?{query}");
        let problem = app.look(&minji, &path).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], "/offset", "{path}");
    }
}
