//! Deposits, withdrawals and transfers: one debit and one credit of the same amount.

use super::{at_version, bookable, existing, key_use, moment, own};
use crate::{
    Account, AccountId, Amount, Balance, Book, Booked, Command, Direction, Entry, EntryNumber,
    Event, Hash, Kind, Memo, Metadata, Rejection, Request, Timestamp, Transaction, TransactionId,
    chain,
};

pub(super) fn deposit<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Deposit { account, amount, memo, metadata } = &request.command else {
        unreachable!("decide sends only Deposit here");
    };
    let account = own(book, request.caller, *account)?;
    at_version(account, request.expected_version)?;
    bookable(account)?;
    let settlement = settlement(book, account);
    let debit = Side::new(settlement, Direction::Debit, *amount, memo, Some(account))?;
    let credit = Side::new(account, Direction::Credit, *amount, memo, None)?;
    // From here on nothing may fail.
    Ok(booked(book, request, Kind::Deposit, *amount, [debit, credit], metadata))
}

pub(super) fn withdraw<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Withdraw { account, amount, memo, metadata } = &request.command else {
        unreachable!("decide sends only Withdraw here");
    };
    let account = own(book, request.caller, *account)?;
    at_version(account, request.expected_version)?;
    bookable(account)?;
    funded(account, *amount)?;
    let settlement = settlement(book, account);
    let debit = Side::new(account, Direction::Debit, *amount, memo, None)?;
    let credit = Side::new(settlement, Direction::Credit, *amount, memo, Some(account))?;
    // From here on nothing may fail.
    Ok(booked(book, request, Kind::Withdrawal, *amount, [debit, credit], metadata))
}

pub(super) fn transfer<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Transfer { from, to, amount, memo, to_memo, metadata } = &request.command else {
        unreachable!("decide sends only Transfer here");
    };
    let from = own(book, request.caller, *from)?;
    let to = existing(book, *to)?;
    if to.opened().is_settlement() {
        return Err(Rejection::AccountNotFound { account: to.id() });
    }
    at_version(from, request.expected_version)?;
    if from.id() == to.id() {
        return Err(Rejection::SameAccount);
    }
    if from.currency() != to.currency() {
        return Err(Rejection::CurrencyMismatch { from: from.currency(), to: to.currency() });
    }
    bookable(from)?;
    bookable(to)?;
    funded(from, *amount)?;
    let to_memo = to_memo.as_ref().unwrap_or(memo);
    let debit = Side::new(from, Direction::Debit, *amount, memo, Some(to))?;
    let credit = Side::new(to, Direction::Credit, *amount, to_memo, Some(from))?;
    // From here on nothing may fail.
    Ok(booked(book, request, Kind::Transfer, *amount, [debit, credit], metadata))
}

/// The settlement account for `account`, which was opened with the first one of its currency.
fn settlement<'a, B: Book>(book: &'a B, account: &Account) -> &'a Account {
    let settlement = book.settlement(account.currency(), account.owner());
    book.account(settlement).expect("opened with the currency's first account")
}

fn funded(account: &Account, requested: Amount) -> Result<(), Rejection> {
    let available = account.available();
    if available.minor() < requested.minor() {
        return Err(Rejection::InsufficientFunds { available, requested });
    }
    Ok(())
}

/// One side of a booking, with every figure checked but no time and hash yet.
struct Side<'a> {
    account: &'a Account,
    direction: Direction,
    balance: Balance,
    credit_count: u64,
    credit_total: Balance,
    memo: &'a Memo,
    counterparty: Option<AccountId>,
}

impl<'a> Side<'a> {
    fn new(
        account: &'a Account,
        direction: Direction,
        amount: Amount,
        memo: &'a Memo,
        counterparty: Option<&Account>,
    ) -> Result<Self, Rejection> {
        let at = account.standing();
        let overflow = Rejection::BalanceOverflow;
        let (credit_total, debit_total, credits) = match direction {
            Direction::Credit => (at.credit_total.plus(amount), Some(at.debit_total), 1),
            Direction::Debit => (Some(at.credit_total), at.debit_total.plus(amount), 0),
        };
        let (Some(credit_total), Some(debit_total)) = (credit_total, debit_total) else {
            return Err(overflow);
        };
        let balance: Balance = credit_total.checked_sub(debit_total).ok_or(overflow)?;
        let credit_count = at.credit_count.saturating_add(credits);
        let counterparty = counterparty.map(Account::id);
        Ok(Self { account, direction, balance, credit_count, credit_total, memo, counterparty })
    }

