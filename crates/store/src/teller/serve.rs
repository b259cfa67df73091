//! A batch at the teller's hands: decided slip by slip, made durable, and then answered.

use tongjang_core::apply::apply;
use tongjang_core::{Book, Decision, Event, Request, Verdict, decide, decide_together};

use super::{Answer, Brief, BundleReply, Messenger, Reply, Slip, Tell, Together, TogetherReply};
use crate::{Release, Room, Store, StoreError};

/// The store is told of so many requests at once before they are decided: what they touch fits the
/// cache next to a core.
const FEW: usize = 128;

/// Called with whether a commit succeeded.
type Settled = Box<dyn FnOnce(&Result<(), StoreError>) + Send>;

/// An answer that waits for its commit.
enum Delivery {
    One(Reply, Result<Answer, StoreError>),
    Bundle(Settled),
    Together(TogetherReply, Result<Together, StoreError>),
}

/// Decides a batch and has it made durable, in several commits if one has no room for it or it
/// has more than `most` requests.
///
/// On an error the replies are dropped: what was not committed has an unknown outcome.
pub(super) fn serve<S: Store>(
    store: &mut S,
    batch: Vec<Slip>,
    most: usize,
    messenger: &Messenger,
) -> Result<(), StoreError> {
    let requests: Vec<&Request> = batch.iter().flat_map(Slip::requests).collect();
    store.load(&requests)?;
    drop(requests);
    let deliveries = Vec::with_capacity(batch.len());
    let mut desk = Desk { store, messenger, most, decided: 0, deliveries };
    let mut few = Vec::new();
    for slip in batch {
        match slip {
            Slip::One(request, reply) => {
                few.push((request, reply));
                if few.len() == FEW {
                    desk.ones(&mut few)?;
                }
            }
            Slip::Bundle(requests, reply) => {
                desk.ones(&mut few)?;
                desk.bundle(&requests, reply)?;
            }
            Slip::Together(requests, reply) => {
                desk.ones(&mut few)?;
                desk.together(&requests, reply)?;
            }
        }
    }
    desk.ones(&mut few)?;
    desk.commit()
}

struct Desk<'a, S> {
    store: &'a mut S,
    messenger: &'a Messenger,
    most: usize,
    /// How many requests were decided since the last commit.
    decided: usize,
    /// What the next commit answers.
    deliveries: Vec<Delivery>,
}

impl<S: Store> Desk<'_, S> {
    fn ones(&mut self, few: &mut Vec<(Request, Reply)>) -> Result<(), StoreError> {
        self.store.warm(&few.iter().map(|(request, _)| request).collect::<Vec<_>>());
        for (request, reply) in few.drain(..) {
            let answer = self.one(&request)?;
            self.deliveries.push(Delivery::One(reply, answer));
        }
        Ok(())
    }

    /// The bundle is answered with the commit of its last request.
    fn bundle(&mut self, requests: &[Request], reply: BundleReply) -> Result<(), StoreError> {
        let delivery = match reply {
            BundleReply::Whole(reply) => delivery(reply, self.each(requests, |answer| answer)?),
            BundleReply::Brief(reply) => delivery(reply, self.each(requests, Brief::from)?),
        };
        self.deliveries.push(delivery);
        Ok(())
    }

    fn each<T>(
        &mut self,
        requests: &[Request],
        keep: impl Fn(Answer) -> T,
    ) -> Result<Vec<Result<T, StoreError>>, StoreError> {
        let mut answers = Vec::with_capacity(requests.len());
        for few in requests.chunks(FEW) {
            self.store.warm(&few.iter().collect::<Vec<_>>());
            for request in few {
                answers.push(self.one(request)?.map(&keep));
            }
        }
        Ok(answers)
    }

    fn together(&mut self, requests: &[Request], reply: TogetherReply) -> Result<(), StoreError> {
        let Self { messenger, deliveries, decided, .. } = self;
        let commit = |store: &mut S| {
            *decided = 0;
            store.commit(release(std::mem::take(deliveries), messenger))
        };
        let answer = answer_together(self.store, requests, commit)?;
        self.decided += requests.len();
        self.deliveries.push(Delivery::Together(reply, answer));
        Ok(())
    }

    /// What comes of `request`. What cannot be decided, as a record cannot be read, changed
    /// nothing; it fails alone.
    fn one(&mut self, request: &Request) -> Result<Result<Answer, StoreError>, StoreError> {
        if self.store.is_full() || self.decided >= self.most {
            self.commit()?;
        }
        self.decided += 1;
        Ok(answer(self.store.book(), request))
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.decided = 0;
        self.store.commit(release(std::mem::take(&mut self.deliveries), self.messenger))
    }
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

/// Decides `requests` together and folds what comes of all of them, or nothing, into the store's
/// book, so that one commit holds all of it. `commit` is called first, if what the batch did so
/// far leaves too little room.
///
/// # Errors
/// The outer one is the store's, after which it is poisoned. The inner one is what the book could
/// not look up; nothing is changed then.
pub fn answer_together<S: Store>(
    store: &mut S,
    requests: &[Request],
    mut commit: impl FnMut(&mut S) -> Result<(), StoreError>,
) -> Result<Result<Together, StoreError>, StoreError> {
    let tried = match decide_together(store.book(), requests) {
        Err(error) => return Ok(Err(error)),
        Ok(Verdict::None { at, rejection, replayed }) => {
            return Ok(Ok(Together::None { at, rejection, replayed }));
        }
        Ok(Verdict::All(tried)) => tried,
    };
    loop {
        match store.room_for(&tried)? {
            Room::Here => break,
            Room::AfterCommit => commit(store)?,
            Room::Never => return Ok(Ok(Together::TooLarge)),
        }
    }
    let book = store.book();
    let applied = tried.into_iter().map(|tried| {
        if !tried.replayed {
            apply(book, &tried.event);
        }
        Answer { outcome: Ok(tried.event), replayed: tried.replayed }
    });
    Ok(Ok(Together::All(applied.collect())))
}

fn release(deliveries: Vec<Delivery>, messenger: &Messenger) -> Release {
    let messenger = messenger.clone();
    Box::new(move |durable| {
        messenger(Box::new(move || {
            for delivery in deliveries {
                deliver(delivery, &durable);
            }
        }));
    })
}

fn deliver(delivery: Delivery, durable: &Result<(), StoreError>) {
    match (delivery, durable) {
        (Delivery::One(reply, answer), _) => reply(durable.clone().and(answer)),
        (Delivery::Together(reply, answer), _) => reply(durable.clone().and(answer)),
        (Delivery::Bundle(tell), durable) => tell(durable),
    }
}

/// The answers of a bundle, each of which is an error if their commit fails.
fn delivery<T: Send + 'static>(reply: Tell<T>, answers: Vec<Result<T, StoreError>>) -> Delivery {
    Delivery::Bundle(Box::new(move |durable| match durable {
        Ok(()) => reply(answers),
        Err(error) => reply(answers.iter().map(|_| Err(error.clone())).collect()),
    }))
}
