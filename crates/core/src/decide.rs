//! `decide(book, request) → decision`: the rules of the ledger, a file a family of commands.
//!
//! Each rule is a flat list of guards, in the order of [`Rejection`], then a line after which
//! nothing may fail, then the event. The book is only looked at; `apply` changes it.

mod booking;
mod open;
mod status;

use crate::{
    Account, AccountId, Book, Caller, Command, Event, KeyUse, Refused, Rejection, Request, Status,
    Timestamp,
};

/// What a request leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Something new, to be applied and made durable before it is answered.
    New(Event),
    /// The outcome that the request's key already stands for.
    Replayed(Event),
    /// A refusal that leaves no trace.
    Refused(Rejection),
}

/// Decides `request` against `book`.
///
/// # Errors
/// Only what [`Book::answered`] could not look up.
pub fn decide<B: Book>(book: &B, request: &Request) -> Result<Decision, B::Error> {
    if let Some((key, fingerprint)) = &request.key
        && let Some(earlier) = book.answered(request.caller.user, key)?
    {
        let same = earlier.key().is_some_and(|used| used.fingerprint == *fingerprint);
        if same {
            return Ok(Decision::Replayed(earlier));
        }
        let before = earlier.command();
        let fields = before.map(|before| before.differing_fields(&request.command));
        let fields = fields.unwrap_or_else(|| vec!["operation"]);
        return Ok(Decision::Refused(Rejection::IdempotencyKeyReused { fields }));
    }
    Ok(match rule(book, request) {
        Ok(event) => Decision::New(event),
        Err(rejection) => refusal(book, request, rejection),
    })
}

fn rule<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    match &request.command {
        Command::Open { .. } => open::open(book, request),
        Command::Deposit { .. } => booking::deposit(book, request),
        Command::Withdraw { .. } => booking::withdraw(book, request),
        Command::Transfer { .. } => booking::transfer(book, request),
        Command::ChangeStatus { .. } => status::change(book, request),
    }
}

fn refusal<B: Book>(book: &B, request: &Request, rejection: Rejection) -> Decision {
    match key_use(request) {
        Some(key) if rejection.is_business() => Decision::New(Event::Refused(Refused {
            rejection,
            command: request.command.clone(),
            key,
            at: request.at.max(book.earliest()),
        })),
        _ => Decision::Refused(rejection),
    }
}

fn key_use(request: &Request) -> Option<KeyUse> {
    request.key.as_ref().map(|(key, fingerprint)| KeyUse {
        scope: request.caller.user,
        key: key.clone(),
        fingerprint: *fingerprint,
    })
}

/// The account `id`, if there is one.
fn existing<B: Book>(book: &B, id: AccountId) -> Result<&Account, Rejection> {
    book.account(id).ok_or(Rejection::AccountNotFound { account: id })
}

/// The account `id`, if the caller may act for it.
fn own<B: Book>(book: &B, caller: Caller, id: AccountId) -> Result<&Account, Rejection> {
    let account = existing(book, id)?;
    let allowed =
        !account.opened().is_settlement() && (caller.any_account || account.owner() == caller.user);
    if allowed { Ok(account) } else { Err(Rejection::NotAccountOwner) }
}

fn at_version(account: &Account, expected: Option<u64>) -> Result<(), Rejection> {
    match expected {
        Some(expected) if expected != account.version() => {
            Err(Rejection::VersionMismatch { expected, actual: account.version() })
        }
        _ => Ok(()),
    }
}

fn bookable(account: &Account) -> Result<(), Rejection> {
    match account.status() {
        Status::Open => Ok(()),
        Status::Frozen => Err(Rejection::AccountFrozen { account: account.id() }),
        Status::Closed => Err(Rejection::AccountClosed { account: account.id() }),
    }
}

/// The time of an event on these accounts: never before the request, and later than anything
/// that happened on them.
fn moment<B: Book>(book: &B, request: &Request, accounts: &[&Account]) -> Timestamp {
    accounts
        .iter()
        .map(|account| account.standing().last_booked_at.next())
        .fold(request.at.max(book.earliest()), Timestamp::max)
}
