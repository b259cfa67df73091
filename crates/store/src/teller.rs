//! The teller: the one who writes. He takes whatever waits, decides it in order, has the batch
//! made durable by one commit, and only then answers.

mod apart;
mod serve;
mod shared;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use tongjang_core::{AccountId, Event, Rejection, Request, TransactionId};

use self::serve::serve;
pub use self::serve::{answer, answer_together};
use self::window::{AtTheWindow, Slip, Window};
use crate::{SharedStore, Store, StoreError};

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

/// A place in the tellers' queues; clone it for each who asks. There is one teller, but on a store
/// that several may write to.
#[derive(Clone)]
pub struct Teller {
    windows: Arc<[Arc<Window>]>,
    closing: Arc<AtomicBool>,
    batches: Arc<AtomicU64>,
    limits: TellerLimits,
}

/// The tellers' threads; [`close`](Self::close) ends the day.
#[derive(Debug)]
pub struct TellerThread {
    closing: Arc<AtomicBool>,
    at_work: Vec<AtWork>,
}

/// How a teller is told to stop, and his thread.
type AtWork = (Sender<()>, JoinHandle<Result<(), StoreError>>);

/// What a teller has around him while he works.
struct Day<'a> {
    window: &'a Window,
    stopped: Receiver<()>,
    limits: TellerLimits,
    batches: Arc<AtomicU64>,
    messenger: Messenger,
}

impl Day<'_> {
    /// The next slip, after however long; `None` at the end of the day.
    fn wait(&self) -> Option<Slip> {
        select! {
            recv(self.window.slips) -> slip => slip.ok(),
            recv(self.stopped) -> _ => None,
        }
    }
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
        Self::open(vec![store], limits, &messenger, alone)
    }

    /// Opens a window over each of `stores`, which lead to one ledger that others write to, too.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// If there is no store.
    pub fn start_shared<S: SharedStore>(
        stores: Vec<S>,
        limits: TellerLimits,
        messenger: &Messenger,
    ) -> Result<(Self, TellerThread), StoreError> {
        assert!(!stores.is_empty(), "a teller has a store");
        Self::open(stores, limits, messenger, shared::work)
    }

    fn open<S: Store>(
        stores: Vec<S>,
        limits: TellerLimits,
        messenger: &Messenger,
        work: fn(S, &Day) -> Result<(), StoreError>,
    ) -> Result<(Self, TellerThread), StoreError> {
        let closing = Arc::new(AtomicBool::new(false));
        let batches = Arc::new(AtomicU64::new(0));
        let (mut windows, mut at_work) = (Vec::new(), Vec::new());
        for store in stores {
            let (stop, stopped) = bounded(1);
            let window = Arc::new(Window::new());
            let teller = AtTheWindow(window.clone());
            let (batches, messenger) = (batches.clone(), messenger.clone());
            let thread = std::thread::Builder::new()
                .name("teller".into())
                .spawn(move || {
                    let AtTheWindow(window) = &teller;
                    work(store, &Day { window, stopped, limits, batches, messenger })
                })
                .map_err(|source| StoreError::io("start a thread for", "the teller", source))?;
            windows.push(window);
            at_work.push((stop, thread));
        }
        let thread = TellerThread { closing: closing.clone(), at_work };
        Ok((Self { windows: windows.into(), closing, batches, limits }, thread))
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
        self.window(slip.requests()).hand_in(slip, self.limits.queue)
    }

    /// Who asks for his own accounts always comes to the same teller, so that two of them seldom
    /// want the same accounts. Who acts for others is sent by the account.
    fn window(&self, requests: &[Request]) -> &Window {
        let bits = requests.first().map_or(0, |request| match request.command.accounts() {
            [Some(account), _] if request.caller.any_account => account.bits(),
            _ => request.caller.user.bits(),
        });
        let windows = self.windows.len() as u128;
        let at = usize::try_from((bits & 0xffff) % windows).expect("fewer than 2^16 tellers");
        &self.windows[at]
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
        let deserted = self.windows.iter().any(|window| window.is_deserted());
        if deserted { Err(Refusal::Unavailable) } else { Ok(()) }
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.windows.iter().map(|window| window.length()).sum()
    }

    /// How many batches were taken in since the start.
    pub fn batches(&self) -> u64 {
        self.batches.load(Relaxed)
    }
}

impl TellerThread {
    /// Whether a teller is gone, though nobody closed the window.
    pub fn is_finished(&self) -> bool {
        self.at_work.iter().any(|(_, thread)| thread.is_finished())
    }

    /// Takes nothing more in, finishes what waits, closes the store and waits for all of it.
    ///
    /// # Errors
    /// What the store failed at, now or earlier; a panic of the teller counts as such.
    pub fn close(self) -> Result<(), StoreError> {
        self.closing.store(true, SeqCst);
        for (stop, _) in &self.at_work {
            // A teller who is gone already cannot be told to stop.
            let _ = stop.try_send(());
        }
        let panicked = || StoreError::Poisoned { cause: "the teller panicked".into() };
        let ends = self.at_work.into_iter().map(|(_, thread)| thread.join());
        // Each is waited for, also after one that failed.
        let ends: Vec<_> = ends.map(|end| end.unwrap_or_else(|_| Err(panicked()))).collect();
        ends.into_iter().collect()
    }
}

/// The work of a teller whose store nobody else writes to.
fn alone<S: Store>(mut store: S, day: &Day<'_>) -> Result<(), StoreError> {
    let most = day.limits.batch.max(1);
    let (mut open, mut lonely) = (true, false);
    while open {
        let soon = if lonely { day.window.linger() } else { None };
        let mut first = soon.or_else(|| day.wait());
        open = first.is_some();
        loop {
            let mut batch = Vec::new();
            let count = day.window.take(first.take(), &mut batch, most);
            if batch.is_empty() {
                break;
            }
            if count < LARGE {
                store.settle()?;
                day.window.take(None, &mut batch, most);
            }
            day.batches.fetch_add(1, Relaxed);
            lonely = batch.len() == 1;
            serve(&mut store, batch, most, &day.messenger)?;
        }
    }
    store.close()
}
