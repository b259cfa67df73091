//! A ledger copied from a folder into a database and back: whatever it holds is there, unchanged,
//! once, and goes on.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tongjang_cluster::{Cluster, Database};
use tongjang_core::Timestamp;
use tongjang_server::app::Clock;
use tongjang_server::config::Config;

use crate::app::{Answer, TestApp, answer};
use crate::bank::{Person, text};
use crate::cli::{printed, run, tongjang};

const KEY: &str = "idempotency-key";

/// A new database whose ledger is in so many parts.
pub(crate) fn migrated(parts: u16) -> Database {
    let database = Cluster::shared().database();
    let parts = parts.to_string();
    let mut migrate = vec!["migrate", "--store", database.url(), "--parts", &parts];
    migrate.extend(database.has_citus().then_some("--citus"));
    printed(&migrate, "");
    database
}

/// What `copy` printed, which must go well.
#[track_caller]
fn copied(from: &str, to: &str) -> String {
    printed(&["copy", "--from", from, "--to", to], "")
}

/// What `copy` complained of.
#[track_caller]
fn refused(from: &str, to: &str) -> String {
    let output = run(&["copy", "--from", from, "--to", to], "");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn name(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn exported(of: &[&str]) -> String {
    printed(&[&["export"], of].concat(), "")
}

#[track_caller]
fn verified(of: &[&str]) {
    let said = printed(&[&["verify"], of].concat(), "");
    assert!(said.contains("every number, balance and hash holds"), "{said}");
}

/// A ledger with all that can happen in it.
struct Bank {
    app: TestApp,
    people: Vec<(Person, Vec<String>)>,
    /// A key of the first one's with all rights.
    api_key: String,
    /// What was asked under a key, and answered.
    keyed: Vec<(Person, String, Value, String, Answer)>,
    /// What was imported under the job `j`.
    imported: String,
}

impl Bank {
    async fn open(customers: usize) -> Self {
        let app = TestApp::on_a_folder().await;
        let mut people = Vec::new();
        for nth in 0..customers {
            let person = app.customer(&format!("customer{nth}")).await;
            let mut accounts = Vec::new();
            for currency in ["KRW", "KRW", "USD"] {
                let body = json!({"currency": currency, "name": format!("{currency} of {nth}")});
                let path = "/v1/accounts";
                let account = app.post(Some(&person.token), path, body).await.expect(201);
                accounts.push(text(&account, "id"));
            }
            people.push((person, accounts));
        }
        let (_, api_key) = app.key(&people[0].0.token, &["write"]).await;
        let mut bank = Self { app, people, api_key, keyed: Vec::new(), imported: String::new() };
        for nth in 0..customers {
            let (person, accounts) = bank.people[nth].clone();
            let other = bank.people[(nth + 1) % customers].1[1].clone();
            let on = |what: &str| format!("/v1/accounts/{}/{what}", accounts[0]);
            let transfer = json!({
                "from_account": accounts[0], "to_account": other, "amount": 7, "memo": "월세",
                "to_memo": "11월", "metadata": {"z": "1", "order": "9", "a": ""},
            });
            for (path, body) in [
                (on("deposits"), json!({"amount": 1000, "memo": "급여", "metadata": {"b": "1"}})),
                (on("withdrawals"), json!({"amount": 30})),
                ("/v1/transfers".to_owned(), transfer),
                (on("withdrawals"), json!({"amount": 99_999})),
            ] {
                bank.ask(&person, &path, body).await;
            }
            let usd = format!("/v1/accounts/{}/deposits", accounts[2]);
            bank.app.post(Some(&person.token), &usd, json!({"amount": 5})).await.expect(201);
        }
        bank
    }

    async fn ask(&mut self, person: &Person, path: &str, body: Value) {
        let key = format!("k{}", self.keyed.len());
        let request = self.app.asks(person, path, body.clone()).header(KEY, &key);
        let answered = answer(request).await;
        assert!([201, 409, 422].contains(&answered.status.as_u16()), "{}", answered.text);
        self.keyed.push((person.clone(), path.to_owned(), body, key, answered));
    }

    /// Stops the server, has a status changed and changed again: the folder.
    async fn stopped(&mut self) -> String {
        self.app.stop().await;
        let data = name(&self.app.data());
        let [one, other] = [&self.people[0].1[1], &self.people[1].1[2]];
        let line = |account: &str, status: &str| {
            json!({"op": "status", "account": account, "status": status}).to_string() + "\n"
        };
        self.imported = line(one, "frozen") + &line(other, "frozen") + &line(one, "open");
        let done = self.import_again(&["--data", &data]);
        assert!(done.contains("3 done"), "{done}");
        data
    }

    fn import_again(&self, into: &[&str]) -> String {
        printed(&[&["import", "-", "--job", "j"], into].concat(), &self.imported)
    }

    /// Whether `app` answers as the one did that is no longer there, and goes on.
    async fn goes_on_in(&self, app: &TestApp) {
        for (person, path, body, key, before) in &self.keyed {
            let again = answer(app.asks(person, path, body.clone()).header(KEY, key)).await;
            let figures = |text: &str| {
                let mut value: Value = serde_json::from_str(text).unwrap();
                // Which request it was answered to.
                value.as_object_mut().map(|object| object.remove("request_id"));
                value
            };
            assert_eq!(again.status, before.status, "{}", again.text);
            assert_eq!(figures(&again.text), figures(&before.text));
            assert_eq!(again.header("idempotency-replayed"), "true");
        }
        for (nth, (person, accounts)) in self.people.iter().enumerate() {
            let seen = app.seen(person, &accounts[0]).await;
            assert_eq!(seen["name"], format!("KRW of {nth}"));
            let before = seen["balance"].as_i64().unwrap();
            app.deposit(person, &accounts[0], json!({"amount": 50})).await.expect(201);
            app.withdraw(person, &accounts[0], json!({"amount": 20})).await.expect(201);
            let to = &self.people[(nth + 1) % self.people.len()].1[0];
            let body = json!({"from_account": accounts[0], "to_account": to, "amount": 1});
            app.transfer(person, body).await.expect(201);
            assert_eq!(app.balance(person, &accounts[0]).await, before + 29);
            if nth != 1 {
                app.deposit(person, &accounts[2], json!({"amount": 1})).await.expect(201);
            }
            let new = app.account_in(person, "KRW").await;
            app.deposit(person, &new, json!({"amount": 3})).await.expect(201);
            app.withdraw(person, &new, json!({"amount": 3})).await.expect(201);
            let back = json!({"from_account": to, "to_account": accounts[0], "amount": 1});
            let owner = &self.people[(nth + 1) % self.people.len()].0;
            app.transfer(owner, back).await.expect(201);
        }
        let frozen = &self.people[1];
        app.deposit(&frozen.0, &frozen.1[2], json!({"amount": 1}))
            .await
            .problem(422, "account-frozen");
        app.get(Some(&self.api_key), "/v1/accounts").await.expect(200);
        app.log_in("customer0").await;
    }
}

/// A server on the ledger in `database`.
pub(crate) async fn serving(database: &Database) -> TestApp {
    TestApp::on(database).await
}

/// A server on the ledger in the folder `data`.
async fn on_folder(data: &str) -> TestApp {
    TestApp::on_a_folder_in(|config| config.ledger.data = data.into(), |_| {}).await
}

/// Waits until nobody is connected any more, as a server's connections end after it.
fn alone(database: &Database) {
    for _ in 0..200 {
        let all = Cluster::shared().backends(database, None);
        if all.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("somebody is still connected to {}", database.name());
}

async fn there_and_back(parts: u16, customers: usize) {
    let mut bank = Bank::open(customers).await;
    let data = bank.stopped().await;
    let database = migrated(parts);
    let url = database.url();
    let done = copied(&data, url);
    let before = exported(&["--data", &data]);
    assert_eq!(exported(&["--store", url]), before);
    verified(&["--store", url]);
    let accounts = customers * 3 + 2;
    assert!(done.contains(&format!("{accounts} accounts")), "{done}");

    // Once more changes nothing.
    let again = copied(&data, url);
    assert!(again.contains("0 events copied"), "{again}");
    assert_eq!(again.lines().last(), done.lines().last());

    let done = bank.import_again(&["--store", url]);
    assert!(done.contains("0 done, 3 already there"), "{done}");
    let mut app = serving(&database).await;
    bank.goes_on_in(&app).await;
    let said = refused(&data, url);
    assert!(said.contains("are connected to it"), "{said}");
    app.stop().await;
    drop(app);
    verified(&["--store", url]);
    alone(&database);
    let said = refused(&data, url);
    assert!(said.contains("is not the same on both sides"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let back = name(&folder.path().join("back"));
    let done = copied(url, &back);
    assert_eq!(exported(&["--data", &back]), exported(&["--store", url]));
    verified(&["--data", &back]);
    let again = copied(url, &back);
    assert!(again.contains("0 events copied"), "{again}");
    assert_eq!(again.lines().last(), done.lines().last());
    let done = bank.import_again(&["--data", &back]);
    assert!(done.contains("0 done, 3 already there"), "{done}");
    let mut app = on_folder(&back).await;
    bank.goes_on_in(&app).await;
    app.stop().await;
    verified(&["--data", &back]);

    // And what came from a database goes into another one, too.
    let database = migrated(parts + 2);
    copied(&back, database.url());
    assert_eq!(exported(&["--data", &back]), exported(&["--store", database.url()]));
    let app = serving(&database).await;
    bank.goes_on_in(&app).await;
    verified(&["--store", database.url()]);
    if parts > 1 {
        let small = migrated(1);
        let said = refused(&back, small.url());
        assert!(said.contains("migrate --parts"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_goes_into_a_database_of_one_part_and_back_and_goes_on() {
    there_and_back(1, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_goes_into_a_database_of_five_parts_and_back_and_goes_on() {
    there_and_back(5, 6).await;
}

/// Then nearly every part has the accounts of one customer, and one of them only the account that
/// brought the currency's settlement account along, which is in part 0.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_goes_into_a_database_of_more_parts_than_customers_and_back_and_goes_on() {
    there_and_back(997, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_began_in_a_database_goes_on_in_a_folder() {
    let database = migrated(997);
    let mut app = serving(&database).await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let accounts = [app.account(&minji, 100).await, app.account(&jun, 200).await];
    app.stop().await;
    drop(app);
    alone(&database);
    let folder = tempfile::tempdir().unwrap();
    let data = name(&folder.path().join("data"));
    copied(database.url(), &data);
    let mut app = on_folder(&data).await;
    // None of its settlement accounts is the one that a folder begins with.
    for (person, account) in [(&minji, &accounts[0]), (&jun, &accounts[1])] {
        app.deposit(person, account, json!({"amount": 5})).await.expect(201);
        app.withdraw(person, account, json!({"amount": 3})).await.expect(201);
        app.account(person, 7).await;
    }
    assert_eq!(app.balance(&jun, &accounts[1]).await, 202);
    app.stop().await;
    verified(&["--data", &data]);
}

/// A server on the ledger in `database`, for which time stands still.
async fn serving_at(database: &Database, now: Timestamp) -> TestApp {
    let store = database.url().parse().unwrap();
    let change = |config: &mut Config| config.ledger.store = Some(store);
    TestApp::on_a_folder_in(change, |around| around.clock = Clock::new(move || now)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_tellers_did_at_one_time_is_no_fault_in_a_copy() {
    let database = migrated(997);
    let now = Timestamp::from_micros(1_800_000_000_000_000);
    let mut apps = [serving_at(&database, now).await, serving_at(&database, now).await];
    let mut people = Vec::new();
    for (app, username) in apps.iter().zip(["minji", "jun"]) {
        let person = app.customer(username).await;
        let accounts = [app.account(&person, 100).await, app.account(&person, 0).await];
        people.push((person, accounts));
    }
    for _ in 0..10 {
        for (app, (person, [from, to])) in apps.iter().zip(&people) {
            let body = json!({"from_account": from, "to_account": to, "amount": 5});
            app.post(Some(&person.token), "/v1/transfers", body).await.expect(201);
        }
    }
    for app in &mut apps {
        app.stop().await;
    }
    alone(&database);
    let folder = tempfile::tempdir().unwrap();
    let data = name(&folder.path().join("data"));
    copied(database.url(), &data);
    let mut app = on_folder(&data).await;
    app.stop().await;
    verified(&["--data", &data]);
    // Before a copy is finished, nothing says how much of it was copied.
    let mark = folder.path().join("data/UNFINISHED-COPY");
    std::fs::write(&mark, "0\n").unwrap();
    for command in [&["verify"][..], &["export"], &["account", "list"]] {
        let output = run(&[command, &["--data", &data]].concat(), "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("is not finished"), "{command:?}: {said}");
        assert!(output.stdout.is_empty(), "{command:?}");
    }
    std::fs::remove_file(mark).unwrap();
    // Without this file nobody knows of several tellers.
    std::fs::remove_file(folder.path().join("data/journal/COPIED")).unwrap();
    let output = run(&["verify", "--data", &data], "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("it is not later than the event before it"), "{said}");
}

/// A ledger of many bookings, of which a copy takes a while.
fn large(folder: &Path) -> String {
    let data = name(&folder.join("large"));
    let mut lines = String::new();
    for account in 0..40 {
        let open = json!({"op": "open", "account": format!("a{account}"), "currency": "KRW",
            "owner_id": format!("usr_{:026}", account + 1)});
        lines += &format!("{open}\n");
        lines += &format!(
            "{}\n",
            json!({"op": "deposit", "account": format!("a{account}"),
            "amount": 1_000_000})
        );
    }
    for nth in 0..15_000 {
        let (from, to) = (nth % 40, (nth * 7 + 1) % 40);
        let amount = 1 + nth % 9;
        let line = json!({"op": "transfer", "from_account": format!("a{from}"),
            "to_account": format!("a{to}"), "amount": amount});
        lines += &format!("{line}\n");
    }
    let file = folder.join("lines.ndjson");
    std::fs::write(&file, lines).unwrap();
    run(&["import", file.to_str().unwrap(), "--data", &data], "");
    data
}

/// Begins the copy again and again and kills it each time a little later, until it is through:
/// how often it was killed, and in how many of these runs something had been done before.
fn kill_on_the_way(from: &str, to: &str) -> (u32, u32) {
    let (mut killed, mut went_on) = (0, 0);
    loop {
        let mut command = tongjang(&["copy", "--from", from, "--to", to]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // So that it lives long enough to do something, and longer each time.
        let patience =
            Duration::from_millis(150 + u64::from(killed) * 173 % 400 + u64::from(killed) * 30);
        let mut waited = Duration::ZERO;
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if waited >= patience {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
            waited += Duration::from_millis(5);
        };
        let Some(status) = ended else {
            killed += 1;
            continue;
        };
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(status.success(), "{said}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let there = printed.split(" events copied, ").nth(1).unwrap().split(' ').next().unwrap();
        went_on += u32::from(there != "0");
        return (killed, went_on);
    }
}

#[test]
fn a_copy_that_is_killed_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = large(folder.path());
    let database = migrated(5);
    let (killed, went_on) = kill_on_the_way(&data, database.url());
    assert!(killed > 0 && went_on > 0, "{killed} {went_on}");
    let whole = exported(&["--data", &data]);
    assert_eq!(exported(&["--store", database.url()]), whole);
    verified(&["--store", database.url()]);

    let back = name(&folder.path().join("back"));
    let (killed, _) = kill_on_the_way(database.url(), &back);
    assert!(killed > 0);
    assert_eq!(exported(&["--data", &back]), whole);
    verified(&["--data", &back]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_holds_anything_else_is_refused_and_left_as_it_was() {
    let mut bank = Bank::open(2).await;
    let data = bank.stopped().await;
    let cluster = Cluster::shared();
    let database = cluster.database();
    let said = refused(&data, database.url());
    assert!(said.contains("tongjang migrate"), "{said}");

    let database = migrated(3);
    printed(&["user", "add", "minji", "--store", database.url()], "correct horse battery");
    let said = refused(&data, database.url());
    assert!(said.contains("holds something already"), "{said}");
    let count = |what: &str| {
        cluster.query_text(&database, &format!("SELECT count(*)::text FROM tongjang.{what}"))
    };
    assert_eq!(count("accounts").as_deref(), Some("0"));
    assert_eq!(count("copies").as_deref(), Some("0"));
    assert_eq!(count("users").as_deref(), Some("1"));

    // Another ledger's copy is no part of this one.
    let other = Bank::open(1).await;
    let mut other_app = other.app;
    other_app.stop().await;
    let database = migrated(3);
    copied(&data, database.url());
    let said = refused(&name(&other_app.data()), database.url());
    assert!(said.contains("holds something already"), "{said}");

    // Nor is a folder with a ledger or with anything at all in it.
    for to in [name(&other_app.data()), {
        let junk = other_app.data().join("junk");
        std::fs::create_dir(&junk).unwrap();
        std::fs::write(junk.join("note"), "x").unwrap();
        name(&junk)
    }] {
        let said = refused(database.url(), &to);
        assert!(said.contains("holds something already"), "{said}");
    }

    // And what is only begun is opened by nobody.
    cluster.execute(&database, "UPDATE tongjang.copies SET finished_at = NULL");
    let output = run(&["verify", "--store", database.url()], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is not finished"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("UNFINISHED-COPY"), "0\n").unwrap();
    let output = run(&["serve", "--listen", "127.0.0.1:0", "--data", &name(folder.path())], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is not finished"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_a_server_has_is_not_copied() {
    let bank = Bank::open(2).await;
    let database = migrated(1);
    let said = refused(&name(&bank.app.data()), database.url());
    assert!(said.contains("stop it first"), "{said}");
}

#[test]
fn a_copy_goes_between_a_folder_and_a_database_and_shows_no_password() {
    for (from, to) in [("a", "b"), ("postgres://x:secret@h/a", "postgres://h/b")] {
        let said = refused(from, to);
        assert!(said.contains("from a folder into a database or back"), "{said}");
    }
    let output = run(&["copy", "--from", "mysql://x:secret@h/a", "--to", "b"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !said.contains("secret"), "{said}");
}
