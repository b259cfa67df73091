//! A whole ledger as version 1 wrote it, kept in `tests/golden/ledger-v1`: every later version
//! must read it.

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
use tongjang_store::journal::{Journal, JournalConfig};
use tongjang_store::{Reader, Store};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ledger-v1")
}

fn config(dir: &Path) -> JournalConfig {
    let log = LogConfig { segment_bytes: 64 << 10, spares: Spares::Inline };
    JournalConfig { log, ..JournalConfig::new(dir, [7; 16]) }
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

#[test]
fn a_ledger_that_version_1_wrote_is_read_and_led_on() {
    let (requests, model) = asked();
    if std::env::var_os("TONGJANG_WRITE_GOLDEN").is_some() {
        // Only before a release: what a released version wrote is never written again.
        let _ = fs::remove_dir_all(golden());
        write(&golden(), &requests);
        fs::remove_file(golden().join("journal/LOCK")).unwrap();
    }
    for with_snapshots in [true, false] {
        let dir = TempDir::new().unwrap();
        copy(&golden(), dir.path());
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
        verify(&config(dir.path()), |_| ()).unwrap();
        assert!(reader.ready().is_ok());
    }
}
