//! Whole ledgers as each version wrote them, kept in `tests/golden/ledger-v…`: every later version
//! must read them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tongjang_core::Request;
use tongjang_sim::ask::{Desk, Keys, random_ask};
use tongjang_sim::crash::check_reader;
use tongjang_sim::drive::serve;
use tongjang_sim::model::Model;
use tongjang_sim::random::Random;
use tongjang_store::journal::log::{LogConfig, Spares};
use tongjang_store::journal::verify::verify;
use tongjang_store::journal::{Journal, JournalConfig, KeysConfig, Sealing};
use tongjang_store::{Reader, Store};

/// In version 1 a snapshot had all keys.
const WITHOUT_RUNS: &str = "ledger-v1";
/// In this version it names runs of them.
const NEWEST: &str = "ledger-v2";

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn config(dir: &Path) -> JournalConfig {
    let log = LogConfig { segment_bytes: 64 << 10, spares: Spares::Inline };
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

fn write(dir: &Path, requests: &[Request]) {
    let (early, late) = requests.split_at(500);
    for some in [early, late] {
        let (mut journal, ..) = Journal::open(config(dir)).unwrap();
        for batch in some.chunks(7) {
            serve(&mut journal, batch, &mut Vec::new()).unwrap();
        }
        journal.close().unwrap();
    }
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
fn a_ledger_that_version_1_wrote_is_read_and_led_on() {
    assert_eq!(runs(&golden(WITHOUT_RUNS)), 0);
    read_and_led_on(WITHOUT_RUNS);
}

#[test]
fn a_ledger_that_this_version_wrote_is_read_and_led_on() {
    if std::env::var_os("TONGJANG_WRITE_GOLDEN").is_some() {
        // Only before a release: what a released version wrote is never written again.
        let (requests, _) = asked();
        let _ = fs::remove_dir_all(golden(NEWEST));
        write(&golden(NEWEST), &requests);
        fs::remove_file(golden(NEWEST).join("journal/LOCK")).unwrap();
    }
    assert!(runs(&golden(NEWEST)) > 2);
    read_and_led_on(NEWEST);
}

fn read_and_led_on(version: &str) {
    let (requests, model) = asked();
    for with_snapshots in [true, false] {
        let dir = TempDir::new().unwrap();
        copy(&golden(version), dir.path());
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
        check_reader(&reader, &model);
        // Its keys are known: what is asked again is replayed, and what is new is booked.
        let mut answers = Vec::new();
        serve(&mut journal, &requests, &mut answers).unwrap();
        let kept = requests.iter().zip(&answers).filter(|(request, _)| request.key.is_some());
        assert!(kept.filter(|(_, answer)| answer.replayed).count() > 20);
        journal.close().unwrap();
        assert!(runs(dir.path()) > 0, "its keys were sealed");
        verify(&config(dir.path()), |_| ()).unwrap();
        assert!(reader.ready().is_ok());
    }
}
