//! The teller: the one who writes. He takes whatever waits, decides it in order, has the batch
//! made durable by one commit, and only then answers.

mod serve;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use tongjang_core::{AccountId, Event, Rejection, Request, TransactionId};

use self::serve::serve;
pub use self::serve::{answer, answer_together};
use crate::{Store, StoreError};

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The durable event, or why there is none.
    pub outcome: Result<Event, Rejection>,
    /// Whether the request's key already stood for this outcome.
    pub replayed: bool,
}

/// What came of a request, without what it booked: all that an outcome of a batch needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Brief {
    /// What was made, or why nothing was.
    pub outcome: Result<Made, Rejection>,
    /// Whether the request's key already stood for this outcome.
    pub replayed: bool,
}

/// What a request made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Made {
    /// A transaction.
    Transaction(TransactionId),
    /// An account, by its opening or a change of its status.
    Account(AccountId),
}

impl Made {
    /// What `event` made; nothing, if it is a refusal.
    pub fn by(event: &Event) -> Option<Self> {
        match event {
            Event::Booked(booked) => Some(Self::Transaction(booked.transaction.id)),
            Event::Opened(opening) => Some(Self::Account(opening.account.id)),
            Event::StatusChanged(change) => Some(Self::Account(change.account)),
            Event::Refused(_) => None,
        }
    }
}

impl From<Answer> for Brief {
    fn from(Answer { outcome, replayed }: Answer) -> Self {
        let made = |event: Event| Made::by(&event).expect("a refusal is no success");
        Self { outcome: outcome.map(made), replayed }
    }
}

/// What came of requests that are booked together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Together {
    /// All of them succeeded, and all of it became durable in one commit.
    All(Vec<Answer>),
    /// One was refused, so nothing was booked and nothing is kept under any key.
    None {
        /// The index of the first that was refused.
        at: usize,
        /// Why.
        rejection: Rejection,
        /// Whether its key already stood for that refusal.
        replayed: bool,
    },
    /// No commit of this store can hold all of it. Nothing was booked.
    TooLarge,
}

/// Why a request was not even taken in; it changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Too many wait already.
    Overloaded,
    /// The teller has closed his window for the day.
    ShuttingDown,
    /// The teller is gone after a failure of the store.
    Unavailable,
}

/// How much the teller takes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TellerLimits {
    /// How many requests may wait; as many again may wait in bundles, so that those who send
    /// bundles leave room for those who do not. A larger bundle is taken when no other waits.
    pub queue: usize,
    /// How many requests a batch may have; of those that are booked together, it has all.
    pub batch: usize,
}

impl Default for TellerLimits {
    fn default() -> Self {
        Self { queue: 16_384, batch: 8_192 }
    }
}

/// Called once with what came of a request, by the [`Messenger`].
pub type Reply = Box<dyn FnOnce(Result<Answer, StoreError>) + Send>;

/// Called once with what came of each request of a bundle, in their order.
pub type Tell<T> = Box<dyn FnOnce(Vec<Result<T, StoreError>>) + Send>;

/// Who is told what came of each request of a bundle. What is not asked for
/// whole is dropped by the teller at once, and need not be kept until the commit.
pub enum BundleReply {
    /// With the whole answers.
    Whole(Tell<Answer>),
    /// With what was made alone.
    Brief(Tell<Brief>),
}

/// Called once with what came of requests that are booked together.
pub type TogetherReply = Box<dyn FnOnce(Result<Together, StoreError>) + Send>;

/// Runs what it is given, which calls the replies of a batch: at once, or on another thread, so
/// that the one that writes the journal can go on with the next batch.
pub type Messenger = Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// A batch of so many is decided while the one before is written. A smaller one waits for that,
/// as what comes meanwhile saves it a commit of its own.
const LARGE: usize = 512;

/// How often the teller looks up before he goes to sleep, after he served somebody alone: about a
/// tenth of a millisecond where no other thread wants the core.
const LOOKS: usize = 300;

/// What is handed in at the window.
enum Slip {
    One(Request, Reply),
    Bundle(Vec<Request>, BundleReply),
    Together(Vec<Request>, TogetherReply),
}

