//! A script of `testdata/` on a store: what its requests come to, and what its reader shows.

use tongjang_core::{Account, AccountId, Currency, Entry, Event, Rejection, Request, Timestamp};
use tongjang_script::{Books, Observed};
use tongjang_store::{Answer, EntryFilter, EntryQuery, Order, Reader};

/// A store behind the desk.
pub struct Scripted<A, R> {
    /// Has a request booked.
    pub ask: A,
    /// Shows what was.
    pub reader: R,
}

impl<A: FnMut(Request) -> Answer, R: Reader> Books for Scripted<A, R> {
    fn ask(&mut self, request: Request) -> (Result<Event, Rejection>, bool) {
        let Answer { outcome, replayed } = (self.ask)(request);
        (outcome, replayed)
    }

    fn account(&self, id: AccountId) -> Option<Account> {
        self.reader.account(id).expect("the store can be read")
    }

    fn entries(&self, id: AccountId) -> Vec<(Timestamp, Entry)> {
        let most = usize::MAX / 4;
        let (filter, order) = (EntryFilter::all(id), Order::Asc);
        let (after, offset, limit, scan_limit) = (None, 0, most, most);
        let query = EntryQuery { filter, order, after, offset, limit, scan_limit };
        let page = self.reader.entries(&query).expect("the store can be read");
        page.rows.into_iter().map(|row| (row.booked_at, row.entry)).collect()
    }

    fn ledger(&self, currency: Currency) -> Observed {
        let totals = self.reader.totals().expect("the store can be read");
        let of = totals.iter().find(|total| total.currency == currency).copied();
        Observed::Ledger {
            accounts: of.map_or(0, |of| of.accounts),
            transactions: of.map_or(0, |of| of.transactions),
            customers: of.map_or(0, |of| of.customer_balance.minor()),
            settlement: of.map_or(0, |of| of.settlement_balance.minor()),
        }
    }
}
