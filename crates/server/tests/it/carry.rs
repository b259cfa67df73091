//! Ledgers carried out and in again: whatever an export holds, an import of it leads to the same
//! ledger, once, however often it was killed on the way.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tongjang_store::journal::{Journal, JournalConfig};
use tongjang_store::{Order, Reader};

use crate::cli::{printed, run, tongjang};

/// A folder with ledgers and files in it.
pub(crate) struct Desk(TempDir);

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and tells where.
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `import FILE --data LEDGER …`: the exit code, and what it printed and complained of.
    pub(crate) fn import(&self, ledger: &str, more: &[&str]) -> (i32, String, String) {
        let data = self.path(ledger);
        let output = run(&[&["import", "--data", data.to_str().unwrap()], more].concat(), "");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// As [`import`](Self::import), which must go well: the three figures of its summary.
    #[track_caller]
    pub(crate) fn imported(&self, ledger: &str, more: &[&str]) -> [u64; 3] {
        let (code, printed, said) = self.import(ledger, more);
        let figures = figures(&printed);
        assert_eq!(code, i32::from(figures[2] > 0), "{printed}{said}");
        figures
    }

    pub(crate) fn export(&self, ledger: &str, more: &[&str]) -> String {
        let data = self.path(ledger);
        printed(&[&["export", "--data", data.to_str().unwrap()], more].concat(), "")
    }

    pub(crate) fn verify(&self, ledger: &str) {
        let data = self.path(ledger);
        let said = printed(&["verify", "--data", data.to_str().unwrap()], "");
        assert!(said.contains("every number, balance and hash holds"), "{said}");
    }

    /// Where each account stands: balance, entries, credits, debits and status, by bank and number.
    pub(crate) fn standings(&self, ledger: &str) -> BTreeMap<String, Value> {
        let config = JournalConfig::new(self.path(ledger), [0; 16]);
        let reader = Journal::open_to_read(&config).unwrap();
        let accounts = reader.accounts(None, Order::Asc, None, usize::MAX).unwrap();
        let place = |account: &tongjang_core::Account| match &account.opened().place {
            Some((bank, number)) => format!("{}/{}", bank.as_str(), number.as_str()),
            None => account.currency().to_string(),
        };
        let standing = |account: &tongjang_core::Account| {
            let at = account.standing();
            let (credits, debits) = (at.credit_total.minor(), at.debit_total.minor());
            let (entries, status) = (at.entry_count, at.status.as_str());
            json!([account.balance().minor(), entries, credits, debits, status])
        };
        accounts.iter().map(|account| (place(account), standing(account))).collect()
    }
}

/// Done, already there, refused: of the line that an import ends with.
pub(crate) fn figures(printed: &str) -> [u64; 3] {
    let numbers: Vec<u64> = printed
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    assert_eq!(numbers[0], numbers[1..4].iter().sum::<u64>(), "{printed}");
    [numbers[1], numbers[2], numbers[3]]
}

/// Lines of an export without what is different in each ledger: ids count accounts, and times and
/// transactions are left out.
pub(crate) fn essence(export: &str) -> Vec<Value> {
    let mut accounts: HashMap<String, usize> = HashMap::new();
    let mut lines = Vec::new();
    for line in export.lines() {
        let Value::Object(mut line) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        for time in ["transaction_id", "booked_at", "opened_at", "changed_at"] {
            line.remove(time);
        }
        for name in ["account", "from_account", "to_account"] {
            if let Some(Value::String(id)) = line.get(name) {
                let next = accounts.len();
                let nth = *accounts.entry(id.clone()).or_insert(next);
                line.insert(name.to_owned(), json!(nth));
            }
        }
        lines.push(Value::Object(line));
    }
    lines
}

/// Chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Texts that are awkward in a table, in JSON or in a spreadsheet.
const MEMOS: [&str; 10] = [
    "",
    "월급, \"11월\"",
    "=HYPERLINK(\"http://x\")",
    "'",
    "'=1",
    "-5",
    "@가",
    "a;b\\c",
    " lead",
    "🏦",
];

