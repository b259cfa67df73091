//! An account as its owner sees it.

use serde::Serialize;
use tongjang_core::{Account, AccountId, Hash, UserId};
use utoipa::ToSchema;

use super::{Status, Text};
use crate::when::Utc;

/// An account: what it is, and where it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountView<'a> {
    /// The account's id.
    #[schema(value_type = String, example = "acc_01j9w3k0v8e2t6m5qzr7xh4ndp")]
    id: Text<AccountId>,
    /// The user who owns it.
    #[schema(value_type = String, example = "usr_01j9w3jzq4c8y1b7kfs5g2ravm")]
    owner_id: Text<UserId>,
    /// The bank that keeps it: a 3-digit KFTC code or a name; null for a settlement account.
    #[schema(required, value_type = Option<String>, example = "tongjang")]
    bank: Option<&'a str>,
    /// Its number within the bank; null for a settlement account.
    #[schema(required, value_type = Option<String>, example = "110-482-915377")]
    number: Option<&'a str>,
    /// The owner's own label for it, which nobody else sees.
    #[schema(required, value_type = Option<String>, example = "생활비")]
    name: Option<&'a str>,
    /// The ISO 4217 code of the currency that it holds.
    #[schema(value_type = String, example = "KRW")]
    currency: &'a str,
    /// Whether it may be booked on.
    status: Status,
    /// Credits minus debits, in the currency's minor unit.
    #[schema(format = "int128", example = 125000)]
    balance: i128,
    /// What pending holds have put aside.
    #[schema(format = "int128", example = 0)]
    held: i128,
    /// What may be withdrawn: `balance` − `held` + `overdraft_limit`.
    #[schema(format = "int128", example = 125000)]
    available: i128,
    /// How far below zero it may go.
    #[schema(format = "int128", example = 0)]
    overdraft_limit: i128,
    /// How many entries it has; that is also the number of the newest.
    #[schema(minimum = 0, example = 3)]
    entry_count: u64,
    /// SHA-256 of the newest entry, or of the opening while there is none, in hexadecimal.
    #[schema(
        value_type = String,
        example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    head_hash: Text<Hash>,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime, example = "2026-11-22T00:30:00.000001Z")]
    opened_at: Utc,
    /// Counts every change, from 1 at the opening. The `ETag` is this number in quotes.
    #[schema(minimum = 1, example = 4)]
    version: u64,
}

impl<'a> AccountView<'a> {
    /// The account with its owner's label.
    pub fn new(account: &'a Account, name: Option<&'a str>) -> Self {
        let (opened, standing) = (account.opened(), account.standing());
        let place = opened.place.as_ref();
        Self {
            id: Text(opened.id),
            owner_id: Text(opened.owner),
            bank: place.map(|(bank, _)| bank.as_str()),
            number: place.map(|(_, number)| number.as_str()),
            name,
            currency: opened.currency.code(),
            status: standing.status.into(),
            balance: account.balance().minor(),
            held: standing.held.minor(),
            available: account.available().minor(),
            overdraft_limit: standing.overdraft_limit.minor(),
            entry_count: standing.entry_count,
            head_hash: Text(standing.head_hash),
            opened_at: Utc(opened.opened_at),
            version: standing.version,
        }
    }
}
