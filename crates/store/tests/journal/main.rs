//! The journal through the teller, as a server uses it.

mod history;
mod ledger;
mod restart;
