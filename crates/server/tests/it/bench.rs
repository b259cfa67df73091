//! `tongjang bench` as the program itself, in tiny runs: what is measured holds no secret and no
//! promise, but the documents must have their figures and the ledgers must be ledgers.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tongjang_cluster::Cluster;

use crate::cli::{printed, tongjang};

/// The document that a measurement prints.
#[track_caller]
fn document(arguments: &[&str], dir: &Path) -> Value {
    let mut all = vec!["bench"];
    all.extend(arguments);
    all.extend(["--rounds", "1", "--json", "--dir", dir.to_str().unwrap()]);
    let document: Value = serde_json::from_str(&printed(&all, "")).unwrap();
    assert_eq!(document["bench"], arguments[0]);
    assert!(document["machine"]["cores"].as_u64() > Some(0), "{document}");
    assert!(document["tongjang"]["commit"].is_string());
    assert_eq!(document["settings"]["rounds"], 1);
    let left: Vec<_> = std::fs::read_dir(dir).unwrap().collect();
    assert!(left.is_empty(), "something was left behind: {left:?}");
    document
}

/// Every one of these is a figure above zero.
#[track_caller]
fn positive(figures: &Value, names: &[&str]) {
    for name in names {
        let figure = name.split('.').fold(figures, |figures, name| &figures[name]);
        assert!(figure.as_f64() > Some(0.0), "{name} of {figures}");
    }
}

fn rows(document: &Value) -> &[Value] {
    document["results"].as_array().unwrap()
}

fn failed(arguments: &[&str]) -> String {
    let output = tongjang(&[&["bench"], arguments].concat()).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_ledger_is_filled_and_asked_and_served() {
    let scratch = tempfile::tempdir().unwrap();
    let ledger = scratch.path().join("ledger");
    let (path, json) = (ledger.to_str().unwrap(), scratch.path().join("fill.json"));
    let fill = ["bench", "fill", "--dir", path, "--transactions", "2k", "--accounts", "40"];
    let told = [&fill[..], &["--shape", "hot", "--deposits", "10", "--batch", "64"]].concat();
    let table = printed(&[&told[..], &["--json", json.to_str().unwrap()]].concat(), "");
    assert!(table.contains("2,000 transactions at") && table.contains("closed in"), "{table}");
    assert!(table.contains("no round that warms up; written past the page cache"), "{table}");
    assert!(table.contains("\n  of bandwidth  written MiB a second as a share of"), "{table}");
    let filled: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(filled["settings"]["transactions"], 2000);
    assert_eq!(rows(&filled).len(), 10);
    assert_eq!(rows(&filled)[9]["transactions"], 2000);
    positive(&rows(&filled)[9], &["per_second", "seconds", "journal_bytes"]);
    positive(&filled["summary"], &["per_second", "disk_bytes", "journal_bytes_per_transaction"]);
    positive(&filled["limits"]["disk"], &["sync.p50_us", "sync.max_us", "megabytes_per_second"]);
    let verified = printed(&["verify", "--data", path], "");
    assert!(verified.contains("2000 transactions"), "{verified}");
    assert!(failed(&told[1..]).contains("name a new folder"));

    let beside = tempfile::tempdir().unwrap();
    let svg = scratch.path().join("latency.svg");
    let history = ["history", "--ledger", path, "--queries", "5", "--cold", "2", "--http"];
    let history = [&history[..], &["--svg", svg.to_str().unwrap()]].concat();
    let history = document(&history, beside.path());
    assert_eq!(rows(&history).len(), 14);
    for row in rows(&history) {
        assert_eq!(row["transactions"], 2000);
        positive(row, &["warm.p50_us", "warm.p99_us", "cold.p50_us", "busiest_entries"]);
        match row["query"].as_str() {
            Some("summary" | "transaction") => assert!(row["rows_per_page"].is_null()),
            _ => positive(row, &["rows_per_page"]),
        }
    }
    let asked = rows(&history).iter().filter(|row| row["http"]["p50_us"].as_f64() > Some(0.0));
    assert!(asked.count() >= 7, "{history}");
    well_formed(&std::fs::read_to_string(svg).unwrap());

    let mixed = ["mixed", "--ledger", path, "--connections", "2", "--seconds", "0.1"];
    let mixed = document(&mixed, beside.path());
    let [row] = rows(&mixed) else { panic!("{mixed}") };
    positive(row, &["alone_writes_per_second", "mixed_reads_per_second", "mixed_reads.p99_us"]);
    let paced = ["mixed", "--ledger", path, "--connections", "2", "--seconds", "0.2"];
    let paced = document(&[&paced[..], &["--pace", "50,100"]].concat(), beside.path());
    assert_eq!(rows(&paced).len(), 2);
    for row in rows(&paced) {
        positive(row, &["pace", "writes_of_alone", "mixed_writes.p99_us", "mixed_reads.p99_us"]);
        let count = |class: &str| row[class]["count"].as_u64().unwrap();
        assert!(count("mixed_reads") > 2 * count("mixed_writes"), "{row}");
    }
    let verified = printed(&["verify", "--data", path], "");
    assert!(!verified.contains(" 2000 transactions"), "nothing was booked: {verified}");
}

#[test]
fn the_engine_is_held_to_the_disk_and_the_rules() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = ["--accounts", "20,30", "--transfers", "300", "--small", "4"];
    let engine = [&["engine", "--batches", "1,64", "--shape", "zipf"], &sizes[..]].concat();
    let engine = document(&engine, dir.path());
    assert_eq!(rows(&engine).len(), 4);
    for row in rows(&engine) {
        positive(row, &["per_second", "raw_sync_per_second", "rules_per_second", "of_rules"]);
        positive(row, &["of_raw_sync", "journal_bytes_per_transfer"]);
    }
    assert_eq!(rows(&engine)[0]["commit"]["count"], 4);
    assert!(rows(&engine)[1]["commit"].is_null());
}

