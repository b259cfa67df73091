//! The passbook: filters, pages in both directions, days and their borders, sums.

use serde_json::{Value, json};
use tongjang_core::{AccountId, Amount, Command, Event, Memo, Metadata, Timestamp, UserId};

use crate::app::TestApp;
use crate::bank::{Person, text};

/// Books on `account` at a time of the past: a deposit, or a withdrawal if `amount` is negative.
async fn book_at(
    app: &TestApp,
    owner: &Person,
    account: &str,
    time: &str,
    amount: i128,
    memo: &str,
) {
    let server = app.server().app();
    let (account, memo) = (account.parse().unwrap(), Memo::new(memo).unwrap());
    let magnitude = Amount::new(amount.abs()).unwrap();
    let metadata = Metadata::EMPTY;
    let command = if amount > 0 {
        Command::Deposit { account, amount: magnitude, memo, metadata }
    } else {
        Command::Withdraw { account, amount: magnitude, memo, metadata }
    };
    let owner = tongjang_core::Caller::owner(owner.id.parse::<UserId>().unwrap());
    let mut request = server.request(owner, command, None, None);
    request.at = at(time);
    let answer = server.ledger.perform(request).await.unwrap();
    assert!(matches!(answer.outcome, Ok(Event::Booked(_))), "{answer:?}");
}

/// An account opened in 2020, so that it can have a past.
async fn old_account(app: &TestApp, owner: &Person) -> String {
    let server = app.server().app();
    let user: UserId = owner.id.parse().unwrap();
    let command = Command::Open {
        owner: user,
        currency: tongjang_core::Currency::KRW,
        bank: tongjang_core::Bank::new("088").unwrap(),
        number: tongjang_core::AccountNumber::new("110-1").unwrap(),
        number_made: false,
    };
    let mut request = server.request(tongjang_core::Caller::owner(user), command, None, None);
    request.at = at("2020-01-01T00:00:00Z");
    match server.ledger.perform(request).await.unwrap().outcome {
        Ok(Event::Opened(opening)) => AccountId::to_string(&opening.account.id),
        other => panic!("{other:?}"),
    }
}

fn at(time: &str) -> Timestamp {
    Timestamp::from_micros(time.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

impl TestApp {
    pub(crate) async fn entries(&self, person: &Person, account: &str, query: &str) -> Value {
        self.look(person, &format!("/v1/accounts/{account}/entries?{query}")).await.expect(200)
    }
}

pub(crate) fn numbers(page: &Value) -> Vec<u64> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row["number"].as_u64().unwrap()).collect()
}

/// Minji with an account of six entries: in 1, out 2, in 3, … of 10, 1, 20, 2, 30, 3 won, the
/// last from jun.
pub(crate) async fn six_entries(app: &TestApp) -> (Person, String) {
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let account = app.account(&minji, 0).await;
    for (amount, memo) in
        [(10, "월급 Nov"), (-1, "점심"), (20, ""), (-2, "LUNCH"), (30, "Lunch 환불")]
    {
        let body = json!({"amount": i64::abs(amount), "memo": memo});
        let answer = if amount > 0 {
            app.deposit(&minji, &account, body).await
        } else {
            app.withdraw(&minji, &account, body).await
        };
        answer.expect(201);
    }
    let from = app.account(&jun, 3).await;
    let body = json!({"from_account": from, "to_account": account, "amount": 3, "memo": "용돈"});
    app.transfer(&jun, body).await.expect(201);
    (minji, account)
}

#[tokio::test]
async fn a_row_has_everything_a_passbook_shows() {
    let app = TestApp::start().await;
    let (minji, account) = six_entries(&app).await;
    let page = app.entries(&minji, &account, "").await;
    assert_eq!(numbers(&page), [6, 5, 4, 3, 2, 1]);
    assert_eq!((&page["next_cursor"], &page["prev_cursor"]), (&Value::Null, &Value::Null));
    let newest = &page["data"][0];
    assert_eq!(newest["counterparty"]["name"], "jun");
    assert_eq!(newest["memo"], "용돈");
    let row = &page["data"][1];
    let members: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = vec![
        "account_id",
        "number",
        "transaction_id",
        "kind",
        "direction",
        "amount",
        "balance",
        "memo",
        "counterparty",
        "booked_at",
        "hash",
    ];
    expected.sort_unstable();
    let mut members = members;
    members.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!((&row["amount"], &row["balance"]), (&json!(30), &json!(57)));
    assert_eq!(row["counterparty"], Value::Null);
    assert_eq!(page["data"][3]["memo"], Value::Null);
    assert_eq!(app.seen(&minji, &account).await["head_hash"], newest["hash"]);
}

