//! The window at which requests are handed in, and the queue behind it: one a teller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tongjang_core::Request;

use super::{BundleReply, Refusal, Reply, TogetherReply};

/// How often the teller looks up before he goes to sleep, after he served somebody alone: about a
/// tenth of a millisecond where no other thread wants the core.
const LOOKS: usize = 300;

/// What is handed in at the window.
pub(super) enum Slip {
    One(Request, Reply),
    Bundle(Vec<Request>, BundleReply),
    Together(Vec<Request>, TogetherReply),
}

impl Slip {
    pub(super) fn requests(&self) -> &[Request] {
        match self {
            Self::One(request, _) => std::slice::from_ref(request),
            Self::Bundle(requests, _) | Self::Together(requests, _) => requests,
        }
    }
}

/// Both ends of a queue. Those who ask hold them too: slips that nobody will serve any more must be
/// dropped, and a channel keeps them for as long as somebody may send.
pub(super) struct Window {
    queue: Sender<Slip>,
    pub(super) slips: Receiver<Slip>,
    /// How many requests wait one by one, and how many in bundles.
    ones: AtomicUsize,
    bundled: AtomicUsize,
    deserted: AtomicBool,
}

impl Window {
    pub(super) fn new() -> Self {
        let (queue, slips) = unbounded();
        let (ones, bundled) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { queue, slips, ones, bundled, deserted: AtomicBool::new(false) }
    }

    /// Takes `slip` in, unless so many requests wait that there is no `room` for its own.
    pub(super) fn hand_in(&self, slip: Slip, room: usize) -> Result<(), Refusal> {
        let waiting = self.waiting(&slip);
        let count = slip.requests().len();
        let room = |waiting: usize| {
            let sum = waiting.saturating_add(count);
            (waiting == 0 || sum <= room).then_some(sum)
        };
        waiting.fetch_update(SeqCst, SeqCst, room).map_err(|_| Refusal::Overloaded)?;
        // The window holds the other end, so this cannot fail.
        self.queue.send(slip).map_err(|_| Refusal::Unavailable)?;
        // If the teller left in between, this slip may have come after he cleared the queue.
        self.clear_if_deserted();
        Ok(())
    }

    /// How many requests wait.
    pub(super) fn length(&self) -> usize {
        self.ones.load(Relaxed) + self.bundled.load(Relaxed)
    }

    /// Whether its teller is gone.
    pub(super) fn is_deserted(&self) -> bool {
        self.deserted.load(SeqCst)
    }

    /// Takes slips out until `batch` has `most` requests or nothing waits, after `first`.
    pub(super) fn take(&self, first: Option<Slip>, batch: &mut Vec<Slip>, most: usize) -> usize {
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
    pub(super) fn linger(&self) -> Option<Slip> {
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
pub(super) struct AtTheWindow(pub(super) Arc<Window>);

impl Drop for AtTheWindow {
    fn drop(&mut self) {
        self.0.deserted.store(true, SeqCst);
        self.0.clear_if_deserted();
    }
}
