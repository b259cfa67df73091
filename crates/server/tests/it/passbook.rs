//! The checker of `docs/passbook-hash.md`, as it stands there, on a passbook of a running server.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::readme::{blocks, has, page};

/// What the checker says of an account and its entries.
fn says(folder: &Path, account: &Value, entries: &[Value]) -> String {
    std::fs::write(folder.join("account.json"), account.to_string()).unwrap();
    std::fs::write(folder.join("entries.json"), Value::from(entries).to_string()).unwrap();
    let mut python = Command::new("python3");
    python.args(["check.py", "account.json", "entries.json"]).current_dir(folder);
    let output = python.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// All of an account's entries, the oldest first, as their pages are turned.
async fn entries(app: &TestApp, token: &str, id: &str) -> Vec<Value> {
    let (mut all, mut query) = (Vec::new(), "order=asc&limit=2".to_owned());
    loop {
        let path = format!("/v1/accounts/{id}/entries?{query}");
        let page = app.get(Some(token), &path).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return all };
        query = format!("cursor={cursor}");
    }
}

#[tokio::test]
async fn the_documented_checker_finds_a_live_passbook_sound_and_a_changed_one_not() {
    if !has("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let documented = page("docs/passbook-hash.md");
    let checker = blocks(&documented).into_iter().find(|(kind, _)| *kind == "python").unwrap().1;
    std::fs::write(folder.path().join("check.py"), checker).unwrap();

    let app = TestApp::start().await;
    let token = app.user("minji").await;
    let post = async |path: String, body: Value| {
        app.post(Some(&token), &path, body).await.expect(201)["id"].as_str().unwrap().to_owned()
    };
    let opening = json!({"currency": "KRW", "bank": "국민은행", "number": "AB-12-34"});
    let account = post("/v1/accounts".to_owned(), opening).await;
    let other = post("/v1/accounts".to_owned(), json!({"currency": "KRW"})).await;
    let deposits = format!("/v1/accounts/{account}/deposits");
    post(deposits.clone(), json!({"amount": 9_007_199_254_740_993_u64, "memo": "월급 🎉"})).await;
    post(deposits, json!({"amount": 1})).await;
    let withdrawal = json!({"amount": 300, "metadata": {"till": "4"}});
    post(format!("/v1/accounts/{account}/withdrawals"), withdrawal).await;
    for (from, to) in [(&account, &other), (&other, &account)] {
        let body = json!({"from_account": from, "to_account": to, "amount": 7, "to_memo": "뒤"});
        post("/v1/transfers".to_owned(), body).await;
    }

    let mut booked = entries(&app, &token, &account).await;
    let shown = app.get(Some(&token), &format!("/v1/accounts/{account}")).await.expect(200);
    assert_eq!(booked.len(), 5);
    assert_eq!(says(folder.path(), &shown, &booked), "sound");
    booked[2]["memo"] = json!("깜짝");
    assert_eq!(says(folder.path(), &shown, &booked), "entry 3 is not what was booked");
    booked.truncate(2);
    let short = says(folder.path(), &shown, &booked);
    assert_eq!(short, "the account is not where its entries lead");
}
