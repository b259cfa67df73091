//! Freezing, opening again and closing an account.

use super::{at_version, key_use, moment, own};
use crate::{Balance, Book, Command, Event, Rejection, Request, Status, StatusChanged};

pub(super) fn change<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::ChangeStatus { account, status } = &request.command else {
        unreachable!("decide sends only ChangeStatus here");
    };
    let account = own(book, request.caller, *account)?;
    at_version(account, request.expected_version)?;
    if account.status() == Status::Closed {
        return Err(Rejection::AccountClosed { account: account.id() });
    }
    let empty = account.balance() == Balance::ZERO && account.standing().held == Balance::ZERO;
    if *status == Status::Closed && !empty {
        return Err(Rejection::AccountNotEmpty { balance: account.balance() });
    }
    // From here on nothing may fail.
    Ok(Event::StatusChanged(StatusChanged {
        account: account.id(),
        status: *status,
        at: moment(book, request, &[account]),
        key: key_use(request),
    }))
}
