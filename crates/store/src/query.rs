//! What can be asked of a ledger, and the shape of the answers.

use tongjang_core::{
    AccountId, Amount, Balance, Currency, Direction, Entry, EntryNumber, Kind, Timestamp,
    TransactionId,
};

/// Which way a list goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

/// Which entries of an account are meant. Each member that is set narrows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryFilter {
    /// The account.
    pub account: AccountId,
    /// Booked at this time or later.
    pub from: Option<Timestamp>,
    /// Booked before this time.
    pub to: Option<Timestamp>,
    /// In or out.
    pub direction: Option<Direction>,
    /// Of transactions of this kind.
    pub kind: Option<Kind>,
    /// At least this much.
    pub min_amount: Option<Amount>,
    /// At most this much.
    pub max_amount: Option<Amount>,
    /// The memo contains this text, case aside.
    pub memo: Option<String>,
}

impl EntryFilter {
    /// All entries of `account`.
    pub fn all(account: AccountId) -> Self {
        Self {
            account,
            from: None,
            to: None,
            direction: None,
            kind: None,
            min_amount: None,
            max_amount: None,
            memo: None,
        }
    }

    /// Whether rows must be looked at one by one, because no index knows what is asked.
    pub fn needs_scan(&self) -> bool {
        self.kind.is_some()
            || self.min_amount.is_some()
            || self.max_amount.is_some()
            || self.memo.is_some()
    }

    /// Whether `row` is meant.
    pub fn matches(&self, row: &Row) -> bool {
        let entry = &row.entry;
        entry.account == self.account
            && self.from.is_none_or(|from| row.booked_at >= from)
            && self.to.is_none_or(|to| row.booked_at < to)
            && self.direction.is_none_or(|direction| entry.direction == direction)
            && self.kind.is_none_or(|kind| row.kind == kind)
            && self.min_amount.is_none_or(|least| entry.amount >= least)
            && self.max_amount.is_none_or(|most| entry.amount <= most)
            && self.memo.as_ref().is_none_or(|part| {
                entry.memo.as_str().to_lowercase().contains(&part.to_lowercase())
            })
    }
}

/// A page of an account's entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryQuery {
    /// Which entries.
    pub filter: EntryFilter,
    /// Which way.
    pub order: Order,
    /// Begin right after this entry, in that order; at the very beginning if `None`.
    pub after: Option<EntryNumber>,
    /// Skip so many entries of the time range and direction, whatever else is asked of them.
    pub offset: u64,
    /// At most so many rows.
    pub limit: usize,
    /// Look at no more than so many entries; the page may then be short and still have a `resume`.
    pub scan_limit: usize,
}

/// A row of an account's history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The transaction that the entry belongs to.
    pub transaction: TransactionId,
    /// What kind of transaction that is.
    pub kind: Kind,
    /// When it was booked.
    pub booked_at: Timestamp,
    /// The entry itself.
    pub entry: Entry,
}

/// The answer to an [`EntryQuery`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntryPage {
    /// The rows, in the order asked for.
    pub rows: Vec<Row>,
    /// Where to go on: the last entry looked at, or `None` if there is nothing after it. It is
    /// set only when another entry of the time range and direction does follow.
    pub resume: Option<EntryNumber>,
    /// The first entry of the time range and direction, if the offset skipped it.
    pub skipped: Option<EntryNumber>,
}

/// Count and sums of the entries of a filter, and the balances around its time range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// How many entries.
    pub count: u64,
    /// The sum of the credits among them.
    pub credit_total: Balance,
    /// The sum of the debits among them.
    pub debit_total: Balance,
    /// The account's balance before the first entry of the time range.
    pub opening_balance: Balance,
    /// The account's balance after the last entry of the time range.
    pub closing_balance: Balance,
}

/// The whole ledger in one currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LedgerTotals {
    /// The currency.
    pub currency: Currency,
    /// How many customers' accounts.
    pub accounts: u64,
    /// How many transactions.
    pub transactions: u64,
    /// The sum of the customers' balances.
    pub customer_balance: Balance,
    /// The balance of the settlement account; together with `customer_balance` it is zero.
    pub settlement_balance: Balance,
}