    /// The entry, chained to the account's newest one.
    fn entry(&self, id: TransactionId, kind: Kind, booked_at: Timestamp, amount: Amount) -> Entry {
        let mut entry = Entry {
            account: self.account.id(),
            number: EntryNumber::after(self.account.entry_count()),
            direction: self.direction,
            amount,
            balance: self.balance,
            memo: self.memo.clone(),
            counterparty: self.counterparty,
            credit_count: self.credit_count,
            credit_total: self.credit_total,
            hash: Hash::default(),
        };
        entry.hash = chain::link(self.account.head_hash(), id, kind, booked_at, &entry);
        entry
    }
}

fn booked<B: Book>(
    book: &B,
    request: &Request,
    kind: Kind,
    amount: Amount,
    [debit, credit]: [Side<'_>; 2],
    metadata: &Metadata,
) -> Event {
    let booked_at = moment(book, request, &[debit.account, credit.account]);
    let id = TransactionId::new(booked_at, request.nonce);
    let transaction = Transaction {
        id,
        kind,
        amount,
        currency: debit.account.currency(),
        memo: if kind == Kind::Deposit { credit.memo.clone() } else { debit.memo.clone() },
        metadata: metadata.clone(),
        booked_at,
        entries: vec![
            debit.entry(id, kind, booked_at, amount),
            credit.entry(id, kind, booked_at, amount),
        ],
    };
    assert!(transaction.is_balanced(), "entries sum to zero");
    Event::Booked(Booked { transaction, key: key_use(request) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Standing;
    use crate::test_ledger::{
        ALICE, BOB, START, TestLedger, amount, deposit, memo, request, transfer, withdraw,
    };
    use crate::{Currency, Decision};

    /// Puts the account where its standing is `change`d to.
    fn put(ledger: &mut TestLedger, id: AccountId, change: impl FnOnce(&mut Standing)) {
        let account = ledger.book_account(id);
        let mut standing = account.standing().clone();
        change(&mut standing);
        *account = Account::at(account.opened().clone(), standing).expect("a sound standing");
    }

    fn insufficient(available: i128, requested: i128) -> Rejection {
        let (available, requested) = (Balance::new(available), amount(requested));
        Rejection::InsufficientFunds { available, requested }
    }

    #[test]
    fn a_credit_beyond_128_bits_is_refused_and_changes_nothing() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        let top = Balance::new(i128::MAX - 5);
        put(&mut ledger, b, |at| {
            (at.credit_total, at.credit_count, at.entry_count, at.version) = (top, 1, 1, 2);
        });
        let before = ledger.account(b).clone();
        assert_eq!(ledger.refused(BOB, deposit(b, 6)), Rejection::BalanceOverflow);
        assert_eq!(ledger.refused(ALICE, transfer(a, b, 6)), Rejection::BalanceOverflow);
        assert_eq!(*ledger.account(b), before);
        ledger.ok(ALICE, transfer(a, b, 5));
        assert_eq!(ledger.balance(b), i128::MAX);
    }

    #[test]
    fn a_total_beyond_128_bits_is_refused_though_the_balance_would_fit() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        put(&mut ledger, a, |at| {
            at.credit_total = Balance::new(i128::MAX - 5);
            at.debit_total = Balance::new(i128::MAX - 105);
            (at.credit_count, at.entry_count, at.version) = (1, 2, 3);
        });
        assert_eq!(ledger.balance(a), 100);
        assert_eq!(ledger.refused(ALICE, deposit(a, 6)), Rejection::BalanceOverflow);
        put(&mut ledger, a, |at| {
            at.credit_total = Balance::new(i128::MAX);
            at.debit_total = Balance::new(i128::MAX - 5);
            at.overdraft_limit = Balance::new(100);
        });
        assert_eq!(ledger.refused(ALICE, withdraw(a, 6)), Rejection::BalanceOverflow);
    }

    #[test]
    fn a_settlement_account_at_its_end_refuses_deposits() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        put(&mut ledger, AccountId::settlement(Currency::KRW, 0), |at| {
            at.debit_total = Balance::new(i128::MAX);
        });
        assert_eq!(ledger.refused(ALICE, deposit(a, 1)), Rejection::BalanceOverflow);
        ledger.ok(ALICE, withdraw(a, 1));
    }

    #[test]
    fn an_overdraft_goes_to_its_limit_and_no_further() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        put(&mut ledger, a, |at| at.overdraft_limit = Balance::new(500));
        assert_eq!(ledger.refused(ALICE, withdraw(a, 1501)), insufficient(1500, 1501));
        ledger.ok(ALICE, transfer(a, b, 1500));
        assert_eq!(ledger.balance(a), -500);
        assert_eq!(ledger.refused(ALICE, withdraw(a, 1)), insufficient(0, 1));
        // A limit that was lowered leaves less than nothing.
        put(&mut ledger, a, |at| at.overdraft_limit = Balance::new(200));
        assert_eq!(ledger.refused(ALICE, withdraw(a, 1)), insufficient(-300, 1));
        ledger.ok(ALICE, deposit(a, 301));
        ledger.ok(ALICE, withdraw(a, 1));
    }

    #[test]
    fn what_is_held_is_not_available() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        put(&mut ledger, a, |at| at.held = Balance::new(400));
        assert_eq!(ledger.refused(ALICE, withdraw(a, 601)), insufficient(600, 601));
        assert_eq!(ledger.refused(ALICE, transfer(a, b, 601)), insufficient(600, 601));
        ledger.ok(ALICE, withdraw(a, 600));
        assert_eq!(ledger.balance(a), 400);
    }

    #[test]
    fn a_limit_near_the_end_of_128_bits_does_not_overflow() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        put(&mut ledger, a, |at| at.overdraft_limit = Balance::MAX);
        assert_eq!(ledger.account(a).available(), Balance::MAX);
        ledger.ok(ALICE, withdraw(a, 1001));
        assert_eq!(ledger.balance(a), -1);
    }

    #[test]
    fn a_deposit_is_the_settlement_account_s_debit_and_the_customer_s_credit() {
        let (mut ledger, a, _) = TestLedger::with_two_accounts();
        let Event::Booked(booked) = ledger.ok(ALICE, deposit(a, 5)) else { panic!("booked") };
        let transaction = booked.transaction;
        let settlement = AccountId::settlement(Currency::KRW, 0);
        let sides: Vec<_> = transaction
            .entries
            .iter()
            .map(|entry| {
                (entry.account, entry.direction, entry.balance.minor(), entry.counterparty)
            })
            .collect();
        let expected =
            [(settlement, Direction::Debit, -1005, Some(a)), (a, Direction::Credit, 1005, None)];
        assert_eq!(sides, expected);
        assert_eq!((transaction.amount, transaction.memo), (amount(5), memo("급여")));
        assert_eq!(transaction.id, TransactionId::new(transaction.booked_at, 7));
    }

    #[test]
    fn a_booking_is_later_than_the_request_and_than_all_that_happened() {
        let (mut ledger, a, b) = TestLedger::with_two_accounts();
        let newest = ledger.events.last().expect("a deposit").at();
        let late = Request { at: newest.next().next(), ..request(ALICE, transfer(a, b, 1)) };
        let Decision::New(event) = ledger.request(&late) else { panic!("booked") };
        assert_eq!(event.at(), late.at);
        let early = Request { at: START, ..request(ALICE, transfer(a, b, 1)) };
        let Decision::New(event) = ledger.request(&early) else { panic!("booked") };
        assert_eq!(event.at(), late.at.next());
        // An account that a store brought back may be ahead of the book.
        let ahead = late.at.next().next().next();
        put(&mut ledger, b, |at| at.last_booked_at = ahead);
        assert_eq!(ledger.ok(ALICE, transfer(a, b, 1)).at(), ahead.next());
    }
}
