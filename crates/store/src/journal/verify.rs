//! `verify`: reads everything from the first frame on and has the core's audit look at it.
//!
//! The balances that it compares with are those that a server would start with: of the newest
//! snapshot and the frames after it. It takes no lock and changes nothing, so it may run beside a
//! server; it then sees what was durable when it came to the end.

use std::path::PathBuf;

use tongjang_core::Event;
use tongjang_core::audit::{Audit, AuditSummary};

use super::JournalConfig;
use super::frame::{FIRST_EVENT, FrameInfo};
use super::keys::KeySum;
use super::log::{Known, Log, Recovered};
use super::opening::{Loading, check_complete, empty_index, identity, seed_of};
use super::origin::copied;
use super::replay::{Keys, Replay};
use crate::StoreError;

/// What a verification without a fault has seen.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The sums.
    pub summary: AuditSummary,
    /// The snapshot whose balances were compared, if there is one.
    pub snapshot: Option<PathBuf>,
    /// What was read of the journal; an unfinished write at its end is no fault.
    pub recovered: Recovered,
}

/// Verifies the ledger in `config.dir`. `progress` is told how many events were read, now and then.
///
/// # Errors
/// [`StoreError::Corrupt`] with the place of the first fault, or what kept the ledger from being
/// read.
pub fn verify(
    config: &JournalConfig,
    mut progress: impl FnMut(u64),
) -> Result<Verified, StoreError> {
    let segments = config.segments();
    let (ledger_id, layout) = identity(&*config.disk, &segments)?;
    // The snapshot first: while a server runs, the journal may only be ahead of it.
    let mut kept = Loading::begin(config, ledger_id, || empty_index(config, ledger_id))?;
    let mut audit = Audit::new().copied(copied(config)?);
    // An index of all keys would not fit into memory: they are added up.
    let keys = Keys::AddedUp(KeySum::default());
    let mut whole = Replay::new(seed_of(ledger_id), FIRST_EVENT, keys);
    let from = kept.known.from.map_or(FIRST_EVENT, |mark| mark.next_event);
    let mut frames = 0u64;
    let each = |frame: FrameInfo, body: &[u8]| {
        let (path, offset) = layout.place(&segments, frame.body_position);
        let check = |event: &Event| audit.check(event).map_err(|fault| fault.to_string());
        whole.frame(&path, offset, frame.body_position, body, check)?;
        if kept.snapshot.is_some() && frame.events.first_event >= from {
            kept.replay.frame(&path, offset, frame.body_position, body, |_| Ok(()))?;
        }
        frames += 1;
        if frames.is_multiple_of(1024) {
            progress(whole.next_event() - FIRST_EVENT);
        }
        Ok(())
    };
    let known = Known { from: None, durable: kept.known.from };
    let (_, recovered) = Log::read_only(config.disk.clone(), &segments, known, each)?;
    let end = layout.place(&segments, recovered.end.position);
    let (kept, snapshot) = match kept.snapshot {
        None => (whole, None),
        Some(path) => {
            check_complete(&kept.replay, kept.next_event, end.clone())?;
            (kept.replay, Some((path, whole)))
        }
    };
    // What is wrong now is wrong in the snapshot, if there is one.
    let place = || snapshot.as_ref().map_or(end.clone(), |(path, _)| (path.clone(), 0));
    let fault = |what: String| {
        let (path, offset) = place();
        let what = format!("{what}; without the snapshots a server reads the whole journal");
        StoreError::Corrupt { path, offset, what }
    };
    if let Some((_, whole)) = &snapshot
        && let Some(what) = kept.differs(whole)?
    {
        return Err(fault(what.to_owned()));
    }
    let start = kept.finish();
    let accounts = start.seats.iter().map(|seat| &seat.account);
    let summary = audit.finish(accounts).map_err(|found| fault(found.to_string()))?;
    Ok(Verified { summary, snapshot: snapshot.map(|(path, _)| path), recovered })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tongjang_core::apply::apply;
    use tongjang_core::{
        AccountNumber, Amount, Bank, Book, Caller, Command, Currency, Decision, Fingerprint,
        IdempotencyKey, Memo, Metadata, Request, Timestamp, UserId, decide,
    };

    use super::*;
    use crate::Store;
    use crate::faulty::FaultyDisk;
    use crate::journal::origin::mark_copied;
    use crate::journal::pump::Pump;
    use crate::journal::snapshot::{self, SnapshotWriter};
    use crate::journal::{Journal, KeysConfig, Sealing};

    const DIR: &str = "/ledger";

    /// Opens an account under a key; `nth` tells both from others.
    fn open_an_account(journal: &mut Journal, nth: usize) {
        take_in(journal, nth, an_account(nth));
    }

    fn an_account(nth: usize) -> Command {
        Command::Open {
            owner: UserId::from_bits(1 << 64),
            currency: Currency::KRW,
            bank: Bank::new("088").unwrap(),
            number: AccountNumber::new(&format!("110-{nth}")).unwrap(),
            number_made: false,
        }
    }

    /// Does what `command` says, under a key of its own.
    fn take_in(journal: &mut Journal, nth: usize, command: Command) {
        let key = IdempotencyKey::new(&format!("k{nth}")).unwrap();
        let request = Request {
            caller: Caller::owner(UserId::from_bits(1 << 64)),
            at: Timestamp::from_micros(1_000),
            nonce: nth as u64,
            key: Some((key, Fingerprint::of(&command))),
            expected_version: None,
            command,
        };
        let Decision::New(event) = decide(journal.book(), &request).unwrap() else {
            panic!("the key is new");
        };
        apply(journal.book(), &event);
        journal.commit(Box::new(|durable| durable.unwrap())).unwrap();
    }

    /// The archivist may be at a window, or have failed at it, when a snapshot is begun.
    #[test]
    fn a_snapshot_has_the_keys_of_a_window_that_is_not_sealed_yet() {
        let disk = Arc::new(FaultyDisk::new(1));
        let mut config = JournalConfig::new(DIR, [1; 16]);
        config.disk = disk.clone();
        config.log.segment_bytes = 64 << 10;
        config.snapshot_every = 1;
        config.keys = KeysConfig { window: 1, sealing: Sealing::Inline };
        let (mut journal, ..) = Journal::open(config.clone()).unwrap();
        open_an_account(&mut journal, 1);
        journal.pump.take().into_iter().for_each(Pump::finish);
        journal.settle().unwrap();
        disk.fail_at(disk.operations());
        journal.book.keys_mut().tend(true, journal.handed_over);
        assert!(journal.book.keys().kept().frozen.is_some());
        let names = || snapshot::names(&*config.disk, &config.dir).unwrap();
        for nth in 2.. {
            assert!(nth < 5_000, "no snapshot was ever written");
            open_an_account(&mut journal, nth);
            journal.settle().unwrap();
            if !names().is_empty() {
                break;
            }
        }
        assert!(verify(&config, |_| ()).unwrap().snapshot.is_some());
    }

    #[test]
    fn a_snapshot_that_the_journal_does_not_follow_is_named() {
        let mut config = JournalConfig::new(DIR, [1; 16]);
        config.disk = Arc::new(FaultyDisk::new(1));
        config.log.segment_bytes = 64 << 10;
        let (mut journal, ..) = Journal::open(config.clone()).unwrap();
        open_an_account(&mut journal, 1);
        journal.settle().unwrap();
        let (before, earliest) = (*journal.end.lock(), journal.book.earliest());
        let account = journal.book.seats().last().unwrap().account.id();
        let amount = Amount::new(1).unwrap();
        let (memo, metadata) = (Memo::new("").unwrap(), Metadata::EMPTY);
        take_in(&mut journal, 2, Command::Deposit { account, amount, memo, metadata });
        journal.settle().unwrap();
        // The deposit is in it, and comes once more in the journal.
        let runs = (journal.book.keys().shelf().clone(), &[][..]);
        let disk = config.disk.clone();
        let mut forged =
            SnapshotWriter::begin(disk, &config.dir, [1; 16], before, earliest, runs).unwrap();
        let mut items = Vec::new();
        journal
            .book
            .seats()
            .for_each(|seat| snapshot::put_account(&mut items, seat, before.next_event));
        forged.write(&items).unwrap();
        let path = forged.finish(&[], before.next_event).unwrap();
        journal.log.close().unwrap();
        let error = Journal::open(config).err().unwrap().to_string();
        assert!(error.contains(&format!("began with {}", path.display())), "{error}");
    }

    /// A closed ledger of two openings at one time, as a copy of one with several tellers may be.
    fn two_at_once() -> JournalConfig {
        let mut config = JournalConfig::new(DIR, [1; 16]);
        config.disk = Arc::new(FaultyDisk::new(1));
        config.log.segment_bytes = 64 << 10;
        let (mut journal, ..) = Journal::open(config.clone()).unwrap();
        open_an_account(&mut journal, 1);
        let command = an_account(2);
        let caller = Caller::owner(UserId::from_bits(1 << 64));
        let at = Timestamp::from_micros(1_000);
        let request = Request { caller, at, nonce: 2, key: None, expected_version: None, command };
        let decided = decide(journal.book(), &request).unwrap();
        let Decision::New(Event::Opened(mut opening)) = decided else { panic!("an opening") };
        Arc::make_mut(&mut opening.account).opened_at = at;
        apply(journal.book(), &Event::Opened(opening));
        journal.commit(Box::new(|durable| durable.unwrap())).unwrap();
        journal.close().unwrap();
        config
    }

    #[test]
    fn only_copied_events_may_be_at_one_time() {
        let config = two_at_once();
        let found = || verify(&config, |_| ()).unwrap_err().to_string();
        assert!(found().contains("event 2: it is not later than the event before"), "{}", found());
        mark_copied(&config, 1).unwrap();
        assert!(found().contains("event 2: it is not later than the event before"), "{}", found());
        mark_copied(&config, 2).unwrap();
        assert_eq!(verify(&config, |_| ()).unwrap().summary.events, 2);
    }

    #[test]
    fn a_mark_that_is_no_number_is_named() {
        let config = two_at_once();
        mark_copied(&config, 2).unwrap();
        let path = config.segments().join("COPIED");
        let file = config.disk.open(&path).unwrap();
        file.write_at(&[std::io::IoSlice::new(b"x")], 0).unwrap();
        let found = verify(&config, |_| ()).unwrap_err().to_string();
        assert!(found.contains(&path.display().to_string()), "{found}");
    }

    #[test]
    fn a_snapshot_that_lacks_a_key_is_found() {
        let disk = Arc::new(FaultyDisk::new(1));
        let mut config = JournalConfig::new(DIR, [1; 16]);
        config.disk = disk;
        config.log.segment_bytes = 64 << 10;
        let (mut journal, ..) = Journal::open(config.clone()).unwrap();
        open_an_account(&mut journal, 1);
        journal.close().unwrap();
        assert!(verify(&config, |_| ()).unwrap().snapshot.is_some());

        // The same snapshot once more, without the keys.
        let (journal, ..) = Journal::open(config.clone()).unwrap();
        let (from, earliest) = (*journal.end.lock(), journal.book.earliest());
        let dir = config.dir.clone();
        let runs = (journal.book.keys().shelf().clone(), &[][..]);
        let mut forged =
            SnapshotWriter::begin(config.disk.clone(), &dir, [1; 16], from, earliest, runs)
                .unwrap();
        let mut items = Vec::new();
        for seat in journal.book.seats() {
            snapshot::put_account(&mut items, seat, from.next_event);
        }
        forged.write(&items).unwrap();
        forged.finish(&journal.view.marks(), from.next_event).unwrap();
        drop(journal);
        let found = verify(&config, |_| ()).unwrap_err().to_string();
        assert!(found.contains("the idempotency keys are not those of the journal"), "{found}");
    }
}
