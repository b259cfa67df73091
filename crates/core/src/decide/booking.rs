//! Deposits, withdrawals and transfers: one debit and one credit of the same amount.

use super::{at_version, bookable, existing, key_use, moment, own};
use crate::{
    Account, Amount, Balance, Book, Booked, Command, Currency, Direction, Entry, EntryNumber,
    Event, Hash, Kind, Memo, Metadata, Rejection, Request, Transaction, TransactionId, chain,
};

pub(super) fn deposit<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Deposit { account, amount, memo, metadata } = &request.command else {
        unreachable!("decide sends only Deposit here");
    };
    let account = own(book, request.caller, *account)?;
    at_version(account, request.expected_version)?;
    bookable(account)?;
    let settlement = settlement(book, account.currency());
    let debit = Side::new(settlement, Direction::Debit, *amount, memo, Some(account))?;
    let credit = Side::new(account, Direction::Credit, *amount, memo, None)?;
    // From here on nothing may fail.
    Ok(booked(book, request, Kind::Deposit, debit, credit, metadata))
}

pub(super) fn withdraw<B: Book>(book: &B, request: &Request) -> Result<Event, Rejection> {
    let Command::Withdraw { account, amount, memo, metadata } = &request.command else {
        unreachable!("decide sends only Withdraw here");
    };
    let account = own(book, request.caller, *account)?;
    at_version(account, request.expected_version)?;
    bookable(account)?;
    funded(account, *amount)?;
    let settlement = settlement(book, account.currency());
    let debit = Side::new(account, Direction::Debit, *amount, memo, None)?;
    let credit = Side::new(settlement, Direction::Credit, *amount, memo, Some(account))?;
    // From here on nothing may fail.
    Ok(booked(book, request, Kind::Withdrawal, debit, credit, metadata))
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
    Ok(booked(book, request, Kind::Transfer, debit, credit, metadata))
}

/// The settlement account of `currency`, which was opened with the first account of it.
fn settlement<B: Book>(book: &B, currency: Currency) -> &Account {
    book.account(book.settlement(currency)).expect("opened with the currency's first account")
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
    entry: Entry,
}

impl<'a> Side<'a> {
    fn new(
        account: &'a Account,
        direction: Direction,
        amount: Amount,
        memo: &Memo,
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
        let entry = Entry {
            account: account.id(),
            number: EntryNumber::after(at.entry_count),
            direction,
            amount,
            balance,
            memo: memo.clone(),
            counterparty: counterparty.map(Account::id),
            credit_count: at.credit_count.saturating_add(credits),
            credit_total,
            hash: Hash::default(),
        };
        Ok(Self { account, entry })
    }
}

fn booked<B: Book>(
    book: &B,
    request: &Request,
    kind: Kind,
    debit: Side<'_>,
    credit: Side<'_>,
    metadata: &Metadata,
) -> Event {
    let booked_at = moment(book, request, &[debit.account, credit.account]);
    let id = TransactionId::new(booked_at, request.nonce);
    let (amount, currency) = (debit.entry.amount, debit.account.currency());
    let memo = match kind {
        Kind::Deposit => credit.entry.memo.clone(),
        _ => debit.entry.memo.clone(),
    };
    let chained = |side: Side<'_>| {
        let before = side.account.head_hash();
        let hash = chain::link(before, id, kind, booked_at, &side.entry);
        Entry { hash, ..side.entry }
    };
    let entries = vec![chained(debit), chained(credit)];
    let metadata = metadata.clone();
    let transaction =
        Transaction { id, kind, amount, currency, memo, metadata, booked_at, entries };
    assert!(transaction.is_balanced(), "entries sum to zero");
    Event::Booked(Booked { transaction, key: key_use(request) })
}
