//! One account as the audit works it out, entry by entry, from the amounts alone.

use std::sync::Arc;

use super::What;
use crate::{Account, Bank, Direction, Entry, Hash, Opened, Status, Timestamp, Transaction, chain};

/// No event grants an overdraft or puts money aside yet, so every account has none.
const OVERDRAFT_LIMIT: i128 = 0;
const HELD: i128 = 0;

/// What the events so far make of one account.
#[derive(Debug)]
pub(super) struct Passbook {
    opened: Arc<Opened>,
    status: Status,
    credits: i128,
    debits: i128,
    balance: i128,
    entry_count: u64,
    credit_count: u64,
    status_changes: u64,
    head: Hash,
    last: Timestamp,
}

impl Passbook {
    pub(super) fn open(opened: Arc<Opened>) -> Self {
        Self {
            status: Status::Open,
            credits: 0,
            debits: 0,
            balance: 0,
            entry_count: 0,
            credit_count: 0,
            status_changes: 0,
            head: chain::genesis(&opened),
            last: opened.opened_at,
            opened,
        }
    }

    pub(super) fn is_settlement(&self) -> bool {
        self.opened.is_settlement()
    }

    /// The bank and the number without hyphens and in capitals.
    pub(super) fn place(&self) -> Option<(&Bank, String)> {
        self.opened.place.as_ref().map(|(bank, number)| (bank, number.bare()))
    }

    pub(super) fn balance(&self) -> i128 {
        self.balance
    }

    pub(super) fn entry_count(&self) -> u64 {
        self.entry_count
    }

    /// Checks that `entry` of `transaction` is what must follow here, and takes it in.
    pub(super) fn book(&mut self, transaction: &Transaction, entry: &Entry) -> Result<(), What> {
        ensure(transaction.currency == self.opened.currency, What::Currency)?;
        ensure(self.status == Status::Open, What::NotOpen(self.status))?;
        ensure(transaction.booked_at > self.last, What::EntryTime)?;
        self.entry_count = self.entry_count.saturating_add(1);
        ensure(entry.number.get() == self.entry_count, What::Number)?;
        let amount = entry.amount.minor();
        let (total, signed) = match entry.direction {
            Direction::Credit => (&mut self.credits, Some(amount)),
            Direction::Debit => (&mut self.debits, amount.checked_neg()),
        };
        *total = total.checked_add(amount).ok_or(What::SumTooLarge)?;
        if entry.direction == Direction::Credit {
            self.credit_count = self.credit_count.saturating_add(1);
        }
        let after = signed.and_then(|signed| self.balance.checked_add(signed));
        self.balance = after.ok_or(What::SumTooLarge)?;
        ensure(entry.balance.minor() == self.balance, What::Balance)?;
        ensure(entry.credit_count == self.credit_count, What::CreditCount)?;
        ensure(entry.credit_total.minor() == self.credits, What::CreditTotal)?;
        let covered = entry.direction == Direction::Credit
            || self.is_settlement()
            || self.balance.checked_add(OVERDRAFT_LIMIT).is_some_and(|left| left >= HELD);
        ensure(covered, What::Overdrawn)?;
        let (id, kind) = (transaction.id, transaction.kind);
        let hash = chain::link(self.head, id, kind, transaction.booked_at, entry);
        ensure(entry.hash == hash, What::Hash)?;
        self.head = hash;
        self.last = transaction.booked_at;
        Ok(())
    }

    pub(super) fn change_status(&mut self, status: Status, at: Timestamp) -> Result<(), What> {
        ensure(at > self.last, What::EntryTime)?;
        ensure(self.status != Status::Closed, What::StatusNotAllowed(status))?;
        self.status = status;
        self.status_changes = self.status_changes.saturating_add(1);
        Ok(())
    }

    /// Compares every figure with those of `account`.
    pub(super) fn compare(&self, account: &Account) -> Result<(), What> {
        let kept = account.standing();
        // The opening, each entry and each change of status count one.
        let version = self.entry_count.checked_add(self.status_changes);
        let version = version.and_then(|changes| changes.checked_add(1));
        let fields = [
            ("opening", *self.opened == **account.opened()),
            ("status", self.status == kept.status),
            ("credit total", self.credits == kept.credit_total.minor()),
            ("debit total", self.debits == kept.debit_total.minor()),
            ("balance", self.balance == account.balance().minor()),
            ("held amount", HELD == kept.held.minor()),
            ("overdraft limit", OVERDRAFT_LIMIT == kept.overdraft_limit.minor()),
            ("entry count", self.entry_count == kept.entry_count),
            ("credit count", self.credit_count == kept.credit_count),
            ("head hash", self.head == kept.head_hash),
            ("time of the newest entry", self.last == kept.last_booked_at),
            ("version", version == Some(kept.version)),
        ];
        let differing = fields.iter().find(|(_, same)| !same);
        differing.map_or(Ok(()), |(field, _)| Err(What::Differs(field)))
    }
}

fn ensure(sound: bool, what: What) -> Result<(), What> {
    if sound { Ok(()) } else { Err(what) }
}
