//! What is durable: the accounts as queries see them, brought up to date after each sync.
//!
//! The writer publishes a batch when it is on the disk and before it is answered. A reader holds
//! a lock only while it copies one account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tongjang_core::account::Standing;
use tongjang_core::{Account, AccountId, Balance, Currency, Direction, Opened, Timestamp};

use super::record::Facts;
use super::register::Register;
use super::trail::{BlockRef, Trail};
use crate::LedgerTotals;

const SHARDS: usize = 64;
/// So many changes are made under the locks at once, and readers wait for no more than these.
const FEW: usize = 256;
/// So many publications are kept to be filled again: one is filled and one on its way.
const BLANKS: usize = 2;
/// But none with room for more changes than this: few batches make so many.
const LARGEST_BLANK: usize = 1 << 16;
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

/// All that a batch changes in the view. It holds copies and no shared pointers, so that
/// publishing touches an account's seat and nothing else of it.
#[derive(Default)]
pub(super) struct Publication {
    /// New accounts, in the order of their slots.
    pub(super) opened: Vec<(u32, Arc<Opened>)>,
    pub(super) steps: Vec<Step>,
    /// Where each account that changed stands at the end of the batch.
    pub(super) standings: Vec<(u32, Standing)>,
    pub(super) marks: Vec<TimeMark>,
    /// What changed in each currency, as if from zero.
    pub(super) totals: Vec<LedgerTotals>,
}

impl Publication {
    /// What changed in `currency`.
    pub(super) fn total(&mut self, currency: Currency) -> &mut LedgerTotals {
        let known = self.totals.iter().position(|total| total.currency == currency);
        let index = known.unwrap_or_else(|| {
            self.totals.push(nothing_in(currency));
            self.totals.len() - 1
        });
        &mut self.totals[index]
    }
}

/// An account as it is kept for queries.
struct Shown {
    opened: Arc<Opened>,
    standing: Standing,
    trail: Trail,
}

impl Shown {
    fn account(&self) -> Account {
        let account = Account::at(self.opened.clone(), self.standing.clone());
        account.expect("the figures of an account are published together")
    }
}