impl Slip {
    fn requests(&self) -> &[Request] {
        match self {
            Self::One(request, _) => std::slice::from_ref(request),
            Self::Bundle(requests, _) | Self::Together(requests, _) => requests,
        }
    }
}

/// A place in the teller's queue; clone it for each who asks.
#[derive(Clone)]
pub struct Teller {
    queue: Sender<Slip>,
    closing: Arc<AtomicBool>,
    window: Arc<Window>,
    batches: Arc<AtomicU64>,
    limits: TellerLimits,
}

/// The other end of the queue, which also those hold who ask: slips that nobody will serve any
/// more must be dropped, and a channel keeps them for as long as somebody may send.
struct Window {
    slips: Receiver<Slip>,
    /// How many requests wait one by one, and how many in bundles.
    ones: AtomicUsize,
    bundled: AtomicUsize,
    deserted: AtomicBool,
}

impl Window {
    /// Takes slips out until `batch` has `most` requests or nothing waits, after `first`.
    fn take(&self, first: Option<Slip>, batch: &mut Vec<Slip>, most: usize) -> usize {
        let mut count: usize = batch.iter().map(|slip| slip.requests().len()).sum();
        let mut next = first;
        while count < most {
            let Some(slip) = next.take().or_else(|| self.slips.try_recv().ok()) else { break };
            let requests = slip.requests().len();
            self.waiting(&slip).fetch_sub(requests, SeqCst);
            count += requests;
            batch.push(slip);
        }
        count
    }

    /// Looks whether somebody comes before the teller goes to sleep: who calls one request after
    /// the other comes again before the teller would be awake. Other threads go first.
    fn linger(&self) -> Option<Slip> {
        (0..LOOKS).find_map(|_| {
            let slip = self.slips.try_recv().ok();
            if slip.is_none() {
                std::thread::yield_now();
            }
            slip
        })
    }

    /// What counts the requests that wait like those of `slip`.
    fn waiting(&self, slip: &Slip) -> &AtomicUsize {
        if matches!(slip, Slip::One(..)) { &self.ones } else { &self.bundled }
    }

    /// Drops what waits, if there is no teller any more.
    fn clear_if_deserted(&self) {
        if self.deserted.load(SeqCst) {
            self.slips.try_iter().for_each(drop);
        }
    }
}

/// Lives on the teller's stack, and so tells of his end however he comes to it.
struct AtTheWindow(Arc<Window>);

impl Drop for AtTheWindow {
    fn drop(&mut self) {
        self.0.deserted.store(true, SeqCst);
        self.0.clear_if_deserted();
    }
}

/// The teller's thread; [`close`](Self::close) ends the day.
#[derive(Debug)]
pub struct TellerThread {
    closing: Arc<AtomicBool>,
    stop: Sender<()>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Teller {
    /// Opens the window over `store`, which the teller owns from now on.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start<S: Store>(
        store: S,
        limits: TellerLimits,
    ) -> Result<(Self, TellerThread), StoreError> {
        Self::start_with(store, limits, Arc::new(|deliver| deliver()))
    }

