//! The teller: the one who writes. He takes whatever waits, decides it in order, has the batch
//! made durable by one commit, and only then answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use tongjang_core::apply::apply;
use tongjang_core::{Book, Decision, Event, Rejection, Request, decide};

use crate::{Release, Store, StoreError};

/// What came of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The durable event, or why there is none.
    pub outcome: Result<Event, Rejection>,
    /// Whether the request's key already stood for this outcome.
    pub replayed: bool,
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
    /// How many requests may wait.
    pub queue: usize,
    /// How many requests a batch may have.
    pub batch: usize,
}

impl Default for TellerLimits {
    fn default() -> Self {
        Self { queue: 16_384, batch: 8_192 }
    }
}

/// Called once with what came of a request, by the [`Messenger`].
pub type Reply = Box<dyn FnOnce(Result<Answer, StoreError>) + Send>;

/// Runs what it is given, which calls the replies of a batch: at once, or on another thread, so
/// that the one that writes the journal can go on with the next batch.
pub type Messenger = Arc<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// A batch of so many is decided while the one before is written. A smaller one waits for that,
/// as what comes meanwhile saves it a commit of its own.
const LARGE: usize = 512;

/// The store is told of so many requests at once before they are decided: what they touch fits the
/// cache next to a core.
const FEW: usize = 128;

/// What is handed in at the window.
struct Slip {
    request: Request,
    reply: Reply,
}

/// A place in the teller's queue; clone it for each who asks.
#[derive(Clone)]
pub struct Teller {
    queue: Sender<Slip>,
    closing: Arc<AtomicBool>,
    window: Arc<Window>,
    batches: Arc<AtomicU64>,
}

/// The other end of the queue, which also those hold who ask: slips that nobody will serve any
/// more must be dropped, and a channel keeps them for as long as somebody may send.
struct Window {
    slips: Receiver<Slip>,
    deserted: AtomicBool,
}

impl Window {
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
        let (queue, slips) = bounded(limits.queue);
        let (stop, stopped) = bounded(1);
        let closing = Arc::new(AtomicBool::new(false));
        let batches = Arc::new(AtomicU64::new(0));
        let counter = batches.clone();
        let window = Arc::new(Window { slips, deserted: AtomicBool::new(false) });
        let teller = AtTheWindow(window.clone());
        let thread = std::thread::Builder::new()
            .name("teller".into())
            .spawn(move || {
                let AtTheWindow(window) = &teller;
                work(store, &window.slips, &stopped, limits, &counter, &messenger)
            })
            .map_err(|source| StoreError::io("start a thread for", "the teller", source))?;
        let thread = TellerThread { closing: closing.clone(), stop, thread };
        Ok((Self { queue, closing, window, batches }, thread))
    }

    /// Puts `request` into the queue. `reply` is called once with what came of it when that is
    /// durable; if the teller dies before, `reply` is dropped, and the outcome is unknown.
    ///
    /// # Errors
    /// The request was not taken in and changed nothing.
    pub fn submit(&self, request: Request, reply: Reply) -> Result<(), Refusal> {
        if self.closing.load(SeqCst) {
            return Err(Refusal::ShuttingDown);
        }
        if self.window.deserted.load(SeqCst) {
            return Err(Refusal::Unavailable);
        }
        self.queue.try_send(Slip { request, reply }).map_err(|refused| match refused {
            TrySendError::Full(_) => Refusal::Overloaded,
            TrySendError::Disconnected(_) => Refusal::Unavailable,
        })?;
        // If the teller left in between, this slip may have come after he cleared the queue.
        self.window.clear_if_deserted();
        Ok(())
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
        self.queue.len()
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
    slips: &Receiver<Slip>,
    stopped: &Receiver<()>,
    limits: TellerLimits,
    batches: &AtomicU64,
    messenger: &Messenger,
) -> Result<(), StoreError> {
    let mut open = true;
    while open {
        let first = select! {
            recv(slips) -> slip => slip.ok(),
            recv(stopped) -> _ => None,
        };
        open = first.is_some();
        let mut waiting = first.into_iter().chain(slips.try_iter()).peekable();
        while waiting.peek().is_some() {
            let most = limits.batch.max(1);
            let mut batch: Vec<Slip> = waiting.by_ref().take(most).collect();
            if batch.len() < LARGE {
                store.settle()?;
                batch.extend(slips.try_iter().take(most.saturating_sub(batch.len())));
            }
            batches.fetch_add(1, Relaxed);
            serve(&mut store, batch, messenger)?;
        }
    }
    store.close()
}

/// Decides a batch and has it made durable, in several commits if one has no room for it.
///
/// On an error the replies are dropped: what was not committed has an unknown outcome.
fn serve<S: Store>(
    store: &mut S,
    batch: Vec<Slip>,
    messenger: &Messenger,
) -> Result<(), StoreError> {
    let requests: Vec<&Request> = batch.iter().map(|slip| &slip.request).collect();
    store.load(&requests)?;
    let mut answers = Vec::with_capacity(batch.len());
    let mut batch = batch.into_iter();
    while batch.len() > 0 {
        let few: Vec<Slip> = batch.by_ref().take(FEW).collect();
        store.warm(&few.iter().map(|slip| &slip.request).collect::<Vec<_>>());
        for Slip { request, reply } in few {
            if store.is_full() {
                store.commit(release(std::mem::take(&mut answers), messenger))?;
            }
            // What cannot be decided, as a record cannot be read, changed nothing; it fails alone.
            let answer = answer(store.book(), &request);
            answers.push((reply, answer));
        }
    }
    store.commit(release(answers, messenger))
}

/// Decides `request` and folds what comes of it into `book`.
///
/// # Errors
/// Only what the book could not look up; it is unchanged then.
pub fn answer<B: Book>(book: &mut B, request: &Request) -> Result<Answer, B::Error> {
    let (event, replayed) = match decide(book, request)? {
        Decision::New(event) => {
            apply(book, &event);
            (event, false)
        }
        Decision::Replayed(event) => (event, true),
        Decision::Refused(rejection) => {
            return Ok(Answer { outcome: Err(rejection), replayed: false });
        }
    };
    let outcome = match event {
        Event::Refused(refused) => Err(refused.rejection),
        event => Ok(event),
    };
    Ok(Answer { outcome, replayed })
}

fn release(answers: Vec<(Reply, Result<Answer, StoreError>)>, messenger: &Messenger) -> Release {
    let messenger = messenger.clone();
    Box::new(move |durable| {
        messenger(Box::new(move || {
            for (reply, answer) in answers {
                reply(durable.clone().and(answer));
            }
        }));
    })
}
