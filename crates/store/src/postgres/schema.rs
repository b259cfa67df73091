//! What must stand in the database: `tongjang migrate` puts it there, step by step, forward only.

use tokio_postgres::Client;

use super::Parts;
use super::values::Uuid;
use crate::StoreError;

/// A step of the schema. A step that was released never changes.
struct Step {
    version: i32,
    name: &'static str,
    sql: &'static str,
    /// Whether an engine that distributes tables can do without it, as it cannot do it.
    plain_only: bool,
}

const STEPS: [Step; 5] = [
    Step {
        version: 1,
        name: "ledger",
        sql: include_str!("migrations/0001-ledger.sql"),
        plain_only: false,
    },
    Step {
        version: 2,
        name: "guards",
        sql: include_str!("migrations/0002-guards.sql"),
        plain_only: true,
    },
    Step {
        version: 3,
        name: "rights",
        sql: include_str!("migrations/0003-rights.sql"),
        plain_only: false,
    },
    Step {
        version: 4,
        name: "directory",
        sql: include_str!("migrations/0004-directory.sql"),
        plain_only: false,
    },
    Step {
        version: 5,
        name: "copies",
        sql: include_str!("migrations/0005-copies.sql"),
        plain_only: false,
    },
];

/// The roles, the schema and the table that counts the steps. It may run any number of times.
const FOUNDATION: &str = include_str!("migrations/0000-foundation.sql");

/// How a schema is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How many parts a new ledger has. A ledger that is there keeps its own.
    pub parts: Parts,
    /// 128 random bits, by which a new ledger is known.
    pub id: u128,
    /// Whether the triggers are left out, as Citus has none on distributed tables. Nothing else is
    /// done for it yet.
    pub citus: bool,
}

/// What a migration did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Migrated {
    /// The steps that were new.
    pub steps: Vec<&'static str>,
    /// The newest step now.
    pub version: i32,
    /// How many parts the ledger has.
    pub parts: Parts,
}

/// The newest step that this version knows.
pub fn known() -> i32 {
    STEPS.iter().map(|step| step.version).max().unwrap_or_default()
}

/// The SQL that makes the schema from nothing, for a person to read or to run.
pub fn script(layout: Layout) -> String {
    let mut script = format!("BEGIN;\n\n{FOUNDATION}\nSET LOCAL ROLE tongjang_owner;\n");
    for step in STEPS {
        script.push('\n');
        script.push_str(&text_of(&step, layout));
    }
    script + "\nCOMMIT;\n"
}

/// The SQL of a step, with what takes note of it.
fn text_of(step: &Step, layout: Layout) -> String {
    let Step { version, name, sql, plain_only } = step;
    let mut text = format!("-- Step {version}: {name}.\n");
    if *plain_only && layout.citus {
        text += "-- Not on Citus, which has no triggers on distributed tables.\n";
    } else {
        text += sql;
    }
    if *version == 1 {
        let (id, parts) = (uuid(layout.id), layout.parts.count());
        text += &format!("\nINSERT INTO tongjang.ledger (id, parts) VALUES ('{id}', {parts});\n");
    }
    text + &format!(
        "\nINSERT INTO tongjang.migrations (version, name) VALUES ({version}, '{name}');\n"
    )
}

fn uuid(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// Brings the schema up to date, all steps or none. Of two that start at once the second waits and
/// then finds it done.
///
/// # Errors
/// If the schema is of a newer version, or the database refuses.
pub async fn migrate(client: &mut Client, layout: Layout) -> Result<Migrated, StoreError> {
    let attempt = |error| StoreError::database("bring the schema up to date", error);
    let transaction = client.transaction().await.map_err(attempt)?;
    transaction.batch_execute(FOUNDATION).await.map_err(attempt)?;
    transaction.batch_execute("SET LOCAL ROLE tongjang_owner").await.map_err(attempt)?;
    let lock = "LOCK TABLE tongjang.migrations IN EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.map_err(attempt)?;
    let newest = "SELECT coalesce(max(version), 0) FROM tongjang.migrations";
    let found: i32 = transaction.query_one(newest, &[]).await.map_err(attempt)?.get(0);
    if found > known() {
        return Err(StoreError::Schema { found, known: known() });
    }
    let mut steps = Vec::new();
    for step in STEPS.iter().filter(|step| step.version > found) {
        transaction.batch_execute(&text_of(step, layout)).await.map_err(attempt)?;
        steps.push(step.name);
    }
    let parts = parts_of(transaction.client()).await?;
    transaction.commit().await.map_err(attempt)?;
    Ok(Migrated { steps, version: known(), parts })
}

/// The parts of a ledger whose schema is the one that this version knows, and the ledger's id.
///
/// # Errors
/// If there is no schema, or another one.
pub(super) async fn check(client: &Client) -> Result<(Parts, u128), StoreError> {
    let attempt = |error| StoreError::database("read the schema's version", error);
    let there = "SELECT to_regclass('tongjang.migrations') IS NOT NULL";
    let there: bool = client.query_one(there, &[]).await.map_err(attempt)?.get(0);
    let found = if there {
        let newest = "SELECT coalesce(max(version), 0) FROM tongjang.migrations";
        client.query_one(newest, &[]).await.map_err(attempt)?.get(0)
    } else {
        0
    };
    if found != known() {
        return Err(StoreError::Schema { found, known: known() });
    }
    let id = client.query_one("SELECT id FROM tongjang.ledger", &[]).await.map_err(attempt)?;
    let Uuid(id) = id.get(0);
    Ok((parts_of(client).await?, id))
}

/// Refuses a ledger into which another one is only copied in part.
///
/// # Errors
/// [`StoreError::Unfit`] if it is one.
pub(super) async fn check_whole(client: &Client) -> Result<(), StoreError> {
    let attempt = |error| StoreError::database("see whether a copy was finished", error);
    let sql = "SELECT EXISTS (SELECT FROM tongjang.copies WHERE finished_at IS NULL)";
    let unfinished: bool = client.query_one(sql, &[]).await.map_err(attempt)?.get(0);
    if !unfinished {
        return Ok(());
    }
    let what = "the copy of another ledger into it is not finished; run the same `tongjang copy` \
                again, which goes on with it";
    Err(StoreError::Unfit { what: what.to_owned() })
}

async fn parts_of(client: &Client) -> Result<Parts, StoreError> {
    let attempt = |error| StoreError::database("read how the ledger is divided", error);
    let row = client.query_one("SELECT parts FROM tongjang.ledger", &[]).await.map_err(attempt)?;
    let parts: i16 = row.get(0);
    u16::try_from(parts).ok().and_then(Parts::new).ok_or_else(|| StoreError::Damaged {
        place: "tongjang.ledger".to_owned(),
        what: format!("a ledger has no {parts} parts"),
    })
}
