//! What deposits, withdrawals and transfers share: whose account it is, having it booked, and
//! answering with the transaction.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use tongjang_core::{
    Account, AccountId, Amount, Command, Entry, Event, Memo, Metadata, Opened, Transaction,
};
use utoipa::ToSchema;

use super::json;
use super::view::{Parties, Party, TransactionView, Viewer};
use crate::app::App;
use crate::auth::Caller;
use crate::config::Deposits;
use crate::extract::{AmountField, IdempotencyKeyHeader, IfMatch, MetadataField, memo};
use crate::problem::{Code, Problem, REPLAYED};

/// Money in or out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"amount": 25000, "memo": "월급", "metadata": {"payroll": "2026-11"}}))]
pub struct Movement {
    /// How much, in the currency's minor unit.
    #[serde(default)]
    #[schema(required)]
    amount: AmountField,
    /// What the passbook will say (적요): at most 140 characters, no control characters.
    #[schema(max_length = 140)]
    memo: Option<String>,
    /// What the caller keeps with it.
    #[serde(default)]
    metadata: MetadataField,
}

impl Movement {
    /// The parts of it, checked.
    pub(crate) fn read(self) -> Result<(Amount, Memo, Metadata), Problem> {
        let amount = self.amount.required("/amount")?;
        let memo = memo(self.memo.as_deref(), "/memo")?;
        Ok((amount, memo, self.metadata.metadata("/metadata")?))
    }
}

/// What the account `id` was opened as, if the caller owns it.
///
/// # Errors
/// 404 `not-found`, or 403 `not-account-owner` before anything else is told.
pub(crate) async fn owned(
    app: &App,
    caller: &Caller,
    id: AccountId,
) -> Result<Arc<Opened>, Problem> {
    let account = existing(app, id).await?;
    if account.owner == caller.user { Ok(account) } else { Err(not_owner()) }
}

/// The account `id`, if the caller owns it or is an operator, who may read all.
///
/// # Errors
/// As [`owned`].
pub(crate) async fn readable(
    app: &App,
    caller: &Caller,
    id: AccountId,
) -> Result<Account, Problem> {
    let account = app.ledger.account(id).await?.ok_or_else(|| Problem::new(Code::NotFound))?;
    let allowed = account.owner() == caller.user || caller.is_operator();
    if allowed { Ok(account) } else { Err(not_owner()) }
}

/// Who deposits or withdraws on the account `id`, as the server's `--deposits` lets him.
///
/// # Errors
/// 403 `not-permitted` where only operators may and the caller is none, or as [`owned`] if he may
/// not use the accounts of others.
pub(crate) async fn teller_of(
    app: &App,
    caller: &Caller,
    id: AccountId,
) -> Result<tongjang_core::Caller, Problem> {
    match app.config.deposits {
        Deposits::Operator if !caller.is_operator() => Err(Problem::new(Code::NotPermitted)),
        Deposits::Operator if caller.operates() => {
            existing(app, id).await?;
            Ok(tongjang_core::Caller::operator(caller.user))
        }
        Deposits::Owner | Deposits::Operator => {
            owned(app, caller, id).await?;
            Ok(caller.as_owner())
        }
    }
}

async fn existing(app: &App, id: AccountId) -> Result<Arc<Opened>, Problem> {
    let found = app.ledger.openings(vec![id]).await?.pop();
    found.flatten().ok_or_else(|| Problem::new(Code::NotFound))
}

fn not_owner() -> Problem {
    Problem::new(Code::NotAccountOwner)
}

/// Has `command` booked and answers 201 with the transaction, or with why it was refused.
///
/// # Errors
/// What the rules refuse, and 503 as [`Ledger::perform`](crate::ledger::Ledger::perform).
pub(crate) async fn book(
    app: &App,
    caller: &Caller,
    as_whom: tongjang_core::Caller,
    command: Command,
    key: IdempotencyKeyHeader,
    version: IfMatch,
) -> Result<Response, Problem> {
    let request = app.request(as_whom, command, key.0, version.0);
    let answer = app.ledger.perform(request).await?;
    let transaction = match answer.outcome {
        Ok(Event::Booked(booked)) => booked.transaction,
        Ok(other) => unreachable!("a booking is asked for, and {other:?} came of it"),
        Err(rejection) => return Err(Problem::from(rejection).replayed(answer.replayed)),
    };
    let viewer = viewer(app, caller, &transaction).await?;
    let seen = transaction.entries.iter().filter(|entry| viewer.sees(entry.account));
    let parties = parties(app, counterparties(seen)).await?;
    let view = TransactionView::new(&transaction, &viewer, &parties);
    let mut response = json(StatusCode::CREATED, &view);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location("/v1/transactions/", &transaction.id));
    if answer.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The address of what was made.
pub(crate) fn location(under: &str, id: &impl std::fmt::Display) -> HeaderValue {
    HeaderValue::try_from(format!("{under}{id}")).expect("ids are ASCII")
}

/// How much of `transaction` the caller sees.
///
/// # Errors
/// 403 `not-account-owner`, if he owns none of its accounts and is no operator.
pub(crate) async fn viewer(
    app: &App,
    caller: &Caller,
    transaction: &Transaction,
) -> Result<Viewer, Problem> {
    let mut viewers = viewers(app, caller, &[transaction]).await?;
    Ok(viewers.pop().expect("there is one for each transaction"))
}

/// How much of each of `transactions` the caller sees; the store is asked once for all of them.
///
/// # Errors
/// As [`viewer`], if that holds for one of them.
pub(crate) async fn viewers(
    app: &App,
    caller: &Caller,
    transactions: &[&Transaction],
) -> Result<Vec<Viewer>, Problem> {
    if caller.is_operator() {
        return Ok(transactions.iter().map(|_| Viewer::Operator).collect());
    }
    let entries = transactions.iter().flat_map(|transaction| &transaction.entries);
    let accounts = app.ledger.openings(entries.map(|entry| entry.account).collect()).await?;
    let mut accounts = accounts.into_iter();
    let viewer = |transaction: &&Transaction| {
        let entries = transaction.entries.iter().zip(accounts.by_ref());
        let own = entries.filter_map(|(entry, account)| {
            account.is_some_and(|account| account.owner == caller.user).then_some(entry.account)
        });
        let own: Vec<_> = own.collect();
        if own.is_empty() { Err(not_owner()) } else { Ok(Viewer::Owner(own)) }
    };
    transactions.iter().map(viewer).collect()
}

/// Who stands on the other side of `entries`: their accounts.
pub(crate) fn counterparties<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<AccountId> {
    entries.filter_map(|entry| entry.counterparty).collect()
}

/// What may be told of these accounts, and the display names of those who own them. Deposits and
/// withdrawals have nobody on the other side and ask nothing.
///
/// # Errors
/// 503, if the store or the directory fails.
pub(crate) async fn parties(app: &App, mut accounts: Vec<AccountId>) -> Result<Parties, Problem> {
    accounts.sort_unstable();
    accounts.dedup();
    let found = app.ledger.openings(accounts).await?;
    let party = |opened: Arc<Opened>| (opened.id, Party { opened, name: None });
    let mut parties: Parties = found.into_iter().flatten().map(party).collect();
    if !parties.is_empty() {
        let owners = parties.values().map(|party| party.opened.owner).collect();
        let names = app.directory.display_names(owners).await?;
        for party in parties.values_mut() {
            party.name = names.get(&party.opened.owner).cloned().flatten();
        }
    }
    Ok(parties)
}
