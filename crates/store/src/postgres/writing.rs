//! How a batch is written: everything is added by one statement a table, and entries by the one
//! that moves their accounts' heads on, so that the database never sees the one without the other.

use tokio_postgres::{Client, Error, Statement};

use super::Engine;
use super::by_part::ByPart;
use super::rows::{Rows, Values};

/// The statements that write a batch.
pub(super) struct Writing {
    accounts: Statement,
    numbers: Statement,
    entries_and_heads: Statement,
    heads: Statement,
    changes: Statement,
    keys: Statement,
    distributed: Option<Distributed>,
}

/// The statements where the tables are distributed: each is about one part.
struct Distributed {
    accounts: ByPart,
    numbers: ByPart,
    entries: ByPart,
    heads: ByPart,
    changes: ByPart,
    keys: ByPart,
}

const ACCOUNTS: &str = "INSERT INTO tongjang.accounts (part, id, owner, currency, bank, number,
        number_made, opened_at, last_booked_at, changed_at, head_hash)
    SELECT part, id, owner, currency, bank, number, number_made, at, at, at, hash
    FROM unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
            $7::boolean[], $8::timestamptz[], $9::bytea[])
        AS t (part, id, owner, currency, bank, number, number_made, at, hash)";

const NUMBERS: &str = "INSERT INTO tongjang.account_numbers (part, bank, bare, account_id)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[])
        AS t (part, bank, bare, account_id)";

const ENTRIES: &str = "INSERT INTO tongjang.entries (part, account_id, number, previous_number,
        first_of, currency, kind, direction, transaction_id, booked_at, amount, balance_before,
        balance, credit_count, credit_total, counterparty_id, memo, metadata, hash)
    SELECT part, account_id, number, previous_number,
        CASE WHEN number = 1 THEN account_id END, currency, kind, direction, transaction_id,
        booked_at, amount, balance_before, balance, credit_count, credit_total, counterparty_id,
        memo, metadata, hash
    FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[],
            $6::smallint[], $7::smallint[], $8::uuid[], $9::timestamptz[], $10::numeric[],
            $11::numeric[], $12::numeric[], $13::bigint[], $14::numeric[], $15::uuid[],
            $16::text[], $17::text[], $18::bytea[])
        AS t (part, account_id, number, previous_number, currency, kind, direction, transaction_id,
            booked_at, amount, balance_before, balance, credit_count, credit_total,
            counterparty_id, memo, metadata, hash)";

/// Moves heads on; its parameters begin with the number `first`.
fn heads(first: usize) -> String {
    let types = [
        "smallint",
        "uuid",
        "bigint",
        "text",
        "bigint",
        "numeric",
        "bigint",
        "numeric",
        "bytea",
        "timestamptz",
        "timestamptz",
        "bigint",
    ];
    let values = types.iter().zip(first..).map(|(kind, n)| format!("${n}::{kind}[]"));
    let values = values.collect::<Vec<_>>().join(", ");
    format!(
        "UPDATE tongjang.accounts AS a
            SET status = n.status, entry_count = n.entry_count,
                head_number = nullif(n.entry_count, 0), balance = n.balance,
                credit_count = n.credit_count, credit_total = n.credit_total,
                head_hash = n.head_hash, last_booked_at = n.last_booked_at,
                changed_at = n.changed_at, version = n.version
            FROM unnest({values})
                AS n (part, id, version_before, status, entry_count, balance, credit_count,
                    credit_total, head_hash, last_booked_at, changed_at, version)
            WHERE a.part = n.part AND a.id = n.id AND a.version = n.version_before"
    )
}

/// Adds entries and moves the heads of their accounts on.
fn entries_and_heads() -> String {
    format!("WITH booked AS ({ENTRIES}) {}", heads(19))
}

const CHANGES: &str = "INSERT INTO tongjang.status_changes
        (part, account_id, version, status, changed_at)
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[])
        AS t (part, account_id, version, status, changed_at)";

const KEYS: &str = "INSERT INTO tongjang.keys (part, scope, key, fingerprint, happened_at,
        transaction_id, opened_id, changed_id, refusal, version)
    SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[],
            $6::uuid[], $7::uuid[], $8::uuid[], $9::text[], $10::bigint[])
        AS t (part, scope, key, fingerprint, happened_at, transaction_id, opened_id, changed_id,
            refusal, version)";