#[tokio::test]
async fn each_filter_narrows_the_passbook_and_its_summary_alike() {
    let app = TestApp::start().await;
    let (minji, account) = six_entries(&app).await;
    for (query, expected) in [
        ("", vec![6, 5, 4, 3, 2, 1]),
        ("direction=credit", vec![6, 5, 3, 1]),
        ("direction=debit", vec![4, 2]),
        ("kind=deposit", vec![5, 3, 1]),
        ("kind=withdrawal", vec![4, 2]),
        ("kind=transfer", vec![6]),
        ("kind=reversal", vec![]),
        ("min_amount=10", vec![5, 3, 1]),
        ("max_amount=3", vec![6, 4, 2]),
        ("min_amount=2&max_amount=20", vec![6, 4, 3, 1]),
        ("memo=lunch", vec![5, 4]),
        ("memo=%EC%A0%90%EC%8B%AC", vec![2]),
        // 점심, typed in its parts.
        ("memo=%E1%84%8C%E1%85%A5%E1%86%B7%E1%84%89%E1%85%B5%E1%86%B7", vec![2]),
        ("memo=lunch&direction=debit", vec![4]),
        ("kind=deposit&min_amount=20&memo=LUNCH", vec![5]),
        ("from=2100-01-01", vec![]),
        ("to=2000-01-01", vec![]),
        ("from=2000-01-01&to=2100-01-01", vec![6, 5, 4, 3, 2, 1]),
    ] {
        let page = app.entries(&minji, &account, query).await;
        assert_eq!(numbers(&page), expected, "{query}");
        assert_eq!(page["next_cursor"], Value::Null, "{query}");
        let reversed = app.entries(&minji, &account, &format!("{query}&order=asc")).await;
        assert!(numbers(&reversed).iter().rev().eq(expected.iter()), "{query}");

        let path = format!("/v1/accounts/{account}/entries/summary?{query}");
        let summary = app.look(&minji, &path).await.expect(200);
        let sum = |direction: &str| -> i64 {
            let rows = page["data"].as_array().unwrap().iter();
            let rows = rows.filter(|row| row["direction"] == direction);
            rows.map(|row| row["amount"].as_i64().unwrap()).sum()
        };
        assert_eq!(summary["count"], expected.len(), "{query}");
        assert_eq!(summary["credit_total"], sum("credit"), "{query}");
        assert_eq!(summary["debit_total"], sum("debit"), "{query}");
        let (opening, closing) = match query {
            "from=2100-01-01" => (60, 60),
            "to=2000-01-01" => (0, 0),
            _ => (0, 60),
        };
        assert_eq!(summary["opening_balance"], opening, "{query}");
        assert_eq!(summary["closing_balance"], closing, "{query}");
    }
}

