//! From the frames of the journal back to the accounts: what happens at a start.
//!
//! Frames are whole when they come here (their checksums were right). A snapshot may hold some
//! accounts as of a later event than others; each knows from which event on it is to be led on.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use tongjang_core::account::Standing;
use tongjang_core::{
    Account, AccountId, Booked, Direction, Entry, Event, Opened, Opening, StatusChanged, Timestamp,
};

use super::book::Start;
use super::keys::{KeyHash, KeyIndex, KeySum};
use super::record::{self, Facts, Record};
use super::register::Register;
use super::trail::{BLOCK, Block, BlockRef, Trail};
use super::view::{MARK_EVERY, Seat, TimeMark};
use crate::StoreError;

/// The accounts while events are folded in.
pub(super) struct Replay {
    register: Arc<Register>,
    seats: Vec<Seat>,
    /// For each seat, the first event that is not in it yet.
    from_event: Vec<u64>,
    seed: u64,
    keys: Keys,
    marks: Vec<TimeMark>,
    next_event: u64,
    earliest: Timestamp,
    /// Blocks that the events so far lead to, whose records must come next.
    due: VecDeque<Due>,
}

/// What becomes of the idempotency keys.
pub(super) enum Keys {
    /// Nobody asks for them.
    Ignored,
    /// They are added up, to be compared with an index.
    AddedUp(KeySum),
    /// They are found again.
    Indexed(Box<KeyIndex>),
}

/// A block whose record must come next.
enum Due {
    /// It completes a trail that is being led on.
    Whole(Box<Block>),
    /// It is in the snapshot already; only this much of it is known here.
    Passed { slot: u32, this: BlockRef },
}

/// Why an event does not follow from those before.
type Wrong = &'static str;

impl Replay {
    /// A ledger without accounts, whose first event has the number `next_event`.
    pub(super) fn new(seed: u64, next_event: u64, keys: Keys) -> Self {
        Self {
            register: Arc::new(Register::new(seed)),
            seats: Vec::new(),
            from_event: Vec::new(),
            seed,
            keys,
            marks: Vec::new(),
            next_event,
            earliest: Timestamp::EPOCH,
            due: VecDeque::new(),
        }
    }

    /// Makes room for so many accounts.
    pub(super) fn reserve(&mut self, accounts: usize) {
        self.register.reserve(accounts);
        self.seats.reserve(accounts);
        self.from_event.reserve(accounts);
    }

    /// Takes an account from a snapshot; the events from `from_event` on are not in it.
    pub(super) fn restore(&mut self, seat: Seat, from_event: u64) {
        self.register.enter(self.seats.len() as u32, seat.account.opened());
        self.seats.push(seat);
        self.from_event.push(from_event);
    }

    /// The index of keys, if there is to be one.
    pub(super) fn keys_mut(&mut self) -> Option<&mut KeyIndex> {
        match &mut self.keys {
            Keys::Indexed(index) => Some(index),
            Keys::Ignored | Keys::AddedUp(_) => None,
        }
    }

    /// Takes a time mark from a snapshot.
    pub(super) fn restore_mark(&mut self, mark: TimeMark) {
        self.marks.push(mark);
    }

    /// Nothing may happen before `earliest`, as a snapshot says.
    pub(super) fn not_before(&mut self, earliest: Timestamp) {
        self.earliest = self.earliest.max(earliest);
    }

    /// The number of the event that comes next.
    pub(super) fn next_event(&self) -> u64 {
        self.next_event
    }

    /// Whether every account was led on to the same event.
    pub(super) fn is_complete(&self) -> bool {
        self.due.is_empty() && self.from_event.iter().all(|event| *event <= self.next_event)
    }

