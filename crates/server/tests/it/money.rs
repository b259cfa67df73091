//! Deposits, withdrawals and transfers, and the transactions that they leave.

use reqwest::Method;
use serde_json::{Value, json};
use tongjang_core::{AccountId, Currency};
use tongjang_server::config::Deposits;

use crate::app::{TestApp, answer};
use crate::bank::text;

#[tokio::test]
async fn a_deposit_is_answered_with_its_transaction() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let body = json!({"amount": 25000, "memo": "월급", "metadata": {"b": "2", "a": "1"}});
    let answer = app.deposit(&minji, &account, body).await;
    let booked = answer.expect(201);
    let id = text(&booked, "id");
    assert!(id.starts_with("txn_"), "{id}");
    assert_eq!(answer.header("location"), format!("/v1/transactions/{id}"));
    assert_eq!(answer.header("content-type"), "application/json");
    let entry = json!({
        "account_id": account,
        "number": 1,
        "transaction_id": id,
        "kind": "deposit",
        "direction": "credit",
        "amount": 25000,
        "balance": 25000,
        "memo": "월급",
        "counterparty": null,
        "booked_at": booked["booked_at"],
        "hash": booked["entries"][0]["hash"],
    });
    assert_eq!(
        booked,
        json!({
            "id": id,
            "kind": "deposit",
            "amount": 25000,
            "currency": "KRW",
            "memo": "월급",
            "metadata": {"a": "1", "b": "2"},
            "booked_at": booked["booked_at"],
            "entries": [entry],
            "reverses": null,
            "reversed_by": null,
        })
    );
    let seen = app.seen(&minji, &account).await;
    assert_eq!(seen["head_hash"], booked["entries"][0]["hash"]);
    assert_eq!((&seen["balance"], &seen["available"]), (&json!(25000), &json!(25000)));
    assert_eq!(app.look(&minji, answer.header("location")).await.text, answer.text);
}

#[tokio::test]
async fn nothing_is_withdrawn_that_is_not_there() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 1000).await;
    let refused = app.withdraw(&minji, &account, json!({"amount": 1001})).await;
    let problem = refused.problem(422, "insufficient-funds");
    assert_eq!((&problem["available"], &problem["requested"]), (&json!(1000), &json!(1001)));
    let booked = app.withdraw(&minji, &account, json!({"amount": 1000})).await.expect(201);
    assert_eq!(booked["entries"][0]["direction"], "debit");
    assert_eq!(booked["entries"][0]["balance"], 0);
    assert_eq!((&booked["memo"], &booked["metadata"]), (&Value::Null, &json!({})));
    app.withdraw(&minji, &account, json!({"amount": 1})).await.problem(422, "insufficient-funds");
    assert_eq!(app.seen(&minji, &account).await["entry_count"], 2);
}

#[tokio::test]
async fn a_transfer_shows_each_side_its_own_entry_and_memo() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (from, to) = (app.account(&minji, 1000).await, app.account(&jun, 0).await);
    let body = json!({
        "from_account": from, "to_account": to, "amount": 300,
        "memo": "jun의 생일", "to_memo": "축하해", "metadata": {"private": "yes"},
    });
    let paid = app.transfer(&minji, body).await.expect(201);
    assert_eq!((&paid["kind"], &paid["memo"]), (&json!("transfer"), &json!("jun의 생일")));
    let [entry] = paid["entries"].as_array().unwrap().as_slice() else { panic!("{paid}") };
    assert_eq!((&entry["direction"], &entry["balance"]), (&json!("debit"), &json!(700)));
    let theirs = app.seen(&jun, &to).await;
    assert_eq!(
        entry["counterparty"],
        json!({
            "account_id": to, "bank": "tongjang", "number": theirs["number"], "name": "jun",
        })
    );

    // Who is paid sees the same transaction, but not what the payer keeps to himself.
    let path = format!("/v1/transactions/{}", text(&paid, "id"));
    let received = app.look(&jun, &path).await;
    assert!(!received.text.contains("생일") && !received.text.contains("private"));
    let received = received.expect(200);
    assert_eq!((&received["id"], &received["memo"]), (&paid["id"], &json!("축하해")));
    let [entry] = received["entries"].as_array().unwrap().as_slice() else { panic!("{received}") };
    assert_eq!((&entry["account_id"], &entry["balance"]), (&json!(to), &json!(300)));
    assert_eq!(entry["counterparty"]["name"], "minji");

    // A third one sees nothing of it, and an operator all.
    let third = app.customer("third").await;
    app.look(&third, &path).await.problem(403, "not-account-owner");
    let operator = app.operator("boss").await;
    let all = app.get(Some(&operator), &path).await.expect(200);
    assert_eq!(all["entries"].as_array().unwrap().len(), 2);
    assert_eq!(all["memo"], "jun의 생일");
}