#[test]
fn deposits_are_held_to_posts_that_do_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let http = ["http", "--connections", "1,3", "--seconds", "0.1", "--accounts", "3"];
    let http = document(&http, dir.path());
    assert_eq!(rows(&http).len(), 2);
    for row in rows(&http) {
        positive(row, &["noop_per_second", "deposits_per_second", "one_account_per_second"]);
        positive(row, &["of_noop", "deposits.p99_9_us", "noop.p50_us"]);
    }
    positive(&rows(&http)[0], &["times_raw_sync"]);
}

#[test]
fn batches_are_held_to_the_engine_and_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let batch = ["batch", "--accounts", "20", "--transfers", "600", "--connections", "1,2"];
    let batch = document(&batch, dir.path());
    assert_eq!(rows(&batch).len(), 2);
    for row in rows(&batch) {
        assert_eq!(row["transfers"], 600);
        positive(row, &["per_second", "engine_per_second", "raw_sync_per_second", "of_engine"]);
        positive(row, &["of_raw_sync", "request_bytes_per_transfer", "of_engine_at_largest"]);
        let rates = row["engine"].as_array().unwrap().iter();
        let rates: Vec<_> = rates.map(|of| (of["per_second"].as_f64(), &of["batch"])).collect();
        let [(small, _), (large, _)] = rates[..] else { panic!("{row}") };
        let faster = if small > large { rates[0] } else { rates[1] };
        assert_eq!((row["engine_per_second"].as_f64(), &row["engine_batch"]), faster);
    }
}

#[test]
fn sizes_are_compared_and_a_restart_is_timed() {
    let dir = tempfile::tempdir().unwrap();
    let history = ["history", "--sizes", "200,1k", "--queries", "3", "--no-cold"];
    let history = document(&history, dir.path());
    assert_eq!(rows(&history).len(), 28);
    let ratios = history["summary"]["largest_by_smallest"].as_array().unwrap();
    assert_eq!(ratios.len(), 14);
    positive(&ratios[0], &["warm.p50", "warm.p99"]);
    let restart = ["restart", "--transactions", "600", "--accounts", "50"];
    let restart = document(&restart, dir.path());
    let [killed, stopped] = rows(&restart) else { panic!("{restart}") };
    assert_eq!((&killed["after"], &stopped["after"]), (&"kill -9".into(), &"a clean stop".into()));
    positive(killed, &["listening_seconds", "first_answer_seconds"]);
    positive(stopped, &["listening_seconds", "first_answer_seconds", "raw_snapshot_seconds"]);
}

