//! The accounts of the whole ledger: lists of them, and what they come to.

use deadpool_postgres::Client;
use tokio_postgres::Row as Columns;
use tongjang_core::{Account, AccountId, Balance, Timestamp, UserId};

use super::columns::{self, ACCOUNT};
use super::reader::{READ, Value, in_time, query};
use super::values::{Instant, Numeric, Uuid};
use crate::StoreError;
use crate::query::{LedgerTotals, Order};

/// One statement, and so one moment. Every transaction has one debit.
const TOTALS: &str = "SELECT a.currency,
        count(*) FILTER (WHERE a.owner <> '00000000-0000-0000-0000-000000000000'),
        sum(a.entry_count - a.credit_count),
        sum(a.balance) FILTER (WHERE a.owner <> '00000000-0000-0000-0000-000000000000'),
        sum(a.balance) FILTER (WHERE a.owner = '00000000-0000-0000-0000-000000000000')
    FROM tongjang.accounts AS a GROUP BY a.currency ORDER BY a.currency";

/// Where a list goes on: the account before it, and when that was opened.
pub(super) type After = (Timestamp, AccountId);

/// At most `limit` accounts after `after`, in the order of their opening: of an owner in his part,
/// or of everybody.
pub(super) async fn list(
    client: &Client,
    owner: Option<(i16, UserId)>,
    order: Order,
    after: Option<After>,
    limit: usize,
) -> Result<Vec<Account>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (sign, way) = match order {
        Order::Asc => (">", "ASC"),
        Order::Desc => ("<", "DESC"),
    };
    let owner = owner.map(|(part, owner)| (part, Uuid(owner.bits())));
    let after = after.map(|(at, id)| (Instant(at), Uuid(id.bits())));
    let mut values: Vec<Value<'_>> = vec![&limit];
    // By this the planner knows that it may take the index over it.
    let mut wanted = vec!["a.opened_at IS NOT NULL".to_owned()];
    if let Some((part, owner)) = &owner {
        wanted.push("a.part = $2 AND a.owner = $3".to_owned());
        values.extend([part as Value<'_>, owner]);
    }
    if let Some((at, id)) = &after {
        let next = values.len() + 1;
        wanted.push(format!("(a.opened_at, a.id) {sign} (${next}, ${})", next + 1));
        values.extend([at as Value<'_>, id]);
    }
    let wanted = wanted.join(" AND ");
    let statement = format!(
        "SELECT {ACCOUNT} FROM tongjang.accounts AS a WHERE {wanted}
            ORDER BY a.opened_at {way}, a.id {way} LIMIT $1"
    );
    let rows = query(client, &statement, &values).await?;
    rows.iter().map(|row| columns::account(row).map(|row| row.account)).collect()
}

/// The whole ledger, a row a currency, in the order of their codes.
pub(super) async fn totals(client: &Client) -> Result<Vec<LedgerTotals>, StoreError> {
    let attempt = |error| StoreError::database(READ, error);
    let rows = in_time(async {
        let totals = client.prepare_cached(TOTALS).await.map_err(attempt)?;
        // All accounts are read, and one after another as they lie there that is fastest. All of
        // it is sent at once, so the transaction ends whatever comes of it.
        let (_, _, rows, _) = tokio::try_join!(
            biased;
            client.batch_execute("BEGIN READ ONLY"),
            client.batch_execute("SET LOCAL enable_seqscan = on"),
            client.query(&totals, &[]),
            client.batch_execute("COMMIT"),
        )
        .map_err(attempt)?;
        Ok(rows)
    });
    rows.await?.iter().map(total).collect()
}

fn total(row: &Columns) -> Result<LedgerTotals, StoreError> {
    let code: &str = row.get(0);
    let fault = |what: &str| StoreError::Damaged {
        place: format!("the accounts in {code}"),
        what: format!("{what}; run `tongjang verify`"),
    };
    let sum = |column: usize| match row.try_get::<_, Option<Numeric>>(column) {
        Ok(sum) => Ok(sum.map_or(0, |Numeric(sum)| sum)),
        Err(_) => Err(fault("they come to more than 128 bits hold")),
    };
    let counted = |count: Option<u64>| count.ok_or_else(|| fault("a count is below zero"));
    Ok(LedgerTotals {
        currency: columns::currency(code).ok_or_else(|| fault("it is no currency"))?,
        accounts: counted(columns::whole(row.get(1)))?,
        transactions: counted(u64::try_from(sum(2)?).ok())?,
        customer_balance: Balance::new(sum(3)?),
        settlement_balance: Balance::new(sum(4)?),
    })
}