/// The durable state of the ledger.
pub(super) struct View {
    pub(super) register: Arc<Register>,
    shards: Vec<RwLock<Vec<Shown>>>,
    published: AtomicU32,
    /// Where the published part of the journal ends: all accounts that it names are published.
    end: AtomicU64,
    marks: RwLock<Vec<TimeMark>>,
    totals: RwLock<BTreeMap<Currency, LedgerTotals>>,
    blanks: Mutex<Vec<Publication>>,
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
        let each = seats.len().div_ceil(SHARDS);
        let view = Self {
            register,
            shards: (0..SHARDS).map(|_| RwLock::new(Vec::with_capacity(each))).collect(),
            published: AtomicU32::new(published),
            end: AtomicU64::new(end),
            marks: RwLock::new(marks),
            totals: RwLock::default(),
            blanks: Mutex::default(),
        };
        let mut totals = BTreeMap::new();
        for (slot, Seat { account, trail }) in seats.enumerate() {
            let total = entry_of(&mut totals, account.currency());
            // Each transaction has two entries, so this counts halves.
            total.transactions += account.entry_count();
            let sum = if account.opened().is_settlement() {
                &mut total.settlement_balance
            } else {
                total.accounts += 1;
                &mut total.customer_balance
            };
            *sum = added(*sum, account.balance());
            let (opened, standing) = (account.opened().clone(), account.standing().clone());
            view.shards[slot % SHARDS].write().push(Shown { opened, standing, trail });
        }
        totals.values_mut().for_each(|total| total.transactions /= 2);
        *view.totals.write() = totals;
        view
    }

    /// Makes a durable batch visible, with which the journal ends at `end`.
    ///
    /// The order matters to whoever reads meanwhile: a record names its accounts, so new accounts
    /// come first, then the journal's end, then the trails to the records, and the figures last.
    pub(super) fn publish(&self, mut batch: Publication, end: u64) {
        for (slot, opened) in batch.opened.drain(..) {
            let standing = Account::open(opened.clone()).standing().clone();
            let trail = Trail::default();
            let shown = Shown { opened, standing, trail };
            self.shards[slot as usize % SHARDS].write().push(shown);
            self.published.store(slot + 1, Ordering::Release);
        }
        self.end.store(end, Ordering::Release);
        self.change(
            &batch.steps,
            |step| step.slot,
            |shown, step| {
                let Step { slot, position, direction, booked_at, credits, block_position } = *step;
                if let Some(block) = shown.trail.push(slot, position, direction, booked_at, credits)
                {
                    shown.trail.sealed(BlockRef { position: block_position, ..block.this });
                }
            },
        );
        let mut totals = self.totals.write();
        self.change(
            &batch.standings,
            |(slot, _)| *slot,
            |shown, (_, standing)| {
                shown.standing.clone_from(standing);
            },
        );
        for change in batch.totals.drain(..) {
            let total = entry_of(&mut totals, change.currency);
            total.accounts += change.accounts;
            total.transactions += change.transactions;
            total.customer_balance = added(total.customer_balance, change.customer_balance);
            total.settlement_balance = added(total.settlement_balance, change.settlement_balance);
        }
        drop(totals);
        if !batch.marks.is_empty() {
            self.marks.write().append(&mut batch.marks);
        }
        batch.steps.clear();
        batch.standings.clear();
        let mut blanks = self.blanks.lock();
        let most = batch.steps.capacity().max(batch.standings.capacity());
        if blanks.len() < BLANKS && most <= LARGEST_BLANK {
            blanks.push(batch);
        }
    }

    /// An empty publication, with the memory of an earlier one where there is one.
    pub(super) fn blank(&self) -> Publication {
        self.blanks.lock().pop().unwrap_or_default()
    }

    /// Makes each of `changes` to the account whose slot it names, in their order.
    fn change<T>(&self, changes: &[T], slot_of: impl Fn(&T) -> u32, make: impl Fn(&mut Shown, &T)) {
        let place = |change: &T| {
            let slot = slot_of(change) as usize;
            (slot % SHARDS, slot / SHARDS)
        };
        for few in changes.chunks(FEW) {
            if few.len() < SHARDS {
                for change in few {
                    let (shard, nth) = place(change);
                    make(&mut self.shards[shard].write()[nth], change);
                }
                continue;
            }
            let mut shards: Vec<_> = self.shards.iter().map(RwLock::write).collect();
            // They lie anywhere in memory: touched first, all of the waits are one.
            let touched = few.iter().map(place).fold(0u64, |sum, (shard, nth)| {
                let Shown { standing, trail, .. } = &shards[shard][nth];
                sum ^ standing.version ^ standing.credit_total.minor() as u64 ^ trail.touch()
            });
            std::hint::black_box(touched);
            for change in few {
                let (shard, nth) = place(change);
                make(&mut shards[shard][nth], change);
            }
        }
    }

    /// The account at `slot` and the way to its history.
    pub(super) fn seat(&self, slot: u32) -> Option<Seat> {
        self.at(slot, |shown| Seat { account: shown.account(), trail: shown.trail.clone() })
    }

    /// The account at `slot`.
    pub(super) fn account(&self, slot: u32) -> Option<Account> {
        self.at(slot, Shown::account)
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

    fn at<T>(&self, slot: u32, look: impl FnOnce(&Shown) -> T) -> Option<T> {
        if slot >= self.published() {
            return None;
        }
        let shard = self.shards[slot as usize % SHARDS].read();
        shard.get(slot as usize / SHARDS).map(look)
    }
}

impl Facts for View {
    fn opened(&self, slot: u32) -> Option<Arc<Opened>> {
        self.at(slot, |shown| shown.opened.clone())
    }

    fn id(&self, slot: u32) -> Option<AccountId> {
        self.register.id(slot).filter(|_| slot < self.published())
    }

    fn slot(&self, id: AccountId) -> Option<u32> {
        self.register.slot(id).filter(|slot| *slot < self.published())
    }
}

fn entry_of(
    totals: &mut BTreeMap<Currency, LedgerTotals>,
    currency: Currency,
) -> &mut LedgerTotals {
    totals.entry(currency).or_insert_with(|| nothing_in(currency))
}

fn nothing_in(currency: Currency) -> LedgerTotals {
    LedgerTotals {
        currency,
        accounts: 0,
        transactions: 0,
        customer_balance: Balance::ZERO,
        settlement_balance: Balance::ZERO,
    }
}

fn added(sum: Balance, change: Balance) -> Balance {
    sum.checked_add(change).expect("the settlement account holds the same sum")
}