#[tokio::test]
async fn between_ones_own_accounts_both_entries_are_shown() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let (from, to) = (app.account(&minji, 10).await, app.account(&minji, 0).await);
    let body = json!({"from_account": from, "to_account": to, "amount": 10, "memo": "m"});
    let paid = app.transfer(&minji, body).await.expect(201);
    assert_eq!(paid["entries"].as_array().unwrap().len(), 2);
    assert_eq!((&paid["memo"], &paid["entries"][1]["memo"]), (&json!("m"), &json!("m")));
}

#[tokio::test]
async fn an_account_can_be_paid_by_its_bank_and_number() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let from = app.account(&minji, 1000).await;
    let body = json!({"currency": "KRW", "bank": "088", "number": "110-234-a"});
    let to = app.post(Some(&jun.token), "/v1/accounts", body).await.expect(201);
    let target = json!({"bank": " 088 ", "number": "110234A"});
    let body = json!({"from_account": from, "to_account": target, "amount": 10});
    app.transfer(&minji, body).await.expect(201);
    assert_eq!(app.balance(&jun, &text(&to, "id")).await, 10);
}

#[tokio::test]
async fn a_transfer_to_nowhere_says_no_more_than_that() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let from = app.account(&minji, 1000).await;
    let settlement = AccountId::settlement(Currency::KRW, 0).to_string();
    let mut seen = Vec::new();
    for target in [
        json!(settlement),
        json!("acc_00000000000000000000000009"),
        json!("acc_x"),
        json!(""),
        json!({"bank": "tongjang", "number": "1"}),
        json!({"bank": "no such bank", "number": "110-1"}),
    ] {
        let body = json!({"from_account": from, "to_account": target, "amount": 1});
        let answer = app.transfer(&minji, body).await;
        let problem = answer.problem(404, "not-found");
        assert_eq!(problem["errors"][0]["pointer"], "/to_account", "{target}");
        seen.push(answer.text);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "the answers tell the targets apart: {seen:?}");
    let body = json!({"from_account": "acc_x", "to_account": from, "amount": 1});
    let problem = app.transfer(&minji, body).await.problem(404, "not-found");
    assert_eq!(problem["errors"][0]["pointer"], "/from_account");
    for (target, pointer) in [
        (json!(5), "/to_account"),
        (json!(null), "/to_account"),
        (json!({"bank": "088"}), "/to_account/number"),
        (json!({"bank": "088", "number": "1", "name": "x"}), "/to_account/name"),
        (json!({"bank": "", "number": "1"}), "/to_account/bank"),
        (json!({"bank": "088", "number": "1 2"}), "/to_account/number"),
    ] {
        let body = json!({"from_account": from, "to_account": target, "amount": 1});
        let problem = app.transfer(&minji, body).await.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{target}");
    }
}