#[tokio::test]
async fn a_filter_that_means_nothing_is_refused() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 0).await;
    for (query, code, pointer) in [
        ("from=yesterday", "invalid-request", "/from"),
        ("from=2026-11-22T09:00:00", "invalid-request", "/from"),
        ("from=2026-11-22T09:00:00+09:00", "invalid-request", "/from"),
        ("to=2026-02-30", "invalid-request", "/to"),
        ("from=2026-11-23&to=2026-11-21", "invalid-request", "/to"),
        ("tz=Asia/Nowhere", "invalid-request", "/tz"),
        ("direction=in", "invalid-request", "/direction"),
        ("kind=gift", "invalid-request", "/kind"),
        ("min_amount=0", "invalid-amount", "/min_amount"),
        ("max_amount=1.5", "invalid-amount", "/max_amount"),
        ("min_amount=5&max_amount=4", "invalid-request", "/max_amount"),
        ("memo=", "invalid-request", "/memo"),
        ("memoo=x", "invalid-request", "/memoo"),
        ("from=2026-11-22&from=2026-11-22", "invalid-request", "/from"),
    ] {
        for list in ["entries", "entries/summary"] {
            let path = format!("/v1/accounts/{account}/{list}?{query}");
            let problem = app.look(&minji, &path).await.problem(400, code);
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{path}");
        }
    }
    let path = format!("/v1/accounts/{account}/entries?from=2026-11-22T09:00:00+09:00");
    let problem = app.look(&minji, &path).await.json();
    assert!(text(&problem["errors"][0], "detail").contains("%2B"), "{problem}");
    for query in ["limit=0", "limit=501", "order=up"] {
        let path = format!("/v1/accounts/{account}/entries?{query}");
        app.look(&minji, &path).await.problem(400, "invalid-request");
    }
    for query in ["limit=5", "order=asc", "cursor=x", "offset=1"] {
        let path = format!("/v1/accounts/{account}/entries/summary?{query}");
        app.look(&minji, &path).await.problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn pages_are_turned_forth_and_back_and_never_shift() {
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
    let first = app.entries(&minji, &account, "limit=4").await;
    assert_eq!(numbers(&first), [10, 9, 8, 7]);
    assert_eq!(first["prev_cursor"], Value::Null);
    app.deposit(&minji, &account, json!({"amount": 11})).await.expect(201);
    let second = turn(&first, "next_cursor").await;
    assert_eq!(numbers(&second), [6, 5, 4, 3]);
    let third = turn(&second, "next_cursor").await;
    assert_eq!(numbers(&third), [2, 1]);
    assert_eq!(third["next_cursor"], Value::Null);
    app.deposit(&minji, &account, json!({"amount": 12})).await.expect(201);
    assert_eq!(turn(&third, "prev_cursor").await, second);
    assert_eq!(turn(&second, "prev_cursor").await, first);

    // Another page size from here on.
    let query = format!("cursor={}&limit=1", text(&first, "next_cursor"));
    assert_eq!(numbers(&app.entries(&minji, &account, &query).await), [6]);
}

#[tokio::test]
async fn a_page_of_a_filter_is_turned_too() {
    let app = TestApp::start().await;
    let (minji, account) = six_entries(&app).await;
    let first = app.entries(&minji, &account, "direction=credit&order=asc&limit=3").await;
    assert_eq!(numbers(&first), [1, 3, 5]);
    let cursor = text(&first, "next_cursor");
    for repeated in ["", "&direction=credit", "&order=asc&direction=credit"] {
        let query = format!("cursor={cursor}{repeated}");
        assert_eq!(numbers(&app.entries(&minji, &account, &query).await), [6], "{repeated}");
    }
    for changed in ["&direction=debit", "&order=desc", "&kind=deposit", "&from=2020-01-01"] {
        let path = format!("/v1/accounts/{account}/entries?cursor={cursor}{changed}");
        app.look(&minji, &path).await.problem(400, "invalid-cursor");
    }
}

#[tokio::test]
async fn a_cursor_serves_nobody_else_and_nothing_else() {
    let app = TestApp::start().await;
    let (minji, account) = six_entries(&app).await;
    let (other, operator) = (app.account(&minji, 5).await, app.operator("boss").await);
    let cursor = text(&app.entries(&minji, &account, "limit=1").await, "next_cursor");
    let mut forged = cursor.clone().into_bytes();
    forged[2] = if forged[2] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for (token, path) in [
        (&minji.token, format!("/v1/accounts/{other}/entries?cursor={cursor}")),
        (&operator, format!("/v1/accounts/{account}/entries?cursor={cursor}")),
        (&minji.token, format!("/v1/accounts?cursor={cursor}")),
        (&minji.token, format!("/v1/accounts/{account}/entries?cursor={forged}")),
        (&minji.token, format!("/v1/accounts/{account}/entries?cursor=")),
        (&minji.token, format!("/v1/accounts/{account}/entries?cursor=AAAA")),
    ] {
        app.get(Some(token), &path).await.problem(400, "invalid-cursor");
    }
    app.look(&minji, &format!("/v1/accounts/{account}/entries?cursor={cursor}")).await.expect(200);
}

#[tokio::test]
async fn a_plain_date_is_a_whole_day_of_its_zone() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = old_account(&app, &minji).await;
    for time in [
        "2024-03-09T14:59:59.999999Z", // 1: the last moment of March 9 in Seoul
        "2024-03-09T15:00:00Z",        // 2: the first of March 10 in Seoul
        "2024-03-10T00:00:00Z",        // 3: the first of March 10 in UTC
        "2024-03-10T04:59:59.999999Z", // 4: the last of March 9 in New York
        "2024-03-10T05:00:00Z",        // 5: the first of March 10 there, which has 23 hours
        "2024-03-10T15:00:00Z",        // 6: the first of March 11 in Seoul
        "2024-03-11T03:59:59.999999Z", // 7: the last of March 10 in New York
        "2024-03-11T04:00:00Z",        // 8: the first of March 11 there
    ] {
        book_at(&app, &minji, &account, time, 1, "").await;
    }
    let day = "from=2024-03-10&to=2024-03-10";
    for (query, expected) in [
        (day.to_owned(), 2..=5),
        (format!("{day}&tz=Asia/Seoul"), 2..=5),
        (format!("{day}&tz=UTC"), 3..=6),
        (format!("{day}&tz=America/New_York"), 5..=7),
        ("from=2024-03-10&to=2024-03-11".into(), 2..=8),
        ("to=2024-03-09".into(), 1..=1),
        ("from=2024-03-11".into(), 6..=8),
        // An instant is an instant, and as `to` it is exclusive.
        ("from=2024-03-10T00:00:00%2B09:00&to=2024-03-10T05:00:00Z".into(), 2..=4),
        ("from=2024-03-10T05:00:00Z&to=2024-03-11&tz=America/New_York".into(), 5..=8),
        ("from=2024-03-10T00:00:00.000001Z&to=2024-03-10T05:00:00.000001Z".into(), 4..=5),
    ] {
        let page = app.entries(&minji, &account, &format!("{query}&order=asc")).await;
        assert_eq!(numbers(&page), expected.clone().collect::<Vec<u64>>(), "{query}");
        let path = format!("/v1/accounts/{account}/entries/summary?{query}");
        let summary = app.look(&minji, &path).await.expect(200);
        assert_eq!(summary["count"], numbers(&page).len(), "{query}");
        assert_eq!(summary["opening_balance"], expected.start() - 1, "{query}");
        assert_eq!(summary["closing_balance"], *expected.end(), "{query}");
    }
}