/// The rows of a ledger with so many bookings, some of which must be refused; accounts are named by
/// the ids of another ledger, or by bank and number.
fn rows(seed: u64, bookings: usize) -> Vec<String> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut rows = Vec::new();
    let id =
        |nth: u64| tongjang_core::AccountId::from_bits((7 << 64) + u128::from(nth)).to_string();
    let owner = tongjang_core::UserId::from_bits(3 << 64).to_string();
    let mut opened = 0;
    for nth in 0..bookings {
        if opened < 4 || (opened < 40 && dice.roll(50) == 0) {
            let currency = ["KRW", "KRW", "USD"][dice.roll(3) as usize];
            let bank = ["088", "카카오"][dice.roll(2) as usize];
            rows.push(json!({"op": "open", "account": id(opened), "owner_id": owner,
                "currency": currency, "bank": bank,
                "number": format!("110-{opened}")}));
            opened += 1;
        }
        let (one, other) = (dice.roll(opened), dice.roll(opened));
        let amount = [1 + dice.roll(1_000), 1 << 50][usize::from(dice.roll(30) == 0)];
        let memo = MEMOS[dice.roll(10) as usize];
        let mut row = match dice.roll(100) {
            0..40 => json!({"op": "deposit", "account": id(one), "amount": amount}),
            40..60 => json!({"op": "withdrawal", "account": id(one), "amount": amount}),
            60..98 => {
                let (from, to) = (id(one), id(other));
                let to_memo = MEMOS[dice.roll(10) as usize];
                let mut row = json!({"op": "transfer", "from_account": from, "to_account": to,
                    "amount": amount});
                if dice.roll(2) == 0 {
                    row["to_memo"] = json!(to_memo);
                }
                row
            }
            _ => {
                let status = ["frozen", "open", "open", "closed"][dice.roll(4) as usize];
                json!({"op": "status", "account": id(one), "status": status})
            }
        };
        if row["op"] != "status" {
            row["memo"] = json!(memo);
            if dice.roll(4) == 0 {
                row["metadata"] = json!({"nth": nth.to_string(), "주문": "=1"});
            }
        }
        rows.push(row);
    }
    rows.iter().map(|row| row.to_string() + "\n").collect()
}

#[test]
fn what_is_exported_and_imported_is_the_same_ledger() {
    for seed in 1..=3 {
        let desk = Desk::new();
        let rows = rows(seed, 2_000);
        let file = desk.file("rows.ndjson", rows.concat());
        let [done, there, refused] = desk.imported("first", &[&file]);
        assert!(done > 500 && there == 0 && refused > 50, "{done} {there} {refused}");
        desk.verify("first");
        let first = desk.export("first", &[]);
        assert_eq!(first.lines().count() as u64, done, "what was refused is not in it");

        let export = desk.file("first.ndjson", &first);
        assert_eq!(desk.imported("second", &[&export]), [done, 0, 0]);
        desk.verify("second");
        assert_eq!(desk.standings("second"), desk.standings("first"), "seed {seed}");
        assert_eq!(essence(&desk.export("second", &[])), essence(&first), "seed {seed}");

        let table = desk.path("first.csv");
        let table = table.to_str().unwrap();
        desk.export("first", &["--format", "csv", "--bom", "-o", table]);
        assert_eq!(desk.imported("third", &[table]), [done, 0, 0]);
        assert_eq!(desk.standings("third"), desk.standings("first"), "seed {seed}");
        assert_eq!(essence(&desk.export("third", &[])), essence(&first), "seed {seed}");

        // The same once more, from the table too: a line of an export is known again.
        assert_eq!(desk.imported("second", &[&export]), [0, done, 0]);
        assert_eq!(desk.imported("second", &[table]), [0, done, 0]);
        assert_eq!(essence(&desk.export("second", &[])), essence(&first), "seed {seed}");
    }
}

#[test]
fn a_later_export_adds_only_what_is_new() {
    let desk = Desk::new();
    let rows = rows(9, 600);
    desk.imported("source", &[&desk.file("1.ndjson", rows[..300].concat()), "--job", "load"]);
    desk.imported("copy", &[&desk.file("first.ndjson", desk.export("source", &[]))]);
    desk.imported("source", &[&desk.file("2.ndjson", rows.concat()), "--job", "load"]);
    let later = desk.export("source", &[]);
    let [done, there, refused] = desk.imported("copy", &[&desk.file("later.ndjson", &later)]);
    assert!(done > 100 && there > 100 && refused == 0, "{done} {there} {refused}");
    assert_eq!(essence(&desk.export("copy", &[])), essence(&later));
}

