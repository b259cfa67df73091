//! Opening an account.

use std::sync::Arc;

use super::{key_use, moment};
use crate::{
    AccountId, Book, Command, Event, Opened, Opening, Rejection, Request, Timestamp, UserId,
};

pub(super) fn open<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Open { owner, currency, bank, number, number_made } = &request.command else {
        unreachable!("decide sends only Open here");
    };
    let allowed =
        *owner != UserId::LEDGER && (request.caller.any_account || *owner == request.caller.user);
    if !allowed {
        return Err(Rejection::NotAccountOwner);
    }
    if book.account_by_number(bank, number).is_some() {
        return Err(Rejection::AccountNumberTaken);
    }
    // From here on nothing may fail.
    let opened_at = moment(book, request, &[]);
    let settlement = book.settlement(*currency);
    let settlement = book
        .account(settlement)
        .is_none()
        .then(|| Arc::new(Opened::settlement(settlement, *currency, opened_at)));
    let account = Opened {
        id: free_id(book, opened_at, request.nonce),
        owner: *owner,
        currency: *currency,
        place: Some((bank.clone(), number.clone())),
        opened_at,
    };
    Ok(Event::Opened(Opening {
        account: Arc::new(account),
        settlement,
        number_made: *number_made,
        key: key_use(request),
    }))
}

/// The id for this time and nonce; should it be taken, the next one.
fn free_id<B: Book>(book: &B, at: Timestamp, nonce: u64) -> AccountId {
    let mut nonce = nonce;
    // The ids of settlement accounts have the time zero.
    let at = at.max(Timestamp::EPOCH.next());
    loop {
        let id = AccountId::new(at, nonce);
        if book.account(id).is_none() {
            return id;
        }
        nonce = nonce.wrapping_add(1);
    }
}