#[tokio::test]
async fn a_balance_is_told_as_of_any_time() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = old_account(&app, &minji).await;
    book_at(&app, &minji, &account, "2024-03-09T15:00:00Z", 100, "").await;
    book_at(&app, &minji, &account, "2024-03-10T15:00:00Z", -30, "").await;
    for (query, at, balance, number) in [
        ("at=2024-03-09T14:59:59.999999Z", "2024-03-09T14:59:59.999999Z", 0, None),
        ("at=2024-03-09T15:00:00Z", "2024-03-09T15:00:00.000000Z", 100, Some(1)),
        ("at=2024-03-09", "2024-03-09T14:59:59.999999Z", 0, None),
        ("at=2024-03-10", "2024-03-10T14:59:59.999999Z", 100, Some(1)),
        ("at=2024-03-10&tz=UTC", "2024-03-10T23:59:59.999999Z", 70, Some(2)),
        ("at=2000-01-01", "2000-01-01T14:59:59.999999Z", 0, None),
        ("at=2024-03-11T00:00:00%2B09:00", "2024-03-10T15:00:00.000000Z", 70, Some(2)),
    ] {
        let path = format!("/v1/accounts/{account}/balance?{query}");
        let seen = app.look(&minji, &path).await.expect(200);
        assert_eq!(seen, json!({"at": at, "balance": balance, "entry_number": number}), "{query}");
    }
    let now = app.look(&minji, &format!("/v1/accounts/{account}/balance")).await.expect(200);
    assert_eq!((&now["balance"], &now["entry_number"]), (&json!(70), &json!(2)));
    for query in ["at=now", "at=2024-03-10T00:00:00+09:00", "tz=Nowhere", "time=2024-03-10"] {
        let path = format!("/v1/accounts/{account}/balance?{query}");
        app.look(&minji, &path).await.problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn a_balance_now_counts_the_newest_entry_even_if_the_clock_fell_behind() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 5).await;
    app.pass(-3600);
    let now = app.look(&minji, &format!("/v1/accounts/{account}/balance")).await.expect(200);
    assert_eq!((&now["balance"], &now["entry_number"]), (&json!(5), &json!(1)));
}

