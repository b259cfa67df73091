//! The teller's book: every account in memory, and the frame that the current batch fills.
//!
//! It is ahead of what is durable by the batches that are being written. `note` encodes an event
//! as soon as it is applied, so its position is known before the next one is decided.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::{Condvar, Mutex};
use tongjang_core::{
    Account, AccountId, AccountNumber, Bank, Book, Booked, Currency, Direction, Event,
    IdempotencyKey, Opened, Request, Timestamp, UserId,
};

use super::keys::KeyIndex;
use super::log_reader::LogReader;
use super::record::{self, Facts, Record};
use super::register::Register;
use super::trail::BlockRef;
use super::view::{MARK_EVERY, Publication, Seat, Step, TimeMark};
use crate::StoreError;
use crate::journal::read_record;

/// A batch is cut at this many bytes, so that no sync takes long.
const LARGEST_BODY: usize = 4 << 20;

/// How far the journal is durable, for who must wait for it.
pub(super) struct Durable {
    end: Mutex<Result<u64, StoreError>>,
    moved: Condvar,
}

impl Durable {
    pub(super) fn new(end: u64) -> Self {
        Self { end: Mutex::new(Ok(end)), moved: Condvar::new() }
    }

    /// All before `end` is durable, or nothing more will be.
    pub(super) fn set(&self, end: Result<u64, StoreError>) {
        *self.end.lock() = end;
        self.moved.notify_all();
    }

    /// Waits until what stands at `position` is durable.
    fn wait_for(&self, position: u64) -> Result<(), StoreError> {
        self.wait_until(position + 1)
    }

    /// Waits until all before `until` is durable.
    pub(super) fn wait_until(&self, until: u64) -> Result<(), StoreError> {
        self.wait_unless(&AtomicBool::new(false), until).map(|_| ())
    }

    /// As [`wait_until`](Self::wait_until), but not any longer once `stop` is set and
    /// [`wake`](Self::wake) was called. Says whether all is durable.
    pub(super) fn wait_unless(&self, stop: &AtomicBool, until: u64) -> Result<bool, StoreError> {
        let mut end = self.end.lock();
        loop {
            match &*end {
                Ok(end) if *end >= until => return Ok(true),
                Ok(_) if stop.load(Relaxed) => return Ok(false),
                Ok(_) => self.moved.wait(&mut end),
                Err(error) => return Err(error.clone()),
            }
        }
    }

    /// Lets those who wait look whether they are to stop.
    pub(super) fn wake(&self) {
        // Under the lock, so that nobody is between his look and his sleep.
        let _end = self.end.lock();
        self.moved.notify_all();
    }
}

/// The frame that is being filled.
#[derive(Default)]
pub(super) struct Frame {
    /// Where its body will stand.
    pub(super) base: u64,
    /// How long its body may become.
    pub(super) room: usize,
    pub(super) body: Vec<u8>,
    pub(super) events: u32,
    pub(super) time: Timestamp,
    pub(super) publication: Publication,
    touched: Vec<u32>,
}

impl Frame {
    fn position(&self) -> u64 {
        self.base + self.body.len() as u64
    }
}

/// A seat as the teller has it.
struct Place {
    seat: Seat,
    /// The batch that changed it last.
    touched_in: u64,
}

/// The teller's book over a journal.
pub struct JournalBook {
    places: Vec<Place>,
    register: Arc<Register>,
    keys: KeyIndex,
    earliest: Timestamp,
    /// The last accounts looked up: a booking asks for the same ones several times.
    recent: Cell<[(AccountId, u32); 2]>,
    batch: u64,
    next_event: u64,
    last_mark: u64,
    frame: Frame,
    durable: Arc<Durable>,
    log: LogReader,
}

/// A batch that is ready to be written.
pub(super) struct Filled {
    pub(super) body: Vec<u8>,
    pub(super) first_event: u64,
    pub(super) events: u32,
    pub(super) time: Timestamp,
    pub(super) publication: Publication,
}

/// What a book starts from: a snapshot, or nothing.
pub(super) struct Start {
    pub(super) seats: Vec<Seat>,
    pub(super) keys: Option<KeyIndex>,
    pub(super) marks: Vec<TimeMark>,
    pub(super) next_event: u64,
    pub(super) earliest: Timestamp,
}

impl JournalBook {
    /// The book of `start`, whose index of keys is `keys`.
    pub(super) fn new(
        start: Start,
        keys: KeyIndex,
        register: Arc<Register>,
        durable: Arc<Durable>,
        log: LogReader,
    ) -> Self {
        let nobody = (AccountId::from_bits(0), u32::MAX);
        let places = start.seats.into_iter().map(|seat| Place { seat, touched_in: 0 }).collect();
        Self {
            places,
            register,
            keys,
            earliest: start.earliest,
            recent: Cell::new([nobody; 2]),
            batch: 1,
            next_event: start.next_event,
            last_mark: start.marks.last().map_or(0, |mark| mark.position),
            frame: Frame::default(),
            durable,
            log,
        }
    }

