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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_ledger::{ALICE, BOB, TestLedger, deposit, keyed, request, transfer, withdraw};
    use crate::{Currency, UserId};

    #[test]
    fn a_key_is_looked_up_before_anything_else_is_asked() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        let first = Request { expected_version: Some(2), ..keyed(ALICE, "k", withdraw(a, 1)) };
        assert!(matches!(ledger.request(&first), Decision::New(_)));
        // The version has moved on, and still the answer is the one given before.
        let Decision::Replayed(again) = ledger.request(&first) else { panic!("a replay") };
        assert_eq!(Some(&again), ledger.events.last());

        let other = keyed(ALICE, "k", transfer(b, a, 1));
        let reused = Rejection::IdempotencyKeyReused { fields: vec!["operation"] };
        assert_eq!(ledger.request(&other), Decision::Refused(reused));
    }

    #[test]
    fn a_refusal_is_kept_only_under_a_key_and_only_if_it_is_of_the_business() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        let before = ledger.events.len();
        assert!(matches!(ledger.ask(ALICE, withdraw(a, 1001)), Decision::Refused(_)));
        assert!(matches!(ledger.request(&keyed(ALICE, "k", withdraw(b, 1))), Decision::Refused(_)));
        assert_eq!(ledger.events.len(), before);

        let kept = ledger.request(&keyed(ALICE, "k", withdraw(a, 1001)));
        let Decision::New(Event::Refused(refused)) = kept else { panic!("kept: {kept:?}") };
        assert_eq!(refused.command, withdraw(a, 1001));
        assert_eq!(refused.key.scope, ALICE);
        assert!(refused.at > ledger.events[before - 1].at());
    }

    #[test]
    fn nobody_touches_a_settlement_account_not_even_an_operator() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        let settlement = AccountId::settlement(Currency::KRW, 0);
        assert_eq!(ledger.balance(settlement), -1000);
        let freeze = Command::ChangeStatus { account: settlement, status: Status::Frozen };
        for caller in [Caller::operator(BOB), Caller::owner(UserId::LEDGER)] {
            for command in [
                deposit(settlement, 1),
                withdraw(settlement, 1),
                transfer(settlement, a, 1),
                freeze.clone(),
            ] {
                let asked = Request { caller, ..request(BOB, command) };
                let refused = Decision::Refused(Rejection::NotAccountOwner);
                assert_eq!(ledger.request(&asked), refused, "{asked:?}");
            }
        }
        // Who pays into one is told that there is none.
        let hidden = Rejection::AccountNotFound { account: settlement };
        assert_eq!(ledger.refused(ALICE, transfer(a, settlement, 1)), hidden);
    }
}