#[test]
fn an_export_books_nothing_on_the_ledger_that_it_comes_from() {
    let desk = Desk::new();
    desk.imported("ledger", &[&desk.file("rows.ndjson", rows(4, 800).concat())]);
    let (export, standings) = (desk.export("ledger", &[]), desk.standings("ledger"));
    let lines: Vec<&str> = export.lines().collect();
    for from in [0, lines.len() / 2] {
        let part = lines[from..].join("\n");
        let file = desk.file("part.ndjson", part);
        for more in [&[][..], &["--job", "again"], &["--dry-run"]] {
            let figures = desk.imported("ledger", &[&[&*file], more].concat());
            assert_eq!(figures, [0, 0, (lines.len() - from) as u64], "{from} {more:?}");
        }
    }
    assert_eq!(desk.standings("ledger"), standings);
    assert_eq!(desk.export("ledger", &[]), export);
}

#[test]
fn an_import_that_is_killed_and_run_again_leads_to_the_same_ledger() {
    let desk = Desk::new();
    let rows = rows(5, 30_000);
    let whole = desk.imported("whole", &[&desk.file("rows.ndjson", rows.concat())]);

    let data = desk.path("killed");
    let arguments = ["import", "-", "--job", "night", "--data", data.to_str().unwrap()];
    for up_to in [10_000, 9_000, 21_000] {
        let mut command = tongjang(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // It has read all but what a pipe holds when this returns, and waits for more.
        stdin.write_all(rows[..up_to].concat().as_bytes()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = run(&arguments, &rows.concat());
    let [done, there, refused] = figures(&String::from_utf8(output.stdout).unwrap());
    assert!(there > 5_000 && done > 5_000, "{done} {there}");
    assert_eq!(done + there, whole[0]);
    assert_eq!(refused, whole[2]);
    desk.verify("killed");
    assert_eq!(desk.standings("killed"), desk.standings("whole"));
    assert_eq!(essence(&desk.export("killed", &[])), essence(&desk.export("whole", &[])));
}

#[test]
fn a_dry_run_tells_what_would_come_of_it_and_writes_nothing() {
    let desk = Desk::new();
    let rows = rows(7, 1_000);
    let file = desk.file("rows.ndjson", rows.concat());
    let rehearsed = desk.imported("ledger", &[&file, "--dry-run"]);
    assert!(!desk.path("ledger").exists());
    assert_eq!(desk.imported("ledger", &[&file]), rehearsed);

    // On a ledger in which some of it is already, beside whoever has it.
    let before = listing(&desk.path("ledger"));
    let more = desk.file("more.ndjson", [rows.concat(), self::rows(8, 500).concat()].concat());
    desk.imported("half", &[&file, "--job", "j"]);
    let rehearsed = desk.imported("half", &[&more, "--job", "j", "--dry-run"]);
    assert!(rehearsed[1] > 100, "{rehearsed:?}");
    assert_eq!(desk.imported("half", &[&more, "--job", "j"]), rehearsed);
    assert_eq!(desk.imported("ledger", &[&more, "--dry-run", "--job", "j"])[1], 0);
    assert_eq!(listing(&desk.path("ledger")), before);
}

/// Every file below `folder`, with its content.
fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(listing(&path));
        } else {
            files.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn the_samples_of_the_documentation_are_booked() {
    let desk = Desk::new();
    let data = desk.path("l");
    printed(&["user", "add", "jiwon", "--data", data.to_str().unwrap()], "");
    let opening = "op,bank,number,currency\nopen,004,110-234,KRW\n";
    desk.imported("l", &[&desk.file("opening.csv", opening), "--owner", "jiwon"]);
    let document = include_str!("../../../../docs/import-export.md");
    let sample = |begin: &str| {
        let (_, rest) = document.split_once(begin).unwrap();
        rest.split_once("```").unwrap().0
    };
    let table = desk.file("sample.csv", sample("```csv\n"));
    assert_eq!(desk.imported("l", &[&table, "--owner", "jiwon"]), [6, 0, 0]);
    assert_eq!(desk.standings("l")["088/110-008-3842663"][0], 1_000_000);
    let lines = sample("```json\n").replace("3842655", "3842671");
    let lines = desk.file("sample.ndjson", lines);
    assert_eq!(desk.imported("l", &[&lines, "--owner", "jiwon"]), [3, 0, 0]);
    assert_eq!(desk.standings("l")["004/110-234"][0], 10_000);
}

#[test]
fn a_passbook_on_the_terminal_has_as_many_rows_as_were_asked_for() {
    let desk = Desk::new();
    let data = desk.path("l");
    let mut rows = json!({"op": "open", "currency": "KRW", "bank": "a:b/c", "number": "1-1",
        "owner_id": tongjang_core::UserId::from_bits(3 << 64).to_string()})
    .to_string();
    for _ in 0..3 {
        rows += "\n";
        rows += r#"{"op": "deposit", "account": {"bank": "a:b/c", "number": "11"}, "amount": 5}"#;
    }
    assert_eq!(desk.imported("l", &[&desk.file("rows.ndjson", rows)]), [4, 0, 0]);
    // Whichever sign is the last one stands before the number.
    for account in ["a:b/c/1-1", "a:b/c:1-1", " a:b/c / 11 "] {
        for (limit, shown) in [("0", 0), ("1", 1), ("2", 2), ("3", 3), ("50", 3)] {
            let data = data.to_str().unwrap();
            let said = printed(&["history", account, "--limit", limit, "--data", data], "");
            assert_eq!(said.matches("deposit").count(), shown, "{account} {limit}: {said}");
        }
        assert_eq!(desk.export("l", &["--account", account]).lines().count(), 3);
    }
}

#[test]
fn one_accounts_entries_are_exported_for_an_accountant() {
    let desk = Desk::new();
    let mut rows = vec![
        json!({"op": "open", "currency": "KRW", "bank": "088", "number": "110-1"}),
        json!({"op": "open", "currency": "KRW", "bank": "국민", "number": "2-2"}),
    ];
    for nth in 0..1_200 {
        rows.push(json!({"op": "deposit", "account": {"bank": "088", "number": "1101"},
            "amount": nth + 1, "memo": MEMOS[nth % 10]}));
    }
    rows.push(json!({"op": "transfer", "from_account": {"bank": "088", "number": "110-1"},
        "to_account": {"bank": "국민", "number": "2-2"}, "amount": 600_000, "memo": "=월세"}));
    let rows: String = rows.iter().map(|row| row.to_string() + "\n").collect();
    let owner = printed(&["user", "add", "minji", "--data", desk.path("l").to_str().unwrap()], "");
    assert!(owner.contains("minji"));
    desk.imported("l", &[&desk.file("rows.ndjson", rows), "--owner", "minji"]);

    let entries = desk.export("l", &["--account", "088:110-1"]);
    let entries: Vec<Value> = entries.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(entries.len(), 1_201);
    let mut balance = 0;
    for (nth, entry) in entries.iter().enumerate() {
        let amount = entry["amount"].as_i64().unwrap();
        balance += if entry["direction"] == "credit" { amount } else { -amount };
        assert_eq!((&entry["number"], &entry["balance"]), (&json!(nth + 1), &json!(balance)));
    }
    assert_eq!(entries[1_200]["counterparty"]["number"], "2-2");

    let table = desk.export("l", &["--account", "088/110-1", "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let columns = reader.headers().unwrap().clone();
    let last: HashMap<String, String> = reader.deserialize().last().unwrap().unwrap();
    assert_eq!(columns.len(), last.len());
    for (column, value) in [
        ("number", "1201"),
        ("direction", "debit"),
        ("kind", "transfer"),
        ("amount", "600000"),
        ("memo", "'=월세"),
        ("counterparty_bank", "국민"),
        ("counterparty_number", "2-2"),
    ] {
        assert_eq!(last[column], value, "{column}");
    }
}
