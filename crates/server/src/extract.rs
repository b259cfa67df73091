//! Extractors: from what came over the wire to what is known to be well formed. All that they
//! refuse is a [`Problem`](crate::problem::Problem).

mod accept;
mod account;
mod amount;
mod body;
mod idempotency_key;
mod if_match;
mod path;
mod query;
mod text;

pub(crate) use accept::{accepts_json, accepts_ndjson};
pub(crate) use account::AccountName;
pub use account::{BankAndNumber, Target};
pub use amount::AmountField;
pub use body::{BODY_LIMIT, Body};
pub(crate) use body::{announced_within, broken_off, media_type, parse};
pub(crate) use idempotency_key::IDEMPOTENCY_KEY;
pub use idempotency_key::IdempotencyKeyHeader;
pub use if_match::IfMatch;
pub use path::Path;
pub use query::{NoQuery, Query};
pub use text::{MetadataField, account_number, bank, memo, nfc};