    /// Begins a frame whose body will stand at `base`, have at most `room` bytes and is built in
    /// the empty `body`, with the empty `publication` beside it.
    pub(super) fn begin(
        &mut self,
        base: u64,
        room: usize,
        body: Vec<u8>,
        publication: Publication,
    ) {
        assert!(self.frame.events == 0 && body.is_empty(), "the frame before was taken out");
        self.frame.body = body;
        self.frame.publication = publication;
        self.frame.base = base;
        self.frame.room = room;
    }

    /// Moves the frame, which must be empty: its body will stand at `base` and have at most `room`
    /// bytes.
    pub(super) fn move_on(&mut self, base: u64, room: usize) {
        assert!(self.frame.events == 0 && self.frame.body.is_empty(), "only an empty frame moves");
        self.frame.base = base;
        self.frame.room = room;
    }

    /// Takes out what the batch wrote; `begin` must come next.
    pub(super) fn take(&mut self) -> Filled {
        let mut frame = std::mem::take(&mut self.frame);
        let mut publication = frame.publication;
        publication.standings.extend(
            frame
                .touched
                .drain(..)
                .map(|slot| (slot, self.places[slot as usize].seat.account.standing().clone())),
        );
        // Its memory serves the next batch.
        self.frame.touched = frame.touched;
        self.batch += 1;
        let first_event = self.next_event;
        self.next_event += u64::from(frame.events);
        Filled {
            body: frame.body,
            first_event,
            events: frame.events,
            time: frame.time,
            publication,
        }
    }

    /// Whether the frame has no room for one more event with all that it may bring along.
    pub(super) fn is_full(&self) -> bool {
        let most = record::LONGEST + 2 * record::LONGEST_BLOCK;
        self.frame.body.len() + most > self.frame.room.min(LARGEST_BODY)
    }

    /// How many bytes the frame has so far, and how many more it can take.
    pub(super) fn filled(&self) -> (usize, usize) {
        let length = self.frame.body.len();
        (length, self.frame.room.saturating_sub(length))
    }

    /// All accounts, in the order of their slots.
    pub(super) fn seats(&self) -> impl ExactSizeIterator<Item = &Seat> {
        self.seats_from(0)
    }

    /// The accounts from `slot` on.
    pub(super) fn seats_from(&self, slot: usize) -> impl ExactSizeIterator<Item = &Seat> {
        self.places[slot..].iter().map(|place| &place.seat)
    }

    /// The number of the first event of the batch that is being filled.
    pub(super) fn next_event(&self) -> u64 {
        self.next_event
    }

    /// The index of keys.
    pub(super) fn keys(&self) -> &KeyIndex {
        &self.keys
    }

    /// The index of keys, to be tended between two batches.
    pub(super) fn keys_mut(&mut self) -> &mut KeyIndex {
        &mut self.keys
    }

    /// Touches what `requests` will need, one kind after the other. Each wait for memory is then
    /// one of many at once, instead of one after another while the requests are decided.
    pub(super) fn warm(&self, requests: &[&Request]) {
        let slots = self.register.slots(
            requests.iter().flat_map(|request| request.command.accounts().into_iter().flatten()),
        );
        let seats = || slots.iter().filter_map(|slot| self.places.get(*slot as usize));
        // An account's figures take several lines of a cache, and its facts two more.
        let figures = seats().fold(0u64, |sum, place| {
            let Seat { account, trail } = &place.seat;
            let at = account.standing();
            let totals = at.credit_total.minor() as u64 ^ at.debit_total.minor() as u64;
            let head = u64::from(at.head_hash.bytes()[0] ^ at.head_hash.bytes()[31]);
            sum ^ place.touched_in ^ totals ^ head ^ at.version ^ trail.touch()
        });
        let facts = seats().fold(0u64, |sum, place| {
            let account = &place.seat.account;
            sum ^ account.owner().bits() as u64 ^ account.id().bits() as u64
        });
        let keyed = requests.iter().filter_map(|request| {
            let (key, _) = request.key.as_ref()?;
            Some(self.keys.hash(request.caller.user, key))
        });
        self.keys.touch(&keyed.collect::<Vec<_>>());
        // Only the touching counts.
        std::hint::black_box((figures, facts));
    }

    fn place(&self, id: AccountId) -> Option<u32> {
        let [first, second] = self.recent.get();
        if first.0 == id && first.1 != u32::MAX {
            return Some(first.1);
        }
        if second.0 == id && second.1 != u32::MAX {
            return Some(second.1);
        }
        let slot = self.register.slot(id)?;
        self.recent.set([(id, slot), first]);
        Some(slot)
    }

    fn touch(&mut self, slot: u32) {
        let place = &mut self.places[slot as usize];
        if place.touched_in != self.batch {
            place.touched_in = self.batch;
            self.frame.touched.push(slot);
        }
    }