#[test]
fn a_ledger_that_is_there_is_started_and_stopped_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let path = ledger.to_str().unwrap();
    let fill = ["bench", "fill", "--dir", path, "--transactions", "300", "--accounts", "20"];
    let told = printed(&[&fill[..], &["--no-close", "--buffered"]].concat(), "");
    assert!(told.contains("through the page cache"), "{told}");
    let restart = ["bench", "restart", "--ledger", path, "--rounds", "1", "--json"];
    let restart: Value = serde_json::from_str(&printed(&restart, "")).unwrap();
    assert_eq!(restart["settings"]["ledger"], path);
    let [killed, stopped] = rows(&restart) else { panic!("{restart}") };
    positive(killed, &["listening_seconds", "first_answer_seconds"]);
    // Who kills it leaves no snapshot, and who stops it does.
    assert!(killed["raw_snapshot_seconds"].is_null(), "{killed}");
    positive(stopped, &["listening_seconds", "first_answer_seconds", "raw_snapshot_seconds"]);
    let rounds = [killed, stopped].map(|row| row["raw_snapshot_rounds"].as_u64());
    assert_eq!(rounds, [Some(0), Some(1)]);
    let verified = printed(&["verify", "--data", path], "");
    assert!(verified.contains("300 transactions"), "{verified}");
    let none = dir.path().join("none");
    let slip = failed(&["restart", "--ledger", none.to_str().unwrap()]);
    assert!(slip.contains("there is no ledger in") && !none.exists(), "{slip}");
}

#[test]
fn history_in_databases_is_compared_with_the_pages_it_reads() {
    let (dir, database) = (tempfile::tempdir().unwrap(), Cluster::shared().database());
    let history = ["database-history", "--store", database.url(), "--sizes", "200,1k"];
    let history = [&history[..], &["--queries", "3", "--counted", "2"]].concat();
    let history = document(&history, dir.path());
    assert_eq!(rows(&history).len(), 28);
    for row in rows(&history) {
        positive(row, &["warm.p50_us", "warm.p99_us", "pages_per_query", "most_pages"]);
    }
    let sizes = [&rows(&history)[0], &rows(&history)[14]].map(|row| row["transactions"].as_u64());
    assert!(sizes[0] >= Some(200) && sizes[1] >= Some(1000), "{sizes:?}");
    let ratios = history["summary"]["largest_by_smallest"].as_array().unwrap();
    assert_eq!(ratios.len(), 14);
    positive(&ratios[0], &["p50", "p99", "pages"]);
}

#[test]
fn batches_in_a_database_are_held_to_a_transaction_each_with_their_bytes() {
    let (dir, database) = (tempfile::tempdir().unwrap(), Cluster::shared().database());
    let batch = ["database-batch", "--store", database.url(), "--accounts", "128"];
    let sizes = ["--clients", "2", "--transfers", "600", "--usual", "2", "--usual-transfers", "60"];
    let batch = document(&[&batch[..], &sizes].concat(), dir.path());
    assert_eq!(rows(&batch).len(), 2);
    for row in rows(&batch) {
        positive(row, &["transfers_per_second", "wal_bytes_per_transfer"]);
        assert!(row["table_bytes_per_transfer"].as_f64() >= Some(0.0), "{row}");
    }
}