    /// As [`start`](Self::start), with the answers of a batch given out by `messenger`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with<S: Store>(
        store: S,
        limits: TellerLimits,
        messenger: Messenger,
    ) -> Result<(Self, TellerThread), StoreError> {
        let (queue, slips) = unbounded();
        let (stop, stopped) = bounded(1);
        let closing = Arc::new(AtomicBool::new(false));
        let batches = Arc::new(AtomicU64::new(0));
        let counter = batches.clone();
        let window = Arc::new(Window {
            slips,
            ones: AtomicUsize::new(0),
            bundled: AtomicUsize::new(0),
            deserted: AtomicBool::new(false),
        });
        let teller = AtTheWindow(window.clone());
        let thread = std::thread::Builder::new()
            .name("teller".into())
            .spawn(move || {
                let AtTheWindow(window) = &teller;
                work(store, window, &stopped, limits, &counter, &messenger)
            })
            .map_err(|source| StoreError::io("start a thread for", "the teller", source))?;
        let thread = TellerThread { closing: closing.clone(), stop, thread };
        Ok((Self { queue, closing, window, batches, limits }, thread))
    }

    /// Puts `request` into the queue. `reply` is called once with what came of it when that is
    /// durable; if the teller dies before, `reply` is dropped, and the outcome is unknown.
    ///
    /// # Errors
    /// The request was not taken in and changed nothing.
    pub fn submit(&self, request: Request, reply: Reply) -> Result<(), Refusal> {
        self.hand_in(Slip::One(request, reply))
    }

    /// Puts `requests` into the queue as one slip: they are decided in their order, as if they had
    /// been submitted one after another, and `reply` is called once when all of it is durable.
    ///
    /// # Errors
    /// None of them was taken in.
    pub fn submit_bundle(&self, requests: Vec<Request>, reply: BundleReply) -> Result<(), Refusal> {
        self.hand_in(Slip::Bundle(requests, reply))
    }

    /// As [`submit_bundle`](Self::submit_bundle), but all of them are booked, by one commit, or
    /// none of them is.
    ///
    /// # Errors
    /// None of them was taken in.
    pub fn submit_together(
        &self,
        requests: Vec<Request>,
        reply: TogetherReply,
    ) -> Result<(), Refusal> {
        self.hand_in(Slip::Together(requests, reply))
    }

    fn hand_in(&self, slip: Slip) -> Result<(), Refusal> {
        self.ready()?;
        let waiting = self.window.waiting(&slip);
        let count = slip.requests().len();
        let room = |waiting: usize| {
            let sum = waiting.saturating_add(count);
            (waiting == 0 || sum <= self.limits.queue).then_some(sum)
        };
        waiting.fetch_update(SeqCst, SeqCst, room).map_err(|_| Refusal::Overloaded)?;
        // The window holds the other end, so this cannot fail.
        self.queue.send(slip).map_err(|_| Refusal::Unavailable)?;
        // If the teller left in between, this slip may have come after he cleared the queue.
        self.window.clear_if_deserted();
        Ok(())
    }

    /// The most requests that may wait in bundles, unless a single bundle has more.
    pub fn room_for_bundles(&self) -> usize {
        self.limits.queue
    }

    /// Whether a request would be taken in, if there is room.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), Refusal> {
        if self.closing.load(SeqCst) {
            return Err(Refusal::ShuttingDown);
        }
        let deserted = self.window.deserted.load(SeqCst);
        if deserted { Err(Refusal::Unavailable) } else { Ok(()) }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.window.ones.load(Relaxed) + self.window.bundled.load(Relaxed)
    }

    /// How many batches were taken in since the start.
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }
}

impl TellerThread {
    /// Whether the teller is gone, though nobody closed the window.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Takes nothing more in, finishes what waits, closes the store and waits for all of it.
    ///
    /// # Errors
    /// What the store failed at, now or earlier; a panic of the teller counts as such.
    pub fn close(self) -> Result<(), StoreError> {
        self.closing.store(true, SeqCst);
        // A teller who is gone already cannot be told to stop.
        let _ = self.stop.try_send(());
        self.thread
            .join()
            .unwrap_or_else(|_| Err(StoreError::Poisoned { cause: "the teller panicked".into() }))
    }
}

fn work<S: Store>(
    mut store: S,
    window: &Window,
    stopped: &Receiver<()>,
    limits: TellerLimits,
    batches: &AtomicU64,
    messenger: &Messenger,
) -> Result<(), StoreError> {
    let most = limits.batch.max(1);
    let (mut open, mut alone) = (true, false);
    while open {
        let soon = if alone { window.linger() } else { None };
        let mut first = soon.or_else(|| {
            select! {
                recv(window.slips) -> slip => slip.ok(),
                recv(stopped) -> _ => None,
            }
        });
        open = first.is_some();
        loop {
            let mut batch = Vec::new();
            let count = window.take(first.take(), &mut batch, most);
            if batch.is_empty() {
                break;
            }
            if count < LARGE {
                store.settle()?;
                window.take(None, &mut batch, most);
            }
            batches.fetch_add(1, Relaxed);
            alone = batch.len() == 1;
            serve(&mut store, batch, most, messenger)?;
        }
    }
    store.close()
}
