//! One account's entries for an accountant: all that a passbook shows, to be read and not to be
//! imported, since the other sides of its transfers are missing.

use serde::Serialize;
use tongjang_core::AccountId;
use tongjang_store::{EntryFilter, EntryQuery, Order, Reader, Row, StoreError};

use super::cells::guarded;
use super::sheet::Record;
use crate::api::view::{EntryView, Parties, Party};
use crate::when::Utc;

/// So many entries are fetched at once.
const PAGE: usize = 500;

/// So many accounts on the other side are remembered before they are looked up anew.
const REMEMBERED: usize = 10_000;

/// An entry, and who is on the other side.
pub(crate) struct PassbookRow<'a> {
    row: &'a Row,
    parties: &'a Parties,
}

/// Shows `each` entry of `account`, the oldest first, a page at a time.
///
/// # Errors
/// What `each` answers, or what the store failed at.
pub(crate) fn entries<E: From<StoreError>>(
    reader: &impl Reader,
    account: AccountId,
    mut each: impl FnMut(&PassbookRow<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (filter, order) = (EntryFilter::all(account), Order::Asc);
    let mut parties = Parties::new();
    let mut after = None;
    loop {
        let (limit, scan_limit) = (PAGE, PAGE);
        let query =
            EntryQuery { filter: filter.clone(), order, after, offset: 0, limit, scan_limit };
        let page = reader.entries(&query)?;
        if parties.len() > REMEMBERED {
            parties.clear();
        }
        let others = page.rows.iter().filter_map(|row| row.entry.counterparty);
        let mut new: Vec<_> = others.filter(|other| !parties.contains_key(other)).collect();
        new.sort_unstable();
        new.dedup();
        for found in reader.accounts_by_id(&new)?.into_iter().flatten() {
            parties.insert(found.id(), Party { opened: found.opened().clone(), name: None });
        }
        for row in &page.rows {
            each(&PassbookRow { row, parties: &parties })?;
        }
        after = page.resume;
        if after.is_none() {
            return Ok(());
        }
    }
}

impl Serialize for PassbookRow<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        EntryView::of_row(self.row, self.parties).serialize(serializer)
    }
}

impl Record for PassbookRow<'_> {
    const COLUMNS: &'static [&'static str] = &[
        "number",
        "booked_at",
        "direction",
        "kind",
        "amount",
        "balance",
        "memo",
        "counterparty_account",
        "counterparty_bank",
        "counterparty_number",
        "transaction_id",
        "hash",
    ];

    fn cells(&self, put: &mut dyn FnMut(&str)) {
        let entry = &self.row.entry;
        let other = entry.counterparty;
        let place = other.and_then(|other| self.parties.get(&other)?.opened.place.as_ref());
        let text = |text: &str| if text.is_empty() { String::new() } else { guarded(text).into() };
        for cell in [
            entry.number.to_string().as_str(),
            &Utc(self.row.booked_at).to_string(),
            entry.direction.as_str(),
            self.row.kind.as_str(),
            &entry.amount.to_string(),
            &entry.balance.to_string(),
            &text(entry.memo.as_str()),
            &other.map(|other| other.to_string()).unwrap_or_default(),
            &place.map(|(bank, _)| text(bank.as_str())).unwrap_or_default(),
            &place.map(|(_, number)| text(number.as_str())).unwrap_or_default(),
            &self.row.transaction.to_string(),
            &entry.hash.to_string(),
        ] {
            put(cell);
        }
    }
}