impl Writing {
    pub(super) async fn prepare(client: &Client, engine: Engine) -> Result<Self, Error> {
        let distributed = match engine.is_distributed() {
            true => Some(Distributed::prepare(client, engine).await?),
            false => None,
        };
        Ok(Self {
            accounts: client.prepare(ACCOUNTS).await?,
            numbers: client.prepare(NUMBERS).await?,
            entries_and_heads: client.prepare(&entries_and_heads()).await?,
            heads: client.prepare(&heads(1)).await?,
            changes: client.prepare(CHANGES).await?,
            keys: client.prepare(KEYS).await?,
            distributed,
        })
    }

    /// Whether the database refuses `rows` by itself if not all of them can be written. An account
    /// of which only the status changes is locked at its version, and that it still has it is to
    /// be seen by how many rows were changed; so is all of it where the tables are distributed.
    pub(super) fn is_held_together(&self, rows: &Rows<'_>) -> bool {
        self.distributed.is_none() && rows.changes.part.is_empty()
    }

    /// Adds `rows`. All statements are sent at once.
    pub(super) async fn write(&self, client: &Client, rows: &Rows<'_>) -> Result<Written, Error> {
        if let Some(distributed) = &self.distributed {
            return distributed.write(client, rows).await;
        }
        let Rows { accounts, numbers, entries, heads, changes, keys } = rows;
        let (statement, values) = match entries.values() {
            none if none.is_empty() => (&self.heads, heads.values()),
            entries => (&self.entries_and_heads, [entries, heads.values()].concat()),
        };
        let (_, _, moved, _, _) = tokio::try_join!(
            biased;
            add(client, &self.accounts, accounts.values()),
            add(client, &self.numbers, numbers.values()),
            add(client, statement, values),
            add(client, &self.changes, changes.values()),
            add(client, &self.keys, keys.values()),
        )?;
        Ok(Written { all_heads: moved == heads.part.len() as u64 })
    }
}

impl Distributed {
    async fn prepare(client: &Client, engine: Engine) -> Result<Self, Error> {
        let adding = async |text: &str, columns| {
            ByPart::prepare(client, engine, ("p.part", columns), |only| through_part(text, only))
                .await
        };
        let moving = |only: &str| format!("{} {only}", heads(1));
        Ok(Self {
            accounts: adding(ACCOUNTS, 9).await?,
            numbers: adding(NUMBERS, 4).await?,
            entries: adding(&with_whole_chain(ENTRIES), 18).await?,
            heads: ByPart::prepare(client, engine, ("a.part", 12), moving).await?,
            changes: adding(CHANGES, 5).await?,
            keys: adding(KEYS, 10).await?,
        })
    }

    /// Adds `rows`, in the order in which foreign keys lead from one table to another.
    async fn write(&self, client: &Client, rows: &Rows<'_>) -> Result<Written, Error> {
        let Rows { accounts, numbers, entries, heads, changes, keys } = rows;
        self.accounts.execute(client, &accounts.part, &accounts.values()).await?;
        self.numbers.execute(client, &numbers.part, &numbers.values()).await?;
        self.entries.execute(client, &entries.part, &entries.values()).await?;
        let moved = self.heads.execute(client, &heads.part, &heads.values()).await?;
        self.changes.execute(client, &changes.part, &changes.values()).await?;
        self.keys.execute(client, &keys.part, &keys.values()).await?;
        Ok(Written { all_heads: moved == heads.part.len() as u64 })
    }
}

/// The statement `insert` for the rows of one part, which its node takes as it is: rows that come
/// from no table would be copied there one table at a time, and what is refused then has no code.
fn through_part(insert: &str, only: &str) -> String {
    let joined = insert.replacen("FROM unnest", "FROM tongjang.parts AS p JOIN unnest", 1);
    format!("{joined} USING (part) WHERE true {only}")
}

/// The statement that adds entries, with every one of them naming the one before it: no trigger
/// sees there what a statement adds, so the foreign key is all that holds the chain.
fn with_whole_chain(insert: &str) -> String {
    insert.replacen(
        "number, previous_number,\n        CASE",
        "number, nullif(number - 1, 0),\n        CASE",
        1,
    )
}

/// What a batch wrote.
pub(super) struct Written {
    /// Whether every account still was where it was locked.
    pub(super) all_heads: bool,
}

async fn add(client: &Client, statement: &Statement, values: Values<'_>) -> Result<u64, Error> {
    if values.is_empty() { Ok(0) } else { client.execute(statement, &values).await }
}
