//! Every event of a ledger in the order in which it happened, as an export needs it.
//!
//! Like `verify` it takes no lock, changes nothing, and looks at the checksum of every frame; it
//! may run beside a server and then sees what was durable when it came to the end. What it keeps
//! in memory is one frame and the accounts.

use std::collections::HashMap;
use std::sync::Arc;

use tongjang_core::{AccountId, Event, Opened};

use super::JournalConfig;
use super::frame::{FIRST_EVENT, FrameInfo};
use super::log::{Known, Log, Recovered};
use super::opening::{Loading, identity};
use super::record::{self, Facts, Record};
use super::replay::Keys;
use crate::StoreError;

/// Shows `each` event of the ledger in `config.dir`, the oldest first.
///
/// # Errors
/// What `each` answers, at once; or [`StoreError::Corrupt`] with the place of what cannot be read,
/// also if the journal ends before what a snapshot holds.
pub fn events<E: From<StoreError>>(
    config: &JournalConfig,
    mut each: impl FnMut(&Event) -> Result<(), E>,
) -> Result<Recovered, E> {
    let segments = config.segments();
    let (ledger_id, layout) = identity(&*config.disk, &segments)?;
    // Only for what must be there: while a server runs, the journal may only be ahead of it.
    let Loading { known, next_event, .. } = Loading::begin(config, ledger_id, || Keys::Ignored)?;
    let mut accounts = Accounts::default();
    let mut stopped = None;
    let mut seen = FIRST_EVENT;
    let show = |frame: FrameInfo, body: &[u8]| {
        let (path, offset) = layout.place(&segments, frame.body_position);
        let mut at = 0;
        while at < body.len() {
            let corrupt = |what: &str| StoreError::Corrupt {
                path: path.clone(),
                offset: offset + at as u64,
                what: format!("{what}; restore a backup, or run `tongjang verify` to see more"),
            };
            let position = frame.body_position + at as u64;
            let record = record::read(&body[at..], position, &accounts);
            match record.map_err(|bad| corrupt(bad.as_str()))? {
                Record::Event(event) => {
                    accounts.enter(&event);
                    seen += 1;
                    if let Err(error) = each(&event) {
                        stopped = Some(error);
                        return Err(corrupt("not read any further"));
                    }
                }
                // The way through an account's history, which an export does not go.
                Record::Block(_) => {}
                // Nothing else follows in its frame.
                Record::Filler => return Ok(()),
            }
            at += record::span(&body[at..]).map_err(|bad| corrupt(bad.as_str()))?;
        }
        Ok(())
    };
    let known = Known { from: None, durable: known.from };
    let read = Log::read_only(config.disk.clone(), &segments, known, show);
    if let Some(error) = stopped {
        return Err(error);
    }
    let (_, recovered) = read?;
    if seen < next_event {
        let (path, offset) = layout.place(&segments, recovered.end.position);
        let what = "the journal ends before what a snapshot holds; restore a backup".to_owned();
        return Err(StoreError::Corrupt { path, offset, what }.into());
    }
    Ok(recovered)
}

/// The id by which the ledger in `config.dir` is known.
///
/// # Errors
/// If there is none, or it cannot be read.
pub fn ledger_id(config: &JournalConfig) -> Result<u128, StoreError> {
    let (id, _) = identity(&*config.disk, &config.segments())?;
    Ok(u128::from_be_bytes(id))
}

/// The table of accounts as it grows from event to event.
#[derive(Default)]
struct Accounts {
    opened: Vec<Arc<Opened>>,
    slots: HashMap<AccountId, u32>,
}

impl Accounts {
    fn enter(&mut self, event: &Event) {
        let Event::Opened(opening) = event else { return };
        for opened in opening.settlement.iter().chain([&opening.account]) {
            self.slots.insert(opened.id, self.opened.len() as u32);
            self.opened.push(opened.clone());
        }
    }
}

impl Facts for Accounts {
    fn opened(&self, slot: u32) -> Option<Arc<Opened>> {
        self.opened.get(slot as usize).cloned()
    }

    fn slot(&self, id: AccountId) -> Option<u32> {
        self.slots.get(&id).copied()
    }
}
