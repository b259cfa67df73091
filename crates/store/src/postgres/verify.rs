//! `verify`: every figure of a ledger in a database, worked out again from the amounts alone.
//!
//! It reads one moment (see `chronicle`). What the core's audit cannot see, as it is not in the
//! events, is compared here: which part a row is in, the numbers of accounts, and the columns that
//! only the database's own checks look at.

use std::collections::HashMap;

use tokio_postgres::Transaction as Session;
use tongjang_core::audit::{Audit, AuditSummary};
use tongjang_core::{Account, AccountId, Event};

use super::Postgres;
use super::chronicle::{begin, connect, tell};
use super::columns::AccountRow;
use super::places::Parts;
use super::values::Uuid;
use crate::StoreError;

/// Verifies the ledger, off the async threads. `progress` is told how many events were read, now
/// and then.
///
/// # Errors
/// [`StoreError::Damaged`] with the place of the first fault, or what kept the ledger from being
/// read.
pub fn verify(postgres: &Postgres, progress: impl FnMut(u64)) -> Result<AuditSummary, StoreError> {
    postgres.reader.runtime.block_on(look(postgres, progress))
}

async fn look(
    postgres: &Postgres,
    mut progress: impl FnMut(u64),
) -> Result<AuditSummary, StoreError> {
    let mut client = connect(postgres).await?;
    let session = begin(&mut client, postgres.engine).await?;
    let parts = postgres.parts;
    // A key is there once, as it is the table's primary key within the part that it belongs to.
    let mut audit = Audit::new().ordered_by_account().without_keys();
    let mut accounts: Vec<Account> = Vec::new();
    let mut events = 0u64;
    let check = |event: &Event| {
        events += 1;
        if events.is_multiple_of(1024) {
            progress(events);
        }
        audit.check(event).map_err(|fault| damaged(&place_of(event), &fault.to_string()))
    };
    let take = |row: &AccountRow| {
        in_its_part(row, parts)?;
        accounts.push(row.account.clone());
        Ok(())
    };
    tell(&session, parts, check, take).await?;
    let summary = audit.finish(accounts.iter());
    let summary = summary.map_err(|fault| damaged("tongjang.accounts", &fault.to_string()))?;
    numbers(&session, parts, &accounts).await?;
    columns(&session).await?;
    Ok(summary)
}

fn damaged(place: &str, what: &str) -> StoreError {
    StoreError::Damaged { place: place.to_owned(), what: what.to_owned() }
}

/// Where an event stands.
fn place_of(event: &Event) -> String {
    match event {
        Event::Opened(opening) => format!("the opening of account {}", opening.account.id),
        Event::Booked(booked) => format!("transaction {}", booked.transaction.id),
        Event::StatusChanged(change) => format!("a change of account {}", change.account),
        Event::Refused(refused) => {
            format!("key {} of {}", refused.key.key.as_str(), refused.key.scope)
        }
    }
}

fn in_its_part(row: &AccountRow, parts: Parts) -> Result<(), StoreError> {
    let opened = row.account.opened();
    let part = if opened.is_settlement() {
        Parts::of_settlement(opened.id)
    } else {
        parts.of_owner(opened.owner)
    };
    if part == row.part {
        return Ok(());
    }
    let place = format!("account {} in part {}", opened.id, row.part);
    Err(damaged(&place, &format!("it belongs into part {part}")))
}

/// Whether each account's number leads to it, and no number to anything else.
async fn numbers(
    session: &Session<'_>,
    parts: Parts,
    accounts: &[Account],
) -> Result<(), StoreError> {
    let attempt = |error| StoreError::database("read the numbers of accounts", error);
    let by_id: HashMap<AccountId, &Account> =
        accounts.iter().map(|account| (account.id(), account)).collect();
    let statement =
        "SELECT n.part, n.bank, n.bare, n.account_id FROM tongjang.account_numbers AS n";
    let portal = session.bind(statement, &[]).await.map_err(attempt)?;
    let mut found = 0;
    loop {
        let rows = session.query_portal(&portal, 2_000).await.map_err(attempt)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let (part, bank, bare): (i16, &str, &str) = (row.get(0), row.get(1), row.get(2));
            let Uuid(id) = row.get(3);
            let id = AccountId::from_bits(id);
            let leads = by_id.get(&id).and_then(|account| account.opened().place.as_ref());
            let fits = leads.is_some_and(|(its_bank, number)| {
                its_bank.as_str() == bank
                    && number.bare() == bare
                    && parts.of_number(its_bank, number) == part
            });
            if !fits {
                let place = format!("number {bare} of bank {bank} in part {part}");
                return Err(damaged(&place, &format!("account {id} has another number")));
            }
            found += 1;
        }
    }
    let customers = accounts.iter().filter(|account| account.opened().place.is_some()).count();
    if found == customers {
        return Ok(());
    }
    let what = format!("{found} numbers lead to accounts, and {customers} accounts have one");
    Err(damaged("tongjang.account_numbers", &what))
}

/// Entries whose columns contradict each other, where the database no longer checks that.
const ODD: &str = "SELECT e.part, e.account_id, e.number FROM tongjang.entries AS e
    LEFT JOIN tongjang.accounts AS a ON a.part = e.part AND a.id = e.account_id
    WHERE a.id IS NULL OR a.currency <> e.currency
        OR e.balance_before + e.direction * e.amount <> e.balance
        OR e.previous_number <> e.number - 1
        OR e.first_of IS DISTINCT FROM CASE WHEN e.number = 1 THEN e.account_id END
    LIMIT 1";

/// Accounts whose last change is none of those that were made.
const ASTRAY: &str = "SELECT a.part, a.id FROM tongjang.accounts AS a
    LEFT JOIN (SELECT part, account_id, max(changed_at) AS changed_at
        FROM tongjang.status_changes GROUP BY part, account_id) AS s
        ON s.part = a.part AND s.account_id = a.id
    WHERE a.head_number IS DISTINCT FROM nullif(a.entry_count, 0)
        OR a.changed_at IS DISTINCT FROM greatest(a.last_booked_at, s.changed_at)
    LIMIT 1";

async fn columns(session: &Session<'_>) -> Result<(), StoreError> {
    let attempt = |error| StoreError::database("look for what contradicts itself", error);
    // All of it is read, and one row after another as they lie there that is fastest.
    let whole = "SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on";
    session.batch_execute(whole).await.map_err(attempt)?;
    if let Some(row) = session.query_opt(ASTRAY, &[]).await.map_err(attempt)? {
        let (part, Uuid(id)): (i16, _) = (row.get(0), row.get(1));
        let place = format!("account {} in part {part}", AccountId::from_bits(id));
        return Err(damaged(&place, "its head, or the time of its last change, is another"));
    }
    let Some(row) = session.query_opt(ODD, &[]).await.map_err(attempt)? else { return Ok(()) };
    let (part, Uuid(id), number): (i16, _, i64) = (row.get(0), row.get(1), row.get(2));
    let place = format!("entry {number} of account {} in part {part}", AccountId::from_bits(id));
    Err(damaged(&place, "its columns contradict each other, or its account"))
}