#[tokio::test]
async fn a_transfer_needs_two_accounts_of_one_currency() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let (won, dollars) = (app.account(&minji, 10).await, app.account_in(&minji, "USD").await);
    let transfer = |to: &str| {
        app.transfer(&minji, json!({"from_account": won, "to_account": to, "amount": 1}))
    };
    transfer(&won).await.problem(422, "same-account");
    transfer(&dollars).await.problem(422, "currency-mismatch");
    assert_eq!(app.seen(&minji, &won).await["version"], 2);
}

#[tokio::test]
async fn an_amount_is_a_whole_positive_number_and_nothing_else() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let path = format!("/v1/accounts/{account}/deposits");
    let deposit = |body: String| {
        let request = app.request(Method::POST, &path).bearer_auth(&minji.token);
        answer(request.header("content-type", "application/json").body(body))
    };
    for amount in [
        "0",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "1E0",
        "-0",
        "\"1\"",
        "true",
        "null",
        "[1]",
        "{}",
        "79228162514264337593543950337",
        "1000000000000000000000000000000000000000000",
    ] {
        let problem = deposit(format!("{{\"amount\": {amount}}}")).await;
        let problem = problem.problem(400, "invalid-amount");
        assert_eq!(problem["errors"][0]["pointer"], "/amount", "{amount}");
    }
    deposit("{}".into()).await.problem(400, "invalid-amount");
    assert_eq!(app.seen(&minji, &account).await["entry_count"], 0);
    let most = deposit("{\"amount\": 79228162514264337593543950336}".into()).await;
    assert_eq!(most.status.as_u16(), 201);
    assert!(most.text.contains("\"amount\":79228162514264337593543950336,"), "{}", most.text);
    deposit("{\"amount\": 1}".into()).await.expect(201);
    let seen = app.look(&minji, &format!("/v1/accounts/{account}")).await.text;
    assert!(seen.contains("\"balance\":79228162514264337593543950337,"), "{seen}");
}

#[tokio::test]
async fn memo_and_metadata_have_their_bounds() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let many: Value =
        (0..17).map(|n| (n.to_string(), json!(""))).collect::<serde_json::Map<_, _>>().into();
    for (body, pointer) in [
        (json!({"amount": 1, "memo": "가".repeat(141)}), "/memo"),
        (json!({"amount": 1, "memo": "a\nb"}), "/memo"),
        (json!({"amount": 1, "memo": 5}), "/memo"),
        (json!({"amount": 1, "metadata": many}), "/metadata"),
        (json!({"amount": 1, "metadata": {"k": "v".repeat(1024)}}), "/metadata"),
        (json!({"amount": 1, "metadata": {"k": 1}}), "/metadata/k"),
        (json!({"amount": 1, "metadata": {"k": {"l": "v"}}}), "/metadata/k"),
        (json!({"amount": 1, "metadata": []}), "/metadata"),
        (json!({"amount": 1, "mmeo": "typo"}), "/mmeo"),
    ] {
        let problem = app.deposit(&minji, &account, body.clone()).await;
        let problem = problem.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    let body = json!({"amount": 1, "memo": "가".repeat(140), "metadata": {"k": "v".repeat(1023)}});
    app.deposit(&minji, &account, body).await.expect(201);
    assert_eq!(app.seen(&minji, &account).await["entry_count"], 1);
}

#[tokio::test]
async fn money_moves_only_on_the_version_that_was_seen() {
    let app = TestApp::start().await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let (account, to) = (app.account(&minji, 100).await, app.account(&jun, 0).await);
    let money = format!("/v1/accounts/{account}");
    let transfer = json!({"from_account": account, "to_account": to, "amount": 1});
    for (path, body) in [
        (format!("{money}/deposits"), json!({"amount": 1})),
        (format!("{money}/withdrawals"), json!({"amount": 1})),
        ("/v1/transfers".to_owned(), transfer),
    ] {
        let seen = app.look(&minji, &money).await;
        let tag = seen.header("etag").to_owned();
        let post =
            |tag: &str| answer(app.asks(&minji, &path, body.clone()).header("if-match", tag));
        for stale in ["\"1\"", "\"99\"", "W/\"2\"", "\"x\""] {
            post(stale).await.problem(412, "version-mismatch");
        }
        post("2").await.problem(400, "invalid-request");
        post(&tag).await.expect(201);
        post(&tag).await.problem(412, "version-mismatch");
        post("*").await.expect(201);
    }
}

