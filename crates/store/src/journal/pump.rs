//! Snapshots while the teller goes on: at each commit it hands over a few more keys and accounts.
//!
//! A thread of their own writes them. Each account is as of the commit at which it was handed
//! over; the snapshot says so, and is finished only when that commit is durable. A snapshot that
//! cannot be written costs the next start time and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::book::{Durable, JournalBook};
use super::frame::Mark;
use super::keys::{Frozen, Kept, KeyIndex};
use super::snapshot::{self, SnapshotWriter};
use super::view::View;
use crate::StoreError;
use crate::disk::Disk;

/// How many accounts are handed over at a commit at most, and how many shards of the keys.
const ACCOUNTS: usize = 512;
const SHARDS: usize = 2048;
/// No further shard is handed over at a commit after so many bytes.
const ENOUGH: usize = 512 << 10;

/// A snapshot under way.
pub(super) struct Pump {
    /// `None` when it is to end.
    pieces: Option<Sender<Piece>>,
    writer: Option<JoinHandle<()>>,
    next_shard: usize,
    next_slot: usize,
    /// Whether the last piece was handed over.
    all: bool,
}

struct Piece {
    items: Vec<u8>,
    last: Option<Last>,
}

/// Said with the last piece: nothing of `next_event` or later is in the snapshot, and all of it
/// is durable when what stands before `end` is.
struct Last {
    end: u64,
    next_event: u64,
}

/// What the writing thread needs.
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) ledger_id: [u8; 16],
    pub(super) view: Arc<View>,
    pub(super) durable: Arc<Durable>,
}

impl Pump {
    /// Begins a snapshot in `dir` with which the journal is to be read from `from` on.
    pub(super) fn begin(
        place: Place,
        dir: &Path,
        from: Mark,
        book: &JournalBook,
    ) -> Result<Self, StoreError> {
        let earliest = tongjang_core::Book::earliest(book);
        let Kept { runs, frozen } = book.keys().kept();
        let (disk, id) = (place.disk.clone(), place.ledger_id);
        let runs = (book.keys().shelf().clone(), &runs[..]);
        let writer = SnapshotWriter::begin(disk, dir, id, from, earliest, runs)?;
        let (pieces, handed) = bounded(2);
        let writer = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || match write(writer, &place, frozen, &handed) {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "a snapshot was not written"),
            })
            .map_err(|source| StoreError::io("start a thread for", dir, source))?;
        let (pieces, writer) = (Some(pieces), Some(writer));
        Ok(Self { pieces, writer, next_shard: 0, next_slot: 0, all: false })
    }

    /// Whether the window of keys is copied. Until then it must stay in its place.
    pub(super) fn has_keys(&self) -> bool {
        self.next_shard == KeyIndex::SHARDS
    }

    /// Hands over a few more items, as of the batch of so many `events` that was just taken out of
    /// `book` and ends at `end`, unless the disk is still busy with those before. Says whether the
    /// snapshot is over.
    pub(super) fn step(&mut self, book: &JournalBook, end: u64, events: u32) -> bool {
        if self.writer.as_ref().is_none_or(JoinHandle::is_finished) {
            return true;
        }
        let Some(pieces) = self.pieces.as_ref().filter(|pieces| !self.all && !pieces.is_full())
        else {
            return false;
        };
        let mut items = Vec::new();
        let next_event = book.next_event();
        let until = (self.next_shard + SHARDS).min(KeyIndex::SHARDS);
        while self.next_shard < until && items.len() < ENOUGH {
            snapshot::put_keys(&mut items, book.keys().window(), self.next_shard);
            self.next_shard += 1;
        }
        if self.has_keys() {
            for seat in book.seats_from(self.next_slot).take(ACCOUNTS.max(events as usize)) {
                snapshot::put_account(&mut items, seat, next_event);
                self.next_slot += 1;
            }
            self.all = self.next_slot == book.seats().len();
        }
        let last = self.all.then_some(Last { end, next_event });
        // If the thread is gone it has said why, and the next step sees that it is.
        let _ = pieces.send(Piece { items, last });
        false
    }

    /// Waits until the snapshot is written, or given up if not all of it was handed over.
    pub(super) fn finish(self) {
        drop(self);
    }
}

/// A thread that went on would write under a name that the next one uses.
impl Drop for Pump {
    fn drop(&mut self) {
        self.pieces = None;
        if let Some(writer) = self.writer.take() {
            // A panic there was reported by the thread itself, and there is one snapshot less.
            let _ = writer.join();
        }
    }
}

fn write(
    mut writer: SnapshotWriter,
    place: &Place,
    frozen: Option<Arc<Frozen>>,
    handed: &Receiver<Piece>,
) -> Result<(), StoreError> {
    if let Some(frozen) = frozen {
        let mut items = Vec::new();
        for shard in 0..KeyIndex::SHARDS {
            snapshot::put_keys(&mut items, &frozen.window, shard);
            writer.write_if_large(&mut items)?;
        }
        writer.write(&items)?;
    }
    for Piece { items, last } in handed {
        writer.write(&items)?;
        if let Some(Last { end, next_event }) = last {
            place.durable.wait_until(end)?;
            let path = writer.finish(&place.view.marks(), next_event)?;
            tracing::debug!(path = %path.display(), "wrote a snapshot");
            break;
        }
    }
    Ok(())
}
