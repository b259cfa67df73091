//! A teller beside others: the ledger is theirs as well, so a batch that could not be committed is
//! decided again on what they left, and nobody is answered before it is.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tongjang_core::{AccountId, Request};

use super::apart::apart;
use super::serve::{answer, answer_together};
use super::window::Slip;
use super::{Answer, Brief, BundleReply, Day, Together};
use crate::{Chance, SharedStore, StoreError};

/// How often a batch is decided again because others came in between.
const AGAIN: u32 = 20;
/// How often it is tried again while the store cannot be reached: for about four seconds in all.
const LATER: u32 = 9;
/// How long the first pause is; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a pause is at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Serves until the window is closed.
pub(super) fn work<S: SharedStore>(mut store: S, day: &Day<'_>) -> Result<(), StoreError> {
    let most = day.limits.batch.max(1);
    let mut open = true;
    // Whether the store could not be reached the last time: callers then wait no longer than it
    // takes to see that it still cannot be.
    let mut away = false;
    // The accounts of whoever waited in vain for what somebody else holds.
    let mut held = Held::new();
    while open {
        let mut first = day.wait();
        open = first.is_some();
        loop {
            let mut batch = Vec::new();
            day.window.take(first.take(), &mut batch, most);
            if batch.is_empty() {
                break;
            }
            for batch in apart(&mut store, batch) {
                let is_held = |slip: &Slip| accounts(slip).any(|id| held.contains(&id));
                let (behind, free) = match held.is_empty() {
                    true => (Vec::new(), batch),
                    false => batch.into_iter().partition(is_held),
                };
                // They come last, and wait hardly at all, so that nobody waits because of them.
                for (batch, hurry) in [(free, false), (behind, true)] {
                    if batch.is_empty() {
                        continue;
                    }
                    day.batches.fetch_add(1, Relaxed);
                    store.hurry(hurry);
                    let failed = serve(&mut store, batch, day, away, &mut held);
                    away = failed.is_some_and(|error| error.chance() == Chance::Later);
                }
            }
        }
    }
    store.close()
}

/// Accounts that could not be had.
type Held = BTreeSet<AccountId>;

/// The accounts that a slip names.
fn accounts(slip: &Slip) -> impl Iterator<Item = AccountId> {
    slip.requests().iter().flat_map(|request| request.command.accounts()).flatten()
}

/// What came of a slip.
enum Came {
    One(Result<Answer, StoreError>),
    Whole(Vec<Result<Answer, StoreError>>),
    Brief(Vec<Result<Brief, StoreError>>),
    Together(Result<Together, StoreError>),
}

/// Serves `batch` and answers it, whatever comes of it. Tells the error that all of it failed with.
fn serve<S: SharedStore>(
    store: &mut S,
    batch: Vec<Slip>,
    day: &Day<'_>,
    away: bool,
    held: &mut Held,
) -> Option<StoreError> {
    let (mut again, mut later) = (0, if away { LATER } else { 0 });
    let error = loop {
        let error = match attempt(store, &batch) {
            Ok(came) => {
                if !held.is_empty() {
                    batch.iter().flat_map(accounts).for_each(|id| _ = held.remove(&id));
                }
                deliver(batch, came, day);
                return None;
            }
            Err(error) => error,
        };
        match error.chance() {
            Chance::Again if again < AGAIN => {
                again += 1;
                // Most often one of two who wanted the same: the other is through by then.
                std::thread::sleep(PAUSE.min(PAUSE * again / 10));
            }
            Chance::Later if later < LATER => {
                std::thread::sleep(LONGEST_PAUSE.min(PAUSE * (1 << later)));
                later += 1;
            }
            _ => break error,
        }
    };
    match error.chance() {
        Chance::Never | Chance::Again | Chance::Held if batch.len() > 1 => {
            one_by_one(store, batch, day, away, held);
            None
        }
        chance => {
            if chance == Chance::Held {
                held.extend(batch.iter().flat_map(accounts));
            }
            fail(batch, &error, day);
            Some(error)
        }
    }
}