#[tokio::test]
async fn where_only_operators_take_money_in_owners_may_not() {
    let app = TestApp::start_with(|config| config.deposits = Deposits::Operator).await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    let operator = app.operator("boss").await;
    let path = format!("/v1/accounts/{account}");
    let mut settlement = String::new();
    for call in ["deposits", "withdrawals"] {
        let path = format!("{path}/{call}");
        let body = json!({"amount": 5});
        app.post(Some(&minji.token), &path, body.clone()).await.problem(403, "not-permitted");
        let booked = app.post(Some(&operator), &path, body).await.expect(201);
        let entries = booked["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2, "an operator sees both sides");
        let other = entries.iter().find(|entry| entry["account_id"] != account).unwrap();
        settlement = text(other, "account_id");
    }
    for (account, status, code) in [
        ("acc_00000000000000000000000009", 404, "not-found"),
        (settlement.as_str(), 403, "not-account-owner"),
    ] {
        let path = format!("/v1/accounts/{account}/deposits");
        let answer = app.post(Some(&operator), &path, json!({"amount": 5})).await;
        answer.problem(status, code);
    }
    // Transfers stay the owner's.
    let other = app.account(&minji, 0).await;
    let body = json!({"from_account": account, "to_account": other, "amount": 1});
    app.post(Some(&operator), "/v1/transfers", body).await.problem(403, "not-account-owner");
}

#[tokio::test]
async fn an_operator_does_not_take_money_out_of_what_is_not_his() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 100).await;
    let operator = app.operator("boss").await;
    for call in ["deposits", "withdrawals"] {
        let path = format!("/v1/accounts/{account}/{call}");
        let answer = app.post(Some(&operator), &path, json!({"amount": 5})).await;
        answer.problem(403, "not-account-owner");
    }
    assert_eq!(app.balance(&minji, &account).await, 100);
}

#[tokio::test]
async fn the_whole_ledger_sums_to_zero_per_currency() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let won = app.account(&minji, 1000).await;
    let dollars = app.account_in(&minji, "USD").await;
    app.deposit(&minji, &dollars, json!({"amount": 7})).await.expect(201);
    app.withdraw(&minji, &won, json!({"amount": 1})).await.expect(201);
    let operator = app.operator("boss").await;
    let row = |currency: &str, balance: i64, transactions: u64| {
        json!({
            "currency": currency, "accounts": 1, "customer_balance": balance,
            "settlement_balance": -balance, "sum": 0, "transactions": transactions,
        })
    };
    assert_eq!(
        app.get(Some(&operator), "/v1/ledger").await.expect(200),
        json!({"data": [row("KRW", 999, 2), row("USD", 7, 1)], "balanced": true})
    );
    app.look(&minji, "/v1/ledger").await.problem(403, "not-permitted");
}

#[tokio::test]
async fn who_prefers_korean_is_told_in_korean() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 1000).await;
    let path = format!("/v1/accounts/{account}/withdrawals");
    let ask = |language: &str| {
        let request = app.asks(&minji, &path, json!({"amount": 5000}));
        answer(request.header("accept-language", language))
    };
    let korean = ask("ko-KR,ko;q=0.9,en;q=0.8").await;
    assert_eq!(korean.problem(422, "insufficient-funds")["title"], "잔액이 부족합니다");
    assert_eq!(korean.header("content-language"), "ko");
    let english = ask("en").await;
    assert_eq!(
        english.problem(422, "insufficient-funds")["title"],
        "The account has not enough money"
    );
    assert_eq!(english.header("content-language"), "en");
}
