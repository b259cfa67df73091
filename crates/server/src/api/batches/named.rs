//! The accounts that the transfers of a batch name. A store that has them in memory is asked line
//! by line; one that has not is asked for those of many lines at once, before they are taken in.

use std::collections::HashMap;

use tongjang_core::{Account, AccountId, AccountNumber, Bank};
use tongjang_store::Reader as _;

use super::chunk::Clerk;
use super::command::{self, Order, To, What};
use super::fast;
use super::lines::Line;
use crate::problem::Problem;

/// What the store said of accounts when it was asked last. No account changes its owner or number,
/// so what is there holds; what is not there may be opened since.
#[derive(Default)]
pub(super) struct Named {
    accounts: HashMap<AccountId, Option<Account>>,
    places: HashMap<(Bank, AccountNumber), Option<AccountId>>,
}

impl Clerk {
    /// The account `id`; `None` if the store is to be asked first.
    pub(super) fn account(&self, id: AccountId) -> Result<Option<Option<Account>>, Problem> {
        match self.app.ledger.at_once() {
            Some(reader) => Ok(Some(reader.account(id)?)),
            None => Ok(self.named.accounts.get(&id).cloned()),
        }
    }

    /// The account with this number in this bank; `None` if the store is to be asked first.
    pub(super) fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<Option<AccountId>>, Problem> {
        match self.app.ledger.at_once() {
            Some(reader) => Ok(Some(reader.account_by_number(bank, number)?)),
            None => Ok(self.named.places.get(&(bank.clone(), number.clone())).copied()),
        }
    }

    /// Whether the accounts that lines name are worth asking for before the lines are taken in.
    pub(super) fn looks_ahead(&self) -> bool {
        self.app.ledger.at_once().is_none()
    }

    /// The order of a line, if it names accounts to be asked for. What is wrong with a line is told
    /// when it is taken in.
    pub(super) fn naming(line: Line<'_>) -> Option<Order> {
        let Line::Whole(line) = line else { return None };
        let order = fast::read(line).or_else(|| command::read(line).ok());
        order.filter(|order| asked_of(order).is_some())
    }

    /// Asks the store for all that `orders` name, and forgets what was asked before.
    ///
    /// # Errors
    /// 503, if the store fails.
    pub(super) async fn look_ahead(&mut self, orders: &[Order]) -> Result<(), Problem> {
        self.named = Named::default();
        self.look_up(orders).await
    }

    /// Asks the store for all that `orders` name, whatever it said of them before.
    ///
    /// # Errors
    /// 503, if the store fails.
    pub(super) async fn look_up(&mut self, orders: &[Order]) -> Result<(), Problem> {
        if !self.looks_ahead() {
            return Ok(());
        }
        let (mut ids, mut places) = (Vec::new(), Vec::new());
        for (from, to) in orders.iter().filter_map(asked_of) {
            ids.push(from);
            places.extend(to);
        }
        ids.sort_unstable();
        ids.dedup();
        places.sort_unstable();
        places.dedup();
        if ids.is_empty() {
            return Ok(());
        }
        let ask = move |reader: &crate::ledger::LedgerReader| {
            let accounts = reader.accounts_by_id(&ids)?;
            let numbers = reader.accounts_by_number(&places)?;
            Ok((ids.into_iter().zip(accounts), places.into_iter().zip(numbers)))
        };
        let (accounts, places) = self.app.ledger.query(ask).await?;
        self.named.accounts.extend(accounts);
        self.named.places.extend(places);
        Ok(())
    }
}

/// The paying account of an order, and the number that it pays to, if it pays to one.
fn asked_of(order: &Order) -> Option<(AccountId, Option<(Bank, AccountNumber)>)> {
    match &order.what {
        What::Transfer(transfer) => match &transfer.to {
            To::Id(_) => None,
            To::Nowhere => Some((transfer.from, None)),
            To::Place(bank, number) => Some((transfer.from, Some((bank.clone(), number.clone())))),
        },
        What::Open(_) | What::Deposit(_) | What::Withdrawal(_) => None,
    }
}