    /// What of a snapshot and the journal after it (`self`) is not what the whole journal leads to
    /// (`whole`), accounts' figures aside. A snapshot that lacked a key would let its request be
    /// booked again.
    ///
    /// # Errors
    /// If a run of keys cannot be read or is damaged.
    pub(super) fn differs(&self, whole: &Self) -> Result<Option<&'static str>, StoreError> {
        let pairs = || self.seats.iter().zip(&whole.seats);
        let differs = if self.seats.len() != whole.seats.len()
            || pairs().any(|(one, two)| one.account.opened() != two.account.opened())
        {
            Some("the accounts are not those that the journal opened")
        } else if pairs().any(|(one, two)| one.trail != two.trail) {
            Some("the way to an account's entries is not that of the journal")
        } else if self.keys.sum()? != whole.keys.sum()? {
            Some("the idempotency keys are not those of the journal")
        } else if self.next_event != whole.next_event || self.earliest != whole.earliest {
            Some("the events or their times are not those of the journal")
        } else {
            None
        };
        Ok(differs)
    }

    /// The register that the book and the view will share.
    pub(super) fn register(&self) -> Arc<Register> {
        self.register.clone()
    }

    /// All that was led on.
    pub(super) fn finish(self) -> Start {
        let keys = match self.keys {
            Keys::Indexed(index) => Some(*index),
            Keys::Ignored | Keys::AddedUp(_) => None,
        };
        Start {
            seats: self.seats,
            keys,
            marks: self.marks,
            next_event: self.next_event,
            earliest: self.earliest,
        }
    }

    /// Folds in the records of a frame's body, which stands at `base`, and shows `each` event.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if a record makes no sense or does not follow, or `each` says so.
    pub(super) fn frame(
        &mut self,
        path: &Path,
        offset: u64,
        base: u64,
        body: &[u8],
        mut each: impl FnMut(&Event) -> Result<(), String>,
    ) -> Result<(), StoreError> {
        let mut at = 0;
        while at < body.len() {
            let corrupt = |what: &str| StoreError::Corrupt {
                path: path.to_path_buf(),
                offset: offset + at as u64,
                what: format!("{what}; restore a backup, or run `tongjang verify` to see more"),
            };
            let position = base + at as u64;
            let record = record::read(&body[at..], position, self);
            let record = record.map_err(|bad| corrupt(bad.as_str()))?;
            match record {
                Record::Event(event) => {
                    each(&event).map_err(|fault| corrupt(&fault))?;
                    self.event(position, event).map_err(corrupt)?;
                }
                Record::Block(block) => self.block(position, block).map_err(corrupt)?,
                Record::Filler => {
                    let rest = body[at..].iter().skip(record::HEADER + 1);
                    if rest.copied().any(|byte| byte != 0) {
                        return Err(corrupt("something stands in a filler"));
                    }
                    return Ok(());
                }
            }
            at += record::span(&body[at..]).map_err(|bad| corrupt(bad.as_str()))?;
        }
        Ok(())
    }

    fn event(&mut self, position: u64, event: Event) -> Result<(), Wrong> {
        if !self.due.is_empty() {
            return Err("a block of entries is missing");
        }
        let number = self.next_event;
        self.next_event += 1;
        self.earliest = self.earliest.max(event.at().next());
        if self.marks.last().is_none_or(|mark| position >= mark.position + MARK_EVERY) {
            self.marks.push(TimeMark { at: event.at(), position });
        }
        if let Some(used) = event.key() {
            let hash = || KeyHash::of(self.seed, used.scope, &used.key);
            match &mut self.keys {
                Keys::Ignored => {}
                Keys::AddedUp(sum) => sum.insert(hash(), position),
                Keys::Indexed(index) => index.insert(hash(), position),
            }
        }
        match event {
            Event::Opened(opening) => self.opened(opening),
            Event::Booked(booked) => self.booked(number, position, &booked),
            Event::StatusChanged(change) => self.status_changed(number, &change),
            Event::Refused(_) => Ok(()),
        }
    }

    fn opened(&mut self, opening: Opening) -> Result<(), Wrong> {
        for opened in opening.settlement.into_iter().chain([opening.account]) {
            match self.register.slot(opened.id) {
                None => {
                    let seat = Seat { account: Account::open(opened), trail: Trail::default() };
                    self.restore(seat, 0);
                }
                Some(slot) => {
                    if self.seats[slot as usize].account.opened() != &opened {
                        return Err("an account is opened twice");
                    }
                }
            }
        }
        Ok(())
    }

    fn booked(&mut self, number: u64, position: u64, booked: &Booked) -> Result<(), Wrong> {
        let booked_at = booked.transaction.booked_at;
        for entry in &booked.transaction.entries {
            let slot = self.register.slot(entry.account).ok_or("an account is not there")?;
            if number < self.from_event[slot as usize] {
                self.passed(slot, entry, booked_at);
                continue;
            }
            let seat = &mut self.seats[slot as usize];
            seat.account =
                after(&seat.account, entry, booked_at).ok_or("an entry does not follow")?;
            let credits = entry.credit_count;
            let block = seat.trail.push(slot, position, entry.direction, booked_at, credits);
            self.due.extend(block.map(Box::new).map(Due::Whole));
        }
        Ok(())
    }

    /// An entry that is in the snapshot: the block that it completed, if any, is there too.
    fn passed(&mut self, slot: u32, entry: &Entry, end: Timestamp) {
        if entry.number.get().is_multiple_of(BLOCK) {
            let number = entry.number.get() / BLOCK;
            let this = BlockRef { number, position: 0, end, credits: entry.credit_count };
            self.due.push_back(Due::Passed { slot, this });
        }
    }

    fn status_changed(&mut self, number: u64, change: &StatusChanged) -> Result<(), Wrong> {
        let slot = self.register.slot(change.account).ok_or("an account is not there")? as usize;
        if number < self.from_event[slot] {
            return Ok(());
        }
        let account = &self.seats[slot].account;
        let version = account.standing().version.checked_add(1).ok_or("a version overflows")?;
        let standing = Standing { status: change.status, version, ..account.standing().clone() };
        let changed = Account::at(account.opened().clone(), standing);
        self.seats[slot].account = changed.ok_or("a change of status does not follow")?;
        Ok(())
    }

    fn block(&mut self, position: u64, block: Block) -> Result<(), Wrong> {
        let here = |this: BlockRef| BlockRef { position, ..this };
        match self.due.pop_front().ok_or("a block of entries comes from nowhere")? {
            Due::Whole(due) if block == (Block { this: here(due.this), ..*due }) => {
                self.seats[block.slot as usize].trail.sealed(block.this);
                Ok(())
            }
            Due::Passed { slot, this } if slot == block.slot && here(this) == block.this => Ok(()),
            _ => Err("a block of entries does not follow"),
        }
    }
}

