//! `verify`: reads everything from the first frame on and has the core's audit look at it.
//!
//! The balances that it compares with are those that a server would start with: of the newest
//! snapshot and the frames after it. It takes no lock and changes nothing, so it may run beside a
//! server; it then sees what was durable when it came to the end.

use std::path::PathBuf;

use tongjang_core::Event;
use tongjang_core::audit::{Audit, AuditSummary};

use super::frame::{FIRST_EVENT, FrameInfo};
use super::log::{Known, Log, Recovered};
use super::replay::Replay;
use super::{JournalConfig, Loading, check_complete, identity};
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
    let mut kept = Loading::begin(config, ledger_id)?;
    let mut audit = Audit::new();
    let mut whole = Replay::new(super::seed_of(ledger_id), FIRST_EVENT);
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
    let kept = if kept.snapshot.is_some() {
        check_complete(&kept.replay, kept.next_event, end.clone())?;
        Kept { snapshot: kept.snapshot, replay: kept.replay }
    } else {
        Kept { snapshot: None, replay: whole }
    };
    let start = kept.replay.finish();
    let accounts = start.seats.iter().map(|seat| &seat.account);
    let summary = audit.finish(accounts).map_err(|fault| StoreError::Corrupt {
        path: kept.snapshot.clone().unwrap_or(end.0),
        offset: end.1,
        what: fault.to_string(),
    })?;
    Ok(Verified { summary, snapshot: kept.snapshot, recovered })
}

/// The balances that a server would start with.
struct Kept {
    snapshot: Option<PathBuf>,
    replay: Replay,
}
