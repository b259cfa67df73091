//! What the tellers of a server counted, for its metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Chance, StoreError};

/// Counts of all tellers of one server. Cloning it is cheap, and the clones are one.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Counting>);

#[derive(Debug, Default)]
struct Counting {
    batches: AtomicU64,
    events: AtomicU64,
    again: AtomicU64,
    away: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    unknown: AtomicU64,
}

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Transactions of the database that were to be committed.
    pub batches: u64,
    /// Events in them.
    pub events: u64,
    /// Batches that were to be decided again, as others came in between.
    pub again: u64,
    /// Batches that did not reach the database.
    pub away: u64,
    /// Batches that the database refused.
    pub refused: u64,
    /// Connections that broke while a commit was under way.
    pub broken: u64,
    /// Those of them of which it could not be found out whether they were committed.
    pub unknown: u64,
}

impl Counters {
    /// What was counted.
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Counts {
            batches: of(&self.0.batches),
            events: of(&self.0.events),
            again: of(&self.0.again),
            away: of(&self.0.away),
            refused: of(&self.0.refused),
            broken: of(&self.0.broken),
            unknown: of(&self.0.unknown),
        }
    }

    pub(super) fn batch(&self, events: usize) {
        self.0.batches.fetch_add(1, Relaxed);
        self.0.events.fetch_add(events as u64, Relaxed);
    }

    pub(super) fn broken(&self) {
        self.0.broken.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, error: &StoreError) {
        let counter = match error.chance() {
            Chance::Again | Chance::Held => &self.0.again,
            Chance::Later => &self.0.away,
            Chance::Never => &self.0.refused,
            Chance::Unknown => &self.0.unknown,
        };
        counter.fetch_add(1, Relaxed);
    }
}