#[tokio::test]
async fn an_operator_reads_every_passbook() {
    let app = TestApp::start().await;
    let (minji, account) = six_entries(&app).await;
    let operator = app.operator("boss").await;
    for path in ["", "/balance", "/entries", "/entries/summary"] {
        let path = format!("/v1/accounts/{account}{path}");
        let (own, theirs) = (app.look(&minji, &path).await, app.get(Some(&operator), &path).await);
        if !path.ends_with("/balance") {
            assert_eq!(own.expect(200), theirs.expect(200), "{path}");
        }
    }
}

/// Books so many deposits on `account`, past the HTTP of it.
async fn book_many(app: &TestApp, owner: &Person, account: &str, count: usize) {
    let server = app.server().app();
    let owner = tongjang_core::Caller::owner(owner.id.parse::<UserId>().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count {
        let (account, amount) = (account.parse().unwrap(), Amount::MIN);
        let (memo, metadata) = (Memo::EMPTY, Metadata::EMPTY);
        let command = Command::Deposit { account, amount, memo, metadata };
        let (server, request) = (server.clone(), server.request(owner, command, None, None));
        tasks.spawn(async move { server.ledger.perform(request).await.unwrap().outcome.unwrap() });
        if tasks.len() > 4_000 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_filter_without_an_index_looks_at_ten_thousand_rows_and_then_goes_on() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 5).await;
    app.withdraw(&minji, &account, json!({"amount": 3, "memo": "바늘"})).await.expect(201);
    book_many(&app, &minji, &account, 12_000).await;
    let needle = "%EB%B0%94%EB%8A%98";
    for filter in [
        "kind=withdrawal".to_owned(),
        format!("memo={needle}"),
        "min_amount=2&max_amount=4".to_owned(),
    ] {
        let first = app.entries(&minji, &account, &filter).await;
        assert_eq!((numbers(&first), &first["prev_cursor"]), (vec![], &Value::Null), "{filter}");
        let query = format!("cursor={}", text(&first, "next_cursor"));
        let second = app.entries(&minji, &account, &query).await;
        assert_eq!((numbers(&second), &second["next_cursor"]), (vec![2], &Value::Null));
        let query = format!("cursor={}", text(&second, "prev_cursor"));
        let back = app.entries(&minji, &account, &query).await;
        assert_eq!(numbers(&back), Vec::<u64>::new(), "{filter}");

        let path = format!("/v1/accounts/{account}/entries/summary?{filter}");
        let refused = app.look(&minji, &path).await.problem(400, "invalid-request");
        let (name, _) = filter.split_once('=').unwrap();
        assert_eq!(refused["errors"][0]["pointer"], format!("/{name}"), "{refused}");
    }
    // A direction is indexed: however many entries there are, it is answered at once.
    let page = app.entries(&minji, &account, "direction=debit").await;
    assert_eq!((numbers(&page), &page["next_cursor"]), (vec![2], &Value::Null));
    let path = format!("/v1/accounts/{account}/entries/summary?direction=credit");
    let summary = app.look(&minji, &path).await.expect(200);
    assert_eq!((&summary["count"], &summary["credit_total"]), (&json!(12_001), &json!(12_005)));
}

/// A generator that is good enough for a test, and the same every time (Marsaglia's xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[tokio::test]
async fn any_filter_over_any_history_gives_what_brute_force_gives() {
    let app = TestApp::start().await;
    let minji = app.customer("minji").await;
    let account = old_account(&app, &minji).await;
    let mut state = 0x1234_5678_9abc_def1;
    let midnight: jiff::Timestamp = "2024-03-09T15:00:00Z".parse().unwrap();
    let mut time = midnight.as_microsecond();
    for _ in 0..120 {
        // Steps of a microsecond, of an hour and of a day in Seoul, so that many meet a border.
        time += [1, 1, 3_600_000_000, 86_400_000_000][next(&mut state) as usize % 4];
        let time = jiff::Timestamp::from_microsecond(time).unwrap().to_string();
        let amount = i128::from(next(&mut state) % 9 + 1);
        let balance = app.balance(&minji, &account).await;
        let paid = next(&mut state).is_multiple_of(2) && i128::from(balance) >= amount;
        let memo = ["", "점심", "LUNCH"][next(&mut state) as usize % 3];
        book_at(&app, &minji, &account, &time, if paid { -amount } else { amount }, memo).await;
    }
    let all = app.entries(&minji, &account, "order=asc&limit=500").await;
    let all = all["data"].as_array().unwrap();
    assert_eq!(all.len(), 120);
    for round in 0..60 {
        let mut pick = |count: u64| next(&mut state) % count;
        let (mut query, mut rows) = (String::new(), all.iter().collect::<Vec<_>>());
        let time = |row: &Value| row["booked_at"].as_str().unwrap().to_owned();
        let amount = |row: &Value| row["amount"].as_u64().unwrap();
        if pick(2) == 0 {
            // Answers are all of one form, so their texts are in the order of their times.
            let from = time(&all[pick(120) as usize]);
            rows.retain(|row| time(row) >= from);
            query += &format!("&from={from}");
            if pick(2) == 0 {
                let to = time(&all[pick(120) as usize]).max(from);
                rows.retain(|row| time(row) < to);
                query += &format!("&to={to}");
            }
        }
        let range = rows.clone();
        for (name, value) in [
            ("direction", "credit"),
            ("direction", "debit"),
            ("kind", "deposit"),
            ("memo", "lunch"),
        ] {
            if pick(4) == 0 && !query.contains(name) {
                rows.retain(|row| {
                    let held = row[name].as_str().unwrap_or_default().to_lowercase();
                    if name == "memo" { held.contains(value) } else { held == value }
                });
                query += &format!("&{name}={value}");
            }
        }
        if pick(3) == 0 {
            let least = pick(9) + 1;
            rows.retain(|row| amount(row) >= least);
            query += &format!("&min_amount={least}");
        }
        let path = format!("/v1/accounts/{account}/entries/summary?{query}");
        let summary = app.look(&minji, &path).await.expect(200);
        let sum = |direction: &str| -> u64 {
            rows.iter().filter(|row| row["direction"] == direction).map(|row| amount(row)).sum()
        };
        assert_eq!(summary["count"], rows.len(), "{round}: {query}");
        assert_eq!(summary["credit_total"], sum("credit"), "{round}: {query}");
        assert_eq!(summary["debit_total"], sum("debit"), "{round}: {query}");
        if let (Some(first), Some(last)) = (range.first(), range.last()) {
            let signed = amount(first) as i64 * if first["direction"] == "credit" { 1 } else { -1 };
            let opening = first["balance"].as_i64().unwrap() - signed;
            assert_eq!(summary["opening_balance"], opening, "{round}: {query}");
            assert_eq!(summary["closing_balance"], last["balance"], "{round}: {query}");
        }

        let order = if pick(2) == 0 { "asc" } else { "desc" };
        if order == "desc" {
            rows.reverse();
        }
        let limit = pick(20) + 1;
        let mut pages = vec![
            app.entries(&minji, &account, &format!("limit={limit}&order={order}{query}")).await,
        ];
        while let Some(cursor) = pages[pages.len() - 1]["next_cursor"].as_str() {
            let next = app.entries(&minji, &account, &format!("cursor={cursor}")).await;
            pages.push(next);
        }
        let seen: Vec<&Value> =
            pages.iter().flat_map(|page| page["data"].as_array().unwrap()).collect();
        assert_eq!(seen, rows, "{round}: {order} by {limit}{query}");
        for pair in pages.windows(2).rev() {
            let back = format!("cursor={}", text(&pair[1], "prev_cursor"));
            let back = app.entries(&minji, &account, &back).await;
            assert_eq!(back["data"], pair[0]["data"], "{round}: back by {limit}{query}");
        }
    }
}