#[test]
fn servers_are_compared_with_a_database_that_is_held_up() {
    let (dir, database) = (tempfile::tempdir().unwrap(), Cluster::shared().database());
    let far = ["database", "--store", database.url(), "--accounts", "64", "--clients", "4"];
    let far = [&far[..], &["--usual", "1", "--seconds", "0.1", "--no-constraints"]].concat();
    let far = document(&[&far[..], &["--latency-ms", "2"]].concat(), dir.path());
    let of_servers = rows(&far).iter().filter(|row| !row["servers"].is_null());
    let of_servers: Vec<_> = of_servers.collect();
    let away: Vec<_> = of_servers.iter().map(|row| row["latency_ms"].as_u64()).collect();
    assert_eq!(away, [0, 0, 2, 2].map(Some));
    of_servers.iter().for_each(|row| positive(row, &["deposits_per_second"]));
}

#[test]
fn what_closed_loops_leave_out_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let http = ["bench", "http", "--connections", "1", "--seconds", "0.05", "--rounds", "1"];
    let told = printed(&[&http[..], &["--dir", dir.path().to_str().unwrap()]].concat(), "");
    assert!(told.contains("each connection waits for its answer"), "{told}");
    assert!(told.contains("\n  of no-op "), "{told}");
}

#[test]
fn without_a_name_it_says_what_there_is() {
    let help = printed(&["bench"], "");
    for name in ["fill", "engine", "http", "batch", "history", "mixed", "restart"] {
        assert!(help.contains(&format!("  {name} ")), "no {name} in {help}");
    }
    assert!(!help.contains("noop"), "{help}");
}

#[test]
fn a_slip_is_told_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let fill = ["fill", "--dir", path.to_str().unwrap()];
    let slip = |more: &[&str]| failed(&[&fill[..], more].concat());
    assert!(slip(&["--shape", "round"]).contains("uniform, zipf, zipf=S or hot"));
    assert!(slip(&["--accounts", "1"]).contains("--accounts must be at least 2"));
    assert!(slip(&["--transactions", "5", "--accounts", "9"]).contains("at least --accounts"));
    assert!(slip(&["--deposits", "101"]).contains("101"));
    assert!(slip(&["--transactions", "1.5M"]).contains("such as 250, 20k or 100M"));
    assert!(failed(&["engine", "--rounds", "0"]).contains("--rounds"));
    assert!(failed(&["http", "--seconds", "never"]).contains("number of seconds"));
    let none = failed(&["history", "--ledger", path.to_str().unwrap()]);
    assert!(none.contains("there is no ledger in"), "{none}");
    assert!(!path.exists());
}

/// The processes that `parent` began, and whether each still runs; none where there is no `/proc`.
fn children(parent: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten();
    processes
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|pid| state(pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// The state of a process and its parent: the first two fields after its name, proc(5).
fn state(pid: &str) -> Option<(String, String)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tongjang(&["bench", "http", "--seconds", "600", "--dir"]);
    let mut bench = command.arg(dir.path()).stderr(Stdio::piped()).spawn().unwrap();
    let errors = BufReader::new(bench.stderr.take().unwrap());
    let begun = errors.lines().map(Result::unwrap).find(|line| line == "1 connections");
    assert!(begun.is_some(), "it ended before it began");
    let parent = bench.id().to_string();
    let servers = children(&parent);
    assert_eq!(servers.len(), if Path::new("/proc").exists() { 2 } else { 0 });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(Command::new("kill").args(["-INT", &parent]).status().unwrap().success());
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    // They were told already, and a killed process needs a moment to be gone.
    let runs = |server: &String| state(server).is_some_and(|(state, _)| state != "Z");
    for _ in 0..1_000 {
        if !servers.iter().any(runs) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("some of {servers:?} still run");
}

/// Every tag is closed in its turn, and no text holds a bare `<` or `&`.
#[track_caller]
fn well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut pieces = svg.split('<');
    assert_eq!(pieces.next(), Some(""));
    for piece in pieces {
        let (tag, text) = piece.split_once('>').unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let entities =
            ["&amp;", "&lt;", "&gt;", "&quot;"].map(|entity| text.matches(entity).count());
        assert_eq!(text.matches('&').count(), entities.iter().sum::<usize>(), "{text}");
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(svg.contains("xmlns=") && svg.contains("prefers-color-scheme: dark"));
    assert!(!svg.contains("<script") && !svg.contains("NaN"), "{svg}");
}
