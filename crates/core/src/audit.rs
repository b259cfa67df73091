//! Checks any sequence of events against any balances: what `tongjang verify` and the tests run.
//!
//! Every figure is worked out again here, from the amounts alone and without the code that booked
//! them (`decide`, `apply`, `Account`), so that a mistake there cannot hide itself. Only the hash
//! function is shared.

mod fault;
mod passbook;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

pub use fault::{Fault, What};
use passbook::Passbook;

use crate::{
    Account, AccountId, Balance, Booked, Currency, Direction, Entry, Event, Fingerprint,
    IdempotencyKey, KeyUse, Kind, Opened, Opening, Status, StatusChanged, Timestamp, Transaction,
    UserId,
};
use sha2::{Digest, Sha256};

/// An audit under way. Show it every event in order, then all accounts.
///
/// It needs about 200 bytes an account and 20 to 40 bytes an idempotency key.
#[derive(Debug)]
pub struct Audit {
    passbooks: HashMap<AccountId, Passbook>,
    numbers: HashMap<u64, AccountId>,
    keys: Option<HashSet<u128>>,
    one_order: bool,
    copied: u64,
    last: Option<Timestamp>,
    transactions: BTreeMap<Currency, u64>,
    events: u64,
}

/// What an audit without a fault has seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditSummary {
    /// How many events.
    pub events: u64,
    /// How many accounts, settlement accounts too.
    pub accounts: u64,
    /// How many transactions.
    pub transactions: u64,
    /// How many entries.
    pub entries: u64,
    /// Each currency, in the order of their codes.
    pub currencies: Vec<CurrencySummary>,
}

/// What an audit has seen of one currency. The two balances sum to zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CurrencySummary {
    /// The currency.
    pub currency: Currency,
    /// How many customers' accounts.
    pub accounts: u64,
    /// How many transactions.
    pub transactions: u64,
    /// The sum of the customers' balances.
    pub customer_balance: Balance,
    /// The balance of the settlement accounts.
    pub settlement_balance: Balance,
}

impl Default for Audit {
    fn default() -> Self {
        Self::new()
    }
}

impl Audit {
    /// An audit that begins with the first event of a ledger.
    pub fn new() -> Self {
        Self {
            passbooks: HashMap::new(),
            numbers: HashMap::new(),
            keys: Some(HashSet::new()),
            one_order: true,
            copied: 0,
            last: None,
            transactions: BTreeMap::new(),
            events: 0,
        }
    }

    /// Lets times of different accounts overlap: a ledger with several tellers orders its events
    /// only along each account.
    #[must_use]
    pub fn ordered_by_account(mut self) -> Self {
        self.one_order = false;
        self
    }

    /// Lets the first `events` events be at the same time as the one before them: a copy of a
    /// ledger with several tellers has all in one order, and two of them may share a microsecond.
    #[must_use]
    pub fn copied(mut self, events: u64) -> Self {
        self.copied = events;
        self
    }

    /// Does not look for a key that stands for two events, which spares the memory for the keys.
    #[must_use]
    pub fn without_keys(mut self) -> Self {
        self.keys = None;
        self
    }

    /// Checks the next event.
    ///
    /// # Errors
    /// The first fault in it. The audit is over then: what it would say of later events or of
    /// accounts means nothing.
    pub fn check(&mut self, event: &Event) -> Result<(), Fault> {
        self.events = self.events.saturating_add(1);
        let checked = self.time(event.at()).and_then(|()| self.key(event));
        let checked = checked.map_err(Fault::from).and_then(|()| match event {
            Event::Opened(opening) => self.opening(opening),
            Event::Booked(booked) => self.booking(booked),
            Event::StatusChanged(change) => self.status(change),
            Event::Refused(refused) if refused.rejection.is_business() => Ok(()),
            Event::Refused(refused) => Err(What::KeptRefusal(refused.rejection.code()).into()),
        });
        checked.map_err(|fault| Fault { event: Some(self.events), ..fault })
    }

