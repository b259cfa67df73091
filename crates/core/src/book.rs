//! What the rules may look at while they decide: the accounts as of the event before.

use crate::{
    Account, AccountId, AccountNumber, Bank, Currency, Event, IdempotencyKey, Opened, Timestamp,
    UserId,
};
use std::sync::Arc;

/// The state of a ledger, as a store keeps it.
///
/// A store lends one to [`decide`](crate::decide()) and to [`apply`](crate::apply::apply). All of
/// it is as of the last event applied, whether that one is durable yet or not.
pub trait Book {
    /// What can go wrong while looking up a key; never, where all is in memory.
    type Error;

    /// The account with this id.
    fn account(&self, id: AccountId) -> Option<&Account>;

    /// The same, to fold an entry into.
    fn account_mut(&mut self, id: AccountId) -> Option<&mut Account>;

    /// Takes in an account that was opened.
    ///
    /// # Panics
    /// If there is one with its id.
    fn insert(&mut self, opened: Arc<Opened>);

    /// The account that has this number in this bank, hyphens and case aside.
    fn account_by_number(&self, bank: &Bank, number: &AccountNumber) -> Option<AccountId>;

    /// The settlement account to use for an account of `owner` in `currency`, whether it was opened
    /// yet or not. A ledger in one part has one a currency; in several, one a currency and part.
    fn settlement(&self, currency: Currency, owner: UserId) -> AccountId;

    /// What came of the request that `scope` made under `key`.
    fn answered(&self, scope: UserId, key: &IdempotencyKey) -> Result<Option<Event>, Self::Error>;

    /// The earliest time at which the next event may happen.
    fn earliest(&self) -> Timestamp;

    /// Takes note of an event that was applied: its time and its key.
    fn note(&mut self, event: &Event);
}