    fn mark(&mut self, at: Timestamp) {
        let position = self.frame.position();
        if self.last_mark == 0 || position >= self.last_mark + MARK_EVERY {
            self.last_mark = position;
            self.frame.publication.marks.push(TimeMark { at, position });
        }
    }

    fn note_booked(&mut self, position: u64, booked: &Booked) {
        let transaction = &booked.transaction;
        for entry in &transaction.entries {
            let slot = self.place(entry.account).expect("a booked account is in the book");
            self.touch(slot);
            let mut step = Step {
                slot,
                position,
                direction: entry.direction,
                booked_at: transaction.booked_at,
                credits: entry.credit_count,
                block_position: 0,
            };
            let trail = &mut self.places[slot as usize].seat.trail;
            let Step { direction, booked_at, credits, .. } = step;
            if let Some(block) = trail.push(slot, position, direction, booked_at, credits) {
                step.block_position = self.frame.position();
                record::put_block(&mut self.frame.body, &block, step.block_position);
                trail.sealed(BlockRef { position: step.block_position, ..block.this });
            }
            self.frame.publication.steps.push(step);
        }
        let total = self.frame.publication.total(transaction.currency);
        total.transactions += 1;
        for entry in &transaction.entries {
            let sum = if entry.account.is_settlement() {
                &mut total.settlement_balance
            } else {
                &mut total.customer_balance
            };
            let changed = match entry.direction {
                Direction::Credit => sum.plus(entry.amount),
                Direction::Debit => sum.minus(entry.amount),
            };
            *sum = changed.expect("a batch moves far less than 128 bits hold");
        }
    }

    /// The event whose record stands at `position`, durable or not.
    fn event_at(&self, position: u64) -> Result<Option<Event>, StoreError> {
        let record = match position.checked_sub(self.frame.base) {
            Some(offset) if self.frame.events > 0 && offset < self.frame.body.len() as u64 => {
                let bytes = &self.frame.body[offset as usize..];
                record::read(bytes, position, self).expect("this record was just written")
            }
            _ => {
                self.durable.wait_for(position)?;
                read_record(&self.log, position, self)?
            }
        };
        Ok(match record {
            Record::Event(event) => Some(event),
            Record::Block(_) | Record::Filler => None,
        })
    }
}

impl Book for JournalBook {
    type Error = StoreError;

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.place(id).map(|slot| &self.places[slot as usize].seat.account)
    }

    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        let slot = self.place(id)?;
        Some(&mut self.places[slot as usize].seat.account)
    }

    fn insert(&mut self, opened: Arc<Opened>) {
        assert!(self.register.slot(opened.id).is_none(), "an account is opened once");
        let slot = u32::try_from(self.places.len()).expect("fewer than 2^32 accounts");
        self.register.enter(slot, &opened);
        if !opened.is_settlement() {
            self.frame.publication.total(opened.currency).accounts += 1;
        }
        self.frame.publication.opened.push((slot, opened.clone()));
        let seat = Seat { account: Account::open(opened), trail: Default::default() };
        self.places.push(Place { seat, touched_in: 0 });
        self.touch(slot);
    }

    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId> {
        let slot = self.register.slot_by_number(bank, number)?;
        Some(self.places[slot as usize].seat.account.id())
    }

    fn settlement(&self, currency: Currency, _: UserId) -> AccountId {
        self.register.settlement(currency)
    }

    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, StoreError> {
        for position in self.keys.candidates(self.keys.hash(scope, key))? {
            let event = self.event_at(position)?;
            let used = event.as_ref().and_then(Event::key);
            if used.is_some_and(|used| used.scope == scope && used.key == *key) {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn earliest(&self) -> Timestamp {
        self.earliest
    }

    fn note(&mut self, event: &Event) {
        self.earliest = event.at().next();
        self.mark(event.at());
        let position = self.frame.position();
        let mut body = std::mem::take(&mut self.frame.body);
        record::put_event(&mut body, self, event);
        self.frame.body = body;
        self.frame.events += 1;
        self.frame.time = event.at();
        if let Some(used) = event.key() {
            self.keys.insert(self.keys.hash(used.scope, &used.key), position);
        }
        match event {
            Event::Booked(booked) => self.note_booked(position, booked),
            Event::StatusChanged(change) => {
                let slot = self.place(change.account).expect("its account is in the book");
                self.touch(slot);
            }
            Event::Opened(_) | Event::Refused(_) => {}
        }
    }
}

impl Facts for JournalBook {
    fn opened(&self, slot: u32) -> Option<Arc<Opened>> {
        self.places.get(slot as usize).map(|place| place.seat.account.opened().clone())
    }

    fn owner(&self, slot: u32) -> Option<UserId> {
        self.places.get(slot as usize).map(|place| place.seat.account.owner())
    }

    fn slot(&self, id: AccountId) -> Option<u32> {
        self.place(id)
    }
}
