//! Import and the other commands on a ledger in a database, beside a server that books on it.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tongjang_cluster::Database;

use crate::carry::{Desk, essence, figures};
use crate::cli::{printed, run, tongjang};
use crate::copy::{migrated, serving};

/// Runs an import into the database: the exit code, and what it printed and complained of.
fn import(database: &Database, more: &[&str]) -> (i32, String, String) {
    let output = run(&[&["import", "--store", database.url()], more].concat(), "");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn imported(database: &Database, more: &[&str]) -> [u64; 3] {
    let (code, printed, said) = import(database, more);
    assert!(!printed.is_empty(), "{said}");
    let figures = figures(&printed);
    assert_eq!(code, i32::from(figures[2] > 0), "{printed}{said}");
    figures
}

fn exported(database: &Database) -> String {
    printed(&["export", "--store", database.url()], "")
}

fn verify(database: &Database) {
    let said = printed(&["verify", "--store", database.url()], "");
    assert!(said.contains("every number, balance and hash holds"), "{said}");
}

/// Lines of every kind, some of which are refused; `count` transfers.
fn lines(count: usize) -> String {
    let mut lines = String::new();
    let mut put = |line: Value| lines += &format!("{line}\n");
    for nth in 0..20u8 {
        let (name, owner) = (format!("a{nth}"), format!("usr_{:026}", nth / 2 + 1));
        let number = format!("110-{nth}");
        put(json!({"op": "open", "account": name, "currency": "KRW", "owner_id": owner,
            "bank": "088", "number": number}));
        put(json!({"op": "deposit", "account": name, "amount": 1000, "memo": "처음"}));
    }
    let place = json!({"bank": "088", "number": "1103"});
    put(json!({"op": "deposit", "account": place, "amount": 9}));
    put(json!({"op": "open", "account": "again", "currency": "KRW", "bank": "088",
        "number": "110-3", "owner_id": "usr_00000000000000000000000009"}));
    put(json!({"op": "deposit", "account": "again", "amount": 1}));
    put(json!({"op": "status", "account": "a19", "status": "frozen"}));
    for nth in 0..count {
        let (from, to) = (format!("a{}", nth % 20), format!("a{}", (nth * 7 + 1) % 20));
        put(json!({"op": "transfer", "from_account": from, "to_account": to,
            "amount": 1 + nth % 5, "memo": format!("line {nth}")}));
    }
    put(json!({"op": "withdrawal", "account": "a1", "amount": 1_000_000}));
    put(json!({"op": "status", "account": "a19", "status": "open"}));
    lines
}

#[test]
fn an_import_into_a_database_does_what_one_into_a_folder_does() {
    let desk = Desk::new();
    let file = desk.file("lines.ndjson", lines(1_500));
    let folder = desk.imported("folder", &[&file]);
    for parts in [1, 5] {
        let database = migrated(parts);
        let rejects = desk.path(&format!("rejects{parts}"));
        let rejects = rejects.to_str().unwrap();
        let dry = imported(&database, &[&file, "--dry-run"]);
        assert_eq!((dry, exported(&database).as_str()), (folder, ""));
        assert_eq!(imported(&database, &[&file, "--rejects", rejects]), folder);
        let same = essence(&exported(&database)) == essence(&desk.export("folder", &[]));
        assert!(same, "both exports say the same");
        verify(&database);
        // Nothing is done twice, and what was refused is refused again.
        let again = [0, folder[0], folder[2]];
        assert_eq!(imported(&database, &[&file, "--dry-run"]), again);
        assert_eq!(imported(&database, &[&file]), again);
        let kept = std::fs::read_to_string(rejects).unwrap();
        assert_eq!(kept.lines().count() as u64, folder[2]);
        let first: Value = serde_json::from_str(kept.lines().next().unwrap()).unwrap();
        assert_eq!(first["problem"]["code"], "account-number-taken", "{first}");
        // The accounts that refused lines name come along with them.
        let known = kept.lines().any(|line| line.contains(r#""a1":"acc_"#));
        assert!(known, "{kept}");
    }
}

#[test]
fn an_import_into_a_database_stops_at_the_first_refusal_if_it_shall() {
    let desk = Desk::new();
    let file = desk.file("lines.ndjson", lines(10));
    let database = migrated(3);
    let done = imported(&database, &[&file, "--stop-at-first"]);
    assert_eq!(done, [41, 0, 1]);
    assert_eq!(exported(&database).lines().count(), 41);
    verify(&database);
}

#[test]
fn imports_of_one_file_at_the_same_time_do_every_line_once_between_them() {
    let desk = Desk::new();
    let file = desk.file("lines.ndjson", lines(2_000));
    let alone = desk.imported("folder", &[&file]);
    for _ in 0..3 {
        let database = migrated(5);
        let each = || {
            let mut command = tongjang(&["import", "--store", database.url(), &file]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running = [each(), each(), each()];
        let done = running.map(|child| {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.stdout.is_empty(), "{said}");
            figures(&String::from_utf8(output.stdout).unwrap())
        });
        assert_eq!(done.iter().map(|[booked, ..]| booked).sum::<u64>(), alone[0], "{done:?}");
        for [booked, there, refused] in done {
            assert_eq!((booked + there, refused), (alone[0], alone[2]), "{done:?}");
        }
        assert_eq!(exported(&database).lines().count() as u64, alone[0]);
        verify(&database);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_that_are_killed_beside_a_server_book_every_line_once() {
    let database = migrated(3);
    let app = serving(&database).await;
    let (minji, jun) = (app.customer("minji").await, app.customer("jun").await);
    let accounts = [app.account(&minji, 500_000).await, app.account(&jun, 500_000).await];
    let count = 4_000;
    let lines: String = (0..count)
        .map(|nth| {
            let (from, to) = (&accounts[nth % 2], &accounts[(nth + 1) % 2]);
            let line = match nth % 3 {
                0 => json!({"op": "deposit", "account": from, "amount": 2,
                    "memo": format!("line {nth}")}),
                _ => json!({"op": "transfer", "from_account": from, "to_account": to, "amount": 1,
                    "memo": format!("line {nth}")}),
            };
            format!("{line}\n")
        })
        .collect();
    let desk = Desk::new();
    let file = desk.file("lines.ndjson", lines);
    let url = database.url().to_owned();
    let importing = tokio::task::spawn_blocking(move || {
        let mut killed = 0;
        for nth in 0.. {
            // Two at once, of which each may find the other's lines done.
            let begin = || {
                let mut command = tongjang(&["import", "--store", &url, &file]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            };
            let (one, mut other) = (begin(), begin());
            std::thread::sleep(Duration::from_millis(200 + nth * 70));
            killed += u32::from(other.try_wait().unwrap().is_none());
            other.kill().unwrap();
            other.wait().unwrap();
            let mut one = one;
            if nth < 3 {
                killed += u32::from(one.try_wait().unwrap().is_none());
                one.kill().unwrap();
                one.wait().unwrap();
                continue;
            }
            let output = one.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            break;
        }
        killed
    });
    let mut booked = 0;
    while !importing.is_finished() {
        app.deposit(&minji, &accounts[0], json!({"amount": 1})).await.expect(201);
        app.withdraw(&jun, &accounts[1], json!({"amount": 1})).await.expect(201);
        booked += 2;
    }
    assert!(importing.await.unwrap() > 0);
    verify(&database);
    let export = exported(&database);
    let mut seen: HashMap<String, u32> = HashMap::new();
    for line in export.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let memo = line["memo"].as_str().unwrap_or_default().to_owned();
        *seen.entry(memo).or_default() += 1;
    }
    for nth in 0..count {
        assert_eq!(seen.remove(&format!("line {nth}")), Some(1), "line {nth}");
    }
    assert_eq!(export.lines().count(), 4 + booked + count, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_looks_at_a_database() {
    let database = migrated(4);
    let url = database.url();
    printed(&["user", "add", "boss", "--operator", "--store", url], "correct horse battery");
    let app = serving(&database).await;
    app.log_in("boss").await;
    let minji = app.customer("minji").await;
    let body = json!({"currency": "KRW", "name": "생활비", "bank": "088", "number": "110-7"});
    app.post(Some(&minji.token), "/v1/accounts", body).await.expect(201);
    let desk = Desk::new();
    let place = json!({"bank": "088", "number": "1107"});
    let line = json!({"op": "deposit", "account": place, "amount": 70_000, "memo": "급여"});
    let open = json!({"op": "open", "account": "new", "currency": "USD"});
    let file = desk.file("lines.ndjson", format!("{line}\n{open}\n"));
    assert_eq!(imported(&database, &[&file, "--owner", "minji"]), [2, 0, 0]);
    let (code, _, said) = import(&database, &[&file, "--owner", "nobody"]);
    assert!(code == 1 && said.contains("there is no user nobody"), "{said}");

    let list = printed(&["account", "list", "--store", url], "");
    assert!(list.contains("088/110-7") && list.contains("생활비"), "{list}");
    let history = printed(&["history", "088/1107", "--store", url], "");
    assert!(history.contains("70,000") && history.contains("급여"), "{history}");
    let passbook = printed(&["export", "--account", "088/1107", "--store", url], "");
    assert_eq!(passbook.lines().count(), 1);
    let table = printed(&["export", "--format", "csv", "--store", url], "");
    assert_eq!(table.lines().count(), 4, "{table}");
    verify(&database);
    let secret = url.replacen("postgres@", "postgres:secret@", 1) + "?sslpassword=secret";
    let backup = printed(&["backup", "--store", &secret], "");
    assert!(backup.contains("pg_dump") && backup.contains("pg_basebackup"), "{backup}");
    assert!(backup.contains(database.name()) && !backup.contains("secret"), "{backup}");
}
