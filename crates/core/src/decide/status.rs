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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Standing;
    use crate::test_ledger::{ALICE, TestLedger, request, withdraw};
    use crate::{Account, AccountId, Decision};

    fn to(account: AccountId, status: Status) -> Command {
        Command::ChangeStatus { account, status }
    }

    #[test]
    fn an_account_with_a_hold_is_not_closed_though_its_balance_is_zero() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        ledger.ok(ALICE, withdraw(a, 1000));
        let account = ledger.book_account(a);
        let standing = Standing { held: Balance::new(1), ..account.standing().clone() };
        *account = Account::at(account.opened().clone(), standing).expect("a sound standing");
        let not_empty = Rejection::AccountNotEmpty { balance: Balance::ZERO };
        assert_eq!(ledger.refused(ALICE, to(a, Status::Closed)), not_empty);
    }

    #[test]
    fn a_change_of_status_counts_in_the_version_and_books_nothing() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        let before = ledger.account(a).standing().clone();
        ledger.ok(ALICE, to(a, Status::Frozen));
        let frozen = Standing { status: Status::Frozen, version: 3, ..before };
        assert_eq!(*ledger.account(a).standing(), frozen);
        let thaw = Request { expected_version: Some(2), ..request(ALICE, to(a, Status::Open)) };
        let mismatch = Rejection::VersionMismatch { expected: 2, actual: 3 };
        assert_eq!(ledger.request(&thaw), Decision::Refused(mismatch));
    }
}
