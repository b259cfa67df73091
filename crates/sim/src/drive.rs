//! Drives a store without a teller's thread: one batch after the other, each waited for, so that
//! the same requests lead to the same calls of the disk.

use std::sync::mpsc;

use tongjang_core::Request;
use tongjang_store::teller::{answer, answer_together};
use tongjang_store::{Answer, Store, StoreError, Together};

/// Decides `requests` as one batch, in several commits where one has no room for it, and adds the
/// answers of each commit to `answered` when it is durable.
///
/// # Errors
/// What the store failed at; nothing is answered after that.
pub fn serve(
    store: &mut impl Store,
    requests: &[Request],
    answered: &mut Vec<Answer>,
) -> Result<(), StoreError> {
    store.load(&requests.iter().collect::<Vec<_>>())?;
    let mut answers = Vec::new();
    for request in requests {
        if store.is_full() {
            commit(store, &mut answers, answered)?;
        }
        answers.push(answer(store.book(), request)?);
    }
    commit(store, &mut answers, answered)
}

/// Decides `requests` as one batch whose requests are booked together or not at all, and gives
/// what came of it when it is durable.
///
/// # Errors
/// What the store failed at.
pub fn serve_together(
    store: &mut impl Store,
    requests: &[Request],
) -> Result<Together, StoreError> {
    store.load(&requests.iter().collect::<Vec<_>>())?;
    let first = |store: &mut _| commit(store, &mut Vec::new(), &mut Vec::new());
    let together = answer_together(store, requests, first)??;
    commit(store, &mut Vec::new(), &mut Vec::new())?;
    Ok(together)
}

fn commit(
    store: &mut impl Store,
    answers: &mut Vec<Answer>,
    answered: &mut Vec<Answer>,
) -> Result<(), StoreError> {
    let (tell, told) = mpsc::channel();
    let batch = std::mem::take(answers);
    let begun = store.commit(Box::new(move |durable: Result<(), StoreError>| {
        // Who asked may be gone.
        let _ = tell.send(durable.map(|()| batch));
    }));
    let gone = || Err(StoreError::Poisoned { cause: "the batch was dropped".into() });
    // What was released counts as answered, even if the store says that it takes nothing more.
    answered.extend(told.recv().unwrap_or_else(|_| gone())?);
    begun
}