/// Serves each of `batch` by itself: one of them is to blame, and the others shall not suffer for
/// it. What somebody holds is waited for once, and not by everyone who needs it.
fn one_by_one<S: SharedStore>(
    store: &mut S,
    batch: Vec<Slip>,
    day: &Day<'_>,
    mut away: bool,
    held: &mut Held,
) {
    let mut in_vain = Held::new();
    let mut why = None;
    for slip in batch {
        let needed: Vec<AccountId> = accounts(&slip).collect();
        let is_in_vain = needed.iter().any(|account| in_vain.contains(account));
        if let Some(error) = why.as_ref().filter(|_| is_in_vain) {
            fail(vec![slip], error, day);
            continue;
        }
        let failed = serve(store, vec![slip], day, away, held);
        away = failed.as_ref().is_some_and(|error| error.chance() == Chance::Later);
        if let Some(error) = failed.filter(|error| error.chance() == Chance::Held) {
            in_vain.extend(needed);
            why = Some(error);
        }
    }
}

/// Answers all of `batch` with `error`.
fn fail(batch: Vec<Slip>, error: &StoreError, day: &Day<'_>) {
    let came = batch.iter().map(|slip| failed(slip, error)).collect();
    deliver(batch, came, day);
}

/// Decides `batch` and commits it. Nothing of it is taken before all of it is durable.
fn attempt<S: SharedStore>(store: &mut S, batch: &[Slip]) -> Result<Vec<Came>, StoreError> {
    let requests: Vec<&Request> = batch.iter().flat_map(Slip::requests).collect();
    store.load(&requests)?;
    let came = batch.iter().map(|slip| decide(store, slip)).collect::<Result<_, _>>()?;
    store.commit(Box::new(|_| ()))?;
    Ok(came)
}

fn decide<S: SharedStore>(store: &mut S, slip: &Slip) -> Result<Came, StoreError> {
    Ok(match slip {
        Slip::One(request, _) => Came::One(Ok(answer(store.book(), request)?)),
        Slip::Bundle(requests, reply) => {
            let answers = requests.iter().map(|request| answer(store.book(), request));
            match reply {
                BundleReply::Whole(_) => {
                    Came::Whole(answers.map(|answer| answer.map(Ok)).collect::<Result<_, _>>()?)
                }
                BundleReply::Brief(_) => Came::Brief(
                    answers
                        .map(|answer| answer.map(|answer| Ok(Brief::from(answer))))
                        .collect::<Result<_, _>>()?,
                ),
            }
        }
        Slip::Together(requests, _) => {
            Came::Together(answer_together(store, requests, |_| Ok(()))?)
        }
    })
}

fn failed(slip: &Slip, error: &StoreError) -> Came {
    let each = slip.requests().len();
    match slip {
        Slip::One(..) => Came::One(Err(error.clone())),
        Slip::Bundle(_, BundleReply::Whole(_)) => Came::Whole(vec![Err(error.clone()); each]),
        Slip::Bundle(_, BundleReply::Brief(_)) => Came::Brief(vec![Err(error.clone()); each]),
        Slip::Together(..) => Came::Together(Err(error.clone())),
    }
}

fn deliver(batch: Vec<Slip>, came: Vec<Came>, day: &Day<'_>) {
    (day.messenger)(Box::new(move || {
        for (slip, came) in batch.into_iter().zip(came) {
            match (slip, came) {
                (Slip::One(_, reply), Came::One(answer)) => reply(answer),
                (Slip::Bundle(_, BundleReply::Whole(tell)), Came::Whole(answers)) => tell(answers),
                (Slip::Bundle(_, BundleReply::Brief(tell)), Came::Brief(answers)) => tell(answers),
                (Slip::Together(_, reply), Came::Together(answer)) => reply(answer),
                _ => unreachable!("what came of a slip is of its kind"),
            }
        }
    }));
}
