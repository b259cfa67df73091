//! What is durable: the accounts as queries see them, brought up to date after each sync.
//!
//! The writer publishes a batch when it is on the disk and before it is answered. A reader holds
//! a lock only while it copies one account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::RwLock;
use tongjang_core::{Account, AccountId, Balance, Currency, Direction, Opened, Timestamp};

use super::record::Facts;
use super::register::Register;
use super::trail::{BlockRef, Trail};
use crate::LedgerTotals;

const SHARDS: usize = 256;
/// How much journal there is between two marks, at least.
pub(super) const MARK_EVERY: u64 = 64 * 1024;

/// An account and the way to its history.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) account: Account,
    pub(super) trail: Trail,
}

/// The first event at or after a place in the journal, to find transactions by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimeMark {
    pub(super) at: Timestamp,
    pub(super) position: u64,
}

/// A step of an account's trail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) slot: u32,
    pub(super) position: u64,
    pub(super) direction: Direction,
    pub(super) booked_at: Timestamp,
    pub(super) credits: u64,
    /// Where the block stands that this step completed; 0 if it completed none.
    pub(super) block_position: u64,
}

/// All that a batch changes in the view.
#[derive(Default)]
pub(super) struct Publication {
    pub(super) steps: Vec<Step>,
    /// Each account that changed, as it is at the end of the batch; new ones in slot order.
    pub(super) accounts: Vec<(u32, Account)>,
    pub(super) marks: Vec<TimeMark>,
    pub(super) transactions: Vec<(Currency, u64)>,
}

/// The durable state of the ledger.
pub(super) struct View {
    pub(super) register: Arc<Register>,
    shards: Vec<RwLock<Vec<Seat>>>,
    published: AtomicU32,
    /// Where the published part of the journal ends: all accounts that it names are published.
    end: AtomicU64,
    marks: RwLock<Vec<TimeMark>>,
    totals: RwLock<BTreeMap<Currency, LedgerTotals>>,
}

impl View {
    /// The view of `seats`, all of them durable, after a journal that ends at `end`.
    pub(super) fn new(
        register: Arc<Register>,
        seats: impl ExactSizeIterator<Item = Seat>,
        marks: Vec<TimeMark>,
        end: u64,
    ) -> Self {
        let published = seats.len() as u32;
        let view = Self {
            register,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            published: AtomicU32::new(published),
            end: AtomicU64::new(end),
            marks: RwLock::new(marks),
            totals: RwLock::default(),
        };
        let mut totals = BTreeMap::new();
        for (slot, seat) in seats.enumerate() {
            let account = &seat.account;
            let total = entry_of(&mut totals, account.currency());
            if !account.opened().is_settlement() {
                total.accounts += 1;
            }
            // Each transaction has two entries, so this counts halves.
            total.transactions += account.entry_count();
            add(total, account, account.balance());
            view.shards[slot % SHARDS].write().push(seat);
        }
        totals.values_mut().for_each(|total| total.transactions /= 2);
        *view.totals.write() = totals;
        view
    }

    /// Makes a durable batch visible, with which the journal ends at `end`.
    ///
    /// The order matters to whoever reads meanwhile: a record names its accounts, so new accounts
    /// come first, then the journal's end, then the trails to the records, and the figures last.
    pub(super) fn publish(&self, batch: Publication, end: u64) {
        let mut opened = Vec::new();
        for (slot, account) in &batch.accounts {
            let mut shard = self.shards[*slot as usize % SHARDS].write();
            if *slot as usize / SHARDS == shard.len() {
                let account = Account::open(account.opened().clone());
                opened.push((account.currency(), account.opened().is_settlement()));
                shard.push(Seat { account, trail: Trail::default() });
                drop(shard);
                self.published.store(slot + 1, Ordering::Release);
            }
        }
        self.end.store(end, Ordering::Release);
        for step in &batch.steps {
            let mut shard = self.shards[step.slot as usize % SHARDS].write();
            let trail = &mut shard[step.slot as usize / SHARDS].trail;
            let Step { slot, position, direction, booked_at, credits, block_position } = *step;
            if let Some(block) = trail.push(slot, position, direction, booked_at, credits) {
                trail.sealed(BlockRef { position: block_position, ..block.this });
            }
        }
        let mut totals = self.totals.write();
        for (currency, is_settlement) in opened {
            entry_of(&mut totals, currency).accounts += u64::from(!is_settlement);
        }
        for (slot, account) in batch.accounts {
            let total = entry_of(&mut totals, account.currency());
            let mut shard = self.shards[slot as usize % SHARDS].write();
            let seat = &mut shard[slot as usize / SHARDS];
            let change = account.balance().checked_sub(seat.account.balance());
            add(total, &account, change.expect("the balances fit, so does their difference"));
            seat.account = account;
        }
        for (currency, count) in batch.transactions {
            entry_of(&mut totals, currency).transactions += count;
        }
        drop(totals);
        if !batch.marks.is_empty() {
            self.marks.write().extend(batch.marks);
        }
    }

    /// The account at `slot` and the way to its history.
    pub(super) fn seat(&self, slot: u32) -> Option<Seat> {
        self.at(slot, Seat::clone)
    }

    /// The account at `slot`.
    pub(super) fn account(&self, slot: u32) -> Option<Account> {
        self.at(slot, |seat| seat.account.clone())
    }

    /// How many accounts are published.
    pub(super) fn published(&self) -> u32 {
        self.published.load(Ordering::Acquire)
    }

    /// Where the published part of the journal ends.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The last mark at or before `at`.
    pub(super) fn mark_before(&self, at: Timestamp) -> Option<TimeMark> {
        let marks = self.marks.read();
        let after = marks.partition_point(|mark| mark.at <= at);
        marks.get(after.checked_sub(1)?).copied()
    }

    /// All marks, for a snapshot.
    pub(super) fn marks(&self) -> Vec<TimeMark> {
        self.marks.read().clone()
    }

    /// A row a currency.
    pub(super) fn totals(&self) -> Vec<LedgerTotals> {
        self.totals.read().values().copied().collect()
    }

    fn at<T>(&self, slot: u32, look: impl FnOnce(&Seat) -> T) -> Option<T> {
        if slot >= self.published() {
            return None;
        }
        let shard = self.shards[slot as usize % SHARDS].read();
        shard.get(slot as usize / SHARDS).map(look)
    }
}

impl Facts for View {
    fn opened(&self, slot: u32) -> Option<Arc<Opened>> {
        self.at(slot, |seat| seat.account.opened().clone())
    }

    fn slot(&self, id: AccountId) -> Option<u32> {
        self.register.slot(id).filter(|slot| *slot < self.published())
    }
}

fn entry_of(
    totals: &mut BTreeMap<Currency, LedgerTotals>,
    currency: Currency,
) -> &mut LedgerTotals {
    totals.entry(currency).or_insert(LedgerTotals {
        currency,
        accounts: 0,
        transactions: 0,
        customer_balance: Balance::ZERO,
        settlement_balance: Balance::ZERO,
    })
}

fn add(total: &mut LedgerTotals, account: &Account, change: Balance) {
    let sum = if account.opened().is_settlement() {
        &mut total.settlement_balance
    } else {
        &mut total.customer_balance
    };
    *sum = sum.checked_add(change).expect("the settlement account holds the same sum");
}