impl Keys {
    fn sum(&self) -> Result<KeySum, StoreError> {
        match self {
            Self::Ignored => Ok(KeySum::default()),
            Self::AddedUp(sum) => Ok(*sum),
            Self::Indexed(index) => index.sum(),
        }
    }
}

impl Facts for Replay {
    fn opened(&self, slot: u32) -> Option<Arc<Opened>> {
        self.seats.get(slot as usize).map(|seat| seat.account.opened().clone())
    }

    fn slot(&self, id: AccountId) -> Option<u32> {
        self.register.slot(id)
    }
}

/// The account after `entry`, or `None` if that does not follow from where it stands.
fn after(account: &Account, entry: &Entry, booked_at: Timestamp) -> Option<Account> {
    let before = account.standing();
    let balance = match entry.direction {
        Direction::Credit => account.balance().plus(entry.amount)?,
        Direction::Debit => account.balance().minus(entry.amount)?,
    };
    let follows = entry.number.get() == before.entry_count.checked_add(1)?
        && entry.balance == balance
        && booked_at > before.last_booked_at;
    let standing = Standing {
        credit_total: entry.credit_total,
        debit_total: entry.debit_total()?,
        entry_count: entry.number.get(),
        credit_count: entry.credit_count,
        head_hash: entry.hash,
        last_booked_at: booked_at,
        version: before.version.checked_add(1)?,
        ..before.clone()
    };
    let account = Account::at(account.opened().clone(), standing)?;
    follows.then_some(account)
}