    /// Compares what the events led to with the balances that were kept apart from them, and sums
    /// up every currency. `accounts` are all accounts of the ledger, in any order.
    ///
    /// # Errors
    /// The first fault: an account that differs, is missing, or should not be there, or a currency
    /// that does not sum to zero.
    pub fn finish<'a>(
        mut self,
        accounts: impl Iterator<Item = &'a Account>,
    ) -> Result<AuditSummary, Fault> {
        let mut summary = AuditSummary { events: self.events, ..AuditSummary::default() };
        let mut currencies = BTreeMap::new();
        for account in accounts {
            let fault = |what| Fault::on(account.id(), what);
            let Some(passbook) = self.passbooks.remove(&account.id()) else {
                return Err(fault(What::UnknownAccount));
            };
            passbook.compare(account).map_err(fault)?;
            summary.accounts = summary.accounts.saturating_add(1);
            summary.entries = summary.entries.saturating_add(passbook.entry_count());
            let currency = account.currency();
            let transactions = self.transactions.get(&currency).copied().unwrap_or(0);
            let of = currencies.entry(currency).or_insert(CurrencySummary {
                currency,
                accounts: 0,
                transactions,
                customer_balance: Balance::ZERO,
                settlement_balance: Balance::ZERO,
            });
            let sum = if passbook.is_settlement() {
                &mut of.settlement_balance
            } else {
                of.accounts = of.accounts.saturating_add(1);
                &mut of.customer_balance
            };
            let added = sum.checked_add(Balance::new(passbook.balance()));
            *sum = added.ok_or_else(|| fault(What::SumTooLarge))?;
        }
        // The smallest id, so that the same ledger always gives the same fault.
        if let Some(missing) = self.passbooks.keys().min() {
            return Err(Fault::on(*missing, What::MissingAccount));
        }
        for of in currencies.values() {
            let sum = of.customer_balance.checked_add(of.settlement_balance);
            if sum != Some(Balance::ZERO) {
                return Err(What::NotZero(of.currency).into());
            }
            summary.transactions = summary.transactions.saturating_add(of.transactions);
        }
        summary.currencies = currencies.into_values().collect();
        Ok(summary)
    }

    fn time(&mut self, at: Timestamp) -> Result<(), What> {
        let may_be_equal = self.events <= self.copied;
        let follows = |last| at > last || (may_be_equal && at == last);
        if self.one_order && !self.last.is_none_or(follows) {
            return Err(What::EventTime);
        }
        self.last = Some(at);
        Ok(())
    }

    /// The key must be new, and its fingerprint that of what happened.
    fn key(&mut self, event: &Event) -> Result<(), What> {
        let Some(KeyUse { scope, key, fingerprint }) = event.key() else {
            return Ok(());
        };
        // 128 bits of SHA-256 stand for a key, so no ledger is wrongly accused by chance.
        if let Some(keys) = &mut self.keys
            && !keys.insert(hash_of_key(*scope, key))
        {
            return Err(What::KeyTwice);
        }
        match event.command() {
            Some(command) if Fingerprint::of(&command) != *fingerprint => Err(What::Fingerprint),
            _ => Ok(()),
        }
    }

    fn opening(&mut self, opening: &Opening) -> Result<(), Fault> {
        let account = &opening.account;
        let fault = |what| Fault::on(account.id, what);
        let Some((bank, number)) = &account.place else {
            return Err(fault(What::Opening));
        };
        if account.is_settlement() {
            return Err(fault(What::Opening));
        }
        match &opening.settlement {
            Some(settlement) => {
                let part = settlement.id.bits().to_be_bytes();
                let [.., high, low, _, _, _] = part;
                let part = u16::from_be_bytes([high, low]);
                let id = AccountId::settlement(account.currency, part);
                if **settlement != Opened::settlement(id, account.currency, account.opened_at) {
                    return Err(Fault::on(settlement.id, What::Opening));
                }
                self.open(settlement)?;
                self.transactions.entry(account.currency).or_insert(0);
            }
            None if self.transactions.contains_key(&account.currency) => {}
            None => return Err(fault(What::NoSettlement)),
        }
        // A hash stands for the number, so the place itself decides whether it is taken.
        let place = Some((bank, number.bare()));
        let holder = self.numbers.insert(hash_of(&place), account.id);
        let holder = holder.and_then(|id| self.passbooks.get(&id));
        if holder.is_some_and(|other| other.place() == place) {
            return Err(fault(What::NumberTaken));
        }
        self.open(account)
    }

    fn open(&mut self, opened: &Arc<Opened>) -> Result<(), Fault> {
        match self.passbooks.insert(opened.id, Passbook::open(opened.clone())) {
            None => Ok(()),
            Some(_) => Err(Fault::on(opened.id, What::OpenedTwice)),
        }
    }

    fn booking(&mut self, booked: &Booked) -> Result<(), Fault> {
        let transaction = &booked.transaction;
        let (debit, credit) = sides(transaction)?;
        for entry in [debit, credit] {
            let fault = |what| Fault::at(entry, what);
            let passbook = self.passbooks.get_mut(&entry.account);
            let passbook = passbook.ok_or_else(|| fault(What::UnknownAccount))?;
            let outside = match transaction.kind {
                Kind::Deposit => entry.direction == Direction::Debit,
                Kind::Withdrawal => entry.direction == Direction::Credit,
                _ => false,
            };
            if passbook.is_settlement() != outside {
                return Err(fault(What::WrongSide));
            }
            passbook.book(transaction, entry).map_err(fault)?;
        }
        let count = self.transactions.entry(transaction.currency).or_insert(0);
        *count = count.saturating_add(1);
        Ok(())
    }

    fn status(&mut self, change: &StatusChanged) -> Result<(), Fault> {
        let fault = |what| Fault::on(change.account, what);
        let passbook = self.passbooks.get_mut(&change.account);
        let passbook = passbook.ok_or_else(|| fault(What::UnknownAccount))?;
        let closing = change.status == Status::Closed;
        if passbook.is_settlement() || (closing && passbook.balance() != 0) {
            return Err(fault(What::StatusNotAllowed(change.status)));
        }
        passbook.change_status(change.status, change.at).map_err(fault)
    }
}

