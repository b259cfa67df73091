//! Whole ledgers as each version wrote them, kept in `tests/golden/ledger-v1` and so on: every
//! later version must read them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tongjang_core::{Command, Request};
use tongjang_sim::ask::{Desk, Keys, random_ask};
use tongjang_sim::crash::check_reader;
use tongjang_sim::drive::{serve, serve_together};
use tongjang_sim::model::Model;
use tongjang_sim::random::Random;
use tongjang_store::journal::frame::VERSION;
use tongjang_store::journal::log::LogConfig;
use tongjang_store::journal::verify::verify;
use tongjang_store::journal::{Journal, JournalConfig, KeysConfig, Sealing};
use tongjang_store::{Reader, Store, Together};

fn golden(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/ledger-v{version}"))
}

fn config(dir: &Path) -> JournalConfig {
    let log = LogConfig { segment_bytes: 64 << 10, ..LogConfig::default() };
    let keys = KeysConfig { window: 9, sealing: Sealing::Inline };
    JournalConfig { log, keys, ..JournalConfig::new(dir, [7; 16]) }
}

/// What was asked of it, in batches of seven, and what it holds.
fn asked() -> (Vec<Request>, Model) {
    let (mut random, mut desk, mut model) =
        (Random::new(1), Desk::new(Keys::Few), Model::default());
    let requests = (0..900).map(|nth| {
        let mut ask = random_ask(&mut random);
        // A few accounts, and then long histories.
        match nth {
            ..8 => ask[0] = 0,
            _ if ask[0] % 20 < 2 => ask[0] = 3,
            _ => {}
        }
        let request = desk.request(ask);
        desk.saw(&model.ask(&request).outcome);
        request
    });
    (requests.collect(), model)
}

/// Version 2 has batches that are booked together, so large that one of them must begin a segment.
fn together() -> (Vec<Vec<Request>>, Model) {
    let (single, mut model) = asked();
    let mut batches = Vec::new();
    for nth in 0..12 {
        let many = single.iter().filter(|request| request.command.accounts()[0].is_some());
        let many: Vec<Request> = many
            .filter(|request| matches!(request.command, Command::Deposit { .. }))
            .map(|request| Request { key: None, ..request.clone() })
            .filter(|request| model.clone().ask(request).outcome.is_ok())
            .skip(nth)
            .take(30)
            .collect();
        model.ask_together(&many);
        batches.push(many);
    }
    (batches, model)
}

fn write(dir: &Path, requests: &[Request]) {
    let (early, late) = requests.split_at(500);
    for some in [early, late] {
        let (mut journal, ..) = Journal::open(config(dir)).unwrap();
        for batch in some.chunks(7) {
            serve(&mut journal, batch, &mut Vec::new()).unwrap();
        }
        journal.close().unwrap();
    }
    let (mut journal, ..) = Journal::open(config(dir)).unwrap();
    for batch in &together().0 {
        let booked = serve_together(&mut journal, batch).unwrap();
        assert!(matches!(booked, Together::All(_)), "{booked:?}");
    }
    journal.close().unwrap();
    let segments = (0..).map(|n| dir.join(format!("journal/{n:08}.seg")));
    let segments: Vec<u8> = segments.map_while(|path| fs::read(path).ok()).flatten().collect();
    // A record of nine bytes, the last of which says that it is a filler.
    let filler = |record: &[u8]| record[..4] == [9, 0, 0, 0] && record[8] == 17;
    assert!(segments.windows(9).step_by(8).any(filler), "no segment was filled up");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        match file.file_type().unwrap().is_dir() {
            true => copy(&file.path(), &to),
            false => drop(fs::copy(file.path(), to).unwrap()),
        }
    }
}

/// How many runs of keys stand in `dir`.
fn runs(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("keys-")).count()
}

#[test]
fn a_ledger_that_any_version_wrote_is_read_and_led_on() {
    let (requests, model) = asked();
    if std::env::var_os("TONGJANG_WRITE_GOLDEN").is_some() {
        // Only before a release: what a released version wrote is never written again.
        let _ = fs::remove_dir_all(golden(VERSION));
        write(&golden(VERSION), &requests);
        fs::remove_file(golden(VERSION).join("journal/LOCK")).unwrap();
    }
    // Version 1 had all keys in its snapshots.
    assert_eq!(runs(&golden(1)), 0);
    assert!(runs(&golden(VERSION)) > 2);
    for version in 1..=VERSION {
        let model = if version == 1 { model.clone() } else { together().1 };
        for with_snapshots in [true, false] {
            read(&golden(version), with_snapshots, &requests, &model);
        }
    }
}

fn read(golden: &Path, with_snapshots: bool, requests: &[Request], model: &Model) {
    let dir = TempDir::new().unwrap();
    copy(golden, dir.path());
    if !with_snapshots {
        for file in fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()) {
            if file.is_file() {
                fs::remove_file(file).unwrap();
            }
        }
    }
    let verified = verify(&config(dir.path()), |_| ()).unwrap();
    assert_eq!(verified.summary, model.add_up());
    let (mut journal, reader, opening) = Journal::open(config(dir.path())).unwrap();
    assert_eq!(opening.snapshot.is_some(), with_snapshots);
    assert!(opening.unusable.is_empty() && opening.recovered.torn.is_none());
    check_reader(&reader, model);
    // Its keys are known: what is asked again is replayed, and what is new is booked.
    let mut answers = Vec::new();
    serve(&mut journal, requests, &mut answers).unwrap();
    let kept = requests.iter().zip(&answers).filter(|(request, _)| request.key.is_some());
    assert!(kept.filter(|(_, answer)| answer.replayed).count() > 20);
    journal.close().unwrap();
    assert!(runs(dir.path()) > 0, "its keys were sealed");
    verify(&config(dir.path()), |_| ()).unwrap();
    assert!(reader.ready().is_ok());
}