/// The debit and the credit of a transaction whose entries agree with it and with each other.
fn sides(transaction: &Transaction) -> Result<(&Entry, &Entry), Fault> {
    let [debit, credit] = transaction.entries.as_slice() else {
        return Err(What::Unbalanced.into());
    };
    if (debit.direction, credit.direction) != (Direction::Debit, Direction::Credit)
        || debit.amount != credit.amount
    {
        return Err(Fault::at(debit, What::Unbalanced));
    }
    if debit.amount != transaction.amount {
        return Err(Fault::at(debit, What::Amount));
    }
    if debit.account == credit.account {
        return Err(Fault::at(debit, What::WrongSide));
    }
    if transaction.id.booked_at() != transaction.booked_at {
        return Err(Fault::at(debit, What::IdTime));
    }
    // Who stands on the other side, and which memo is the transaction's own.
    let (debit_counterparty, credit_counterparty) = match transaction.kind {
        Kind::Deposit => (Some(credit.account), None),
        Kind::Withdrawal => (None, Some(debit.account)),
        Kind::Transfer => (Some(credit.account), Some(debit.account)),
        kind @ (Kind::Capture | Kind::Reversal | Kind::Adjustment) => {
            return Err(Fault::at(debit, What::UnknownKind(kind)));
        }
    };
    for (entry, counterparty) in [(debit, debit_counterparty), (credit, credit_counterparty)] {
        if entry.counterparty != counterparty {
            return Err(Fault::at(entry, What::Counterparty));
        }
        let free = transaction.kind == Kind::Transfer && entry.direction == Direction::Credit;
        if !free && entry.memo != transaction.memo {
            return Err(Fault::at(entry, What::Memo));
        }
    }
    Ok((debit, credit))
}

fn hash_of_key(scope: UserId, key: &IdempotencyKey) -> u128 {
    let mut sha = Sha256::new();
    sha.update(scope.bits().to_be_bytes());
    sha.update(key.as_str());
    let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]: [u8; 32] =
        sha.finalize().into();
    u128::from_be_bytes(head)
}

/// 64 bits that are the same in every process.
fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
