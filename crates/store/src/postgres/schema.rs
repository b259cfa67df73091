//! What must stand in the database: `tongjang migrate` puts it there, step by step, forward only.

use tokio_postgres::Client;

use super::values::Uuid;
use super::{Engine, Parts, check_durability};
use crate::StoreError;

/// A step of the schema. A step that was released never changes.
struct Step {
    version: i32,
    name: &'static str,
    sql: &'static str,
    /// What stands in its place where Citus distributes the tables.
    citus: &'static str,
}

impl Step {
    /// A step that is the same on every engine.
    const fn same(version: i32, name: &'static str, sql: &'static str) -> Self {
        Self { version, name, sql, citus: sql }
    }
}

const STEPS: [Step; 6] = [
    Step::same(1, "ledger", include_str!("migrations/0001-ledger.sql")),
    Step {
        version: 2,
        name: "guards",
        sql: include_str!("migrations/0002-guards.sql"),
        citus: "-- Those that Citus can have come with step 6.\n",
    },
    Step::same(3, "rights", include_str!("migrations/0003-rights.sql")),
    Step::same(4, "directory", include_str!("migrations/0004-directory.sql")),
    Step::same(5, "copies", include_str!("migrations/0005-copies.sql")),
    Step {
        version: 6,
        name: "engine",
        sql: include_str!("migrations/0006-engine.sql"),
        citus: include_str!("migrations/0006-engine-citus.sql"),
    },
];

/// The roles, which are the whole server's. It may run any number of times.
const ROLES: &str = include_str!("migrations/0000-roles.sql");
/// The schema and the table that counts the steps. It may run any number of times.
const FOUNDATION: &str = include_str!("migrations/0000-foundation.sql");

/// As an engine of several nodes has them: the nodes connect to each other as the role that asks.
const CITUS_ROLES: &str = "DO $$
BEGIN
    IF NOT (SELECT rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = 'tongjang_app') THEN
        ALTER ROLE tongjang_app LOGIN;
    END IF;
END
$$;
";

/// The step from which a ledger remembers its engine.
const ENGINES: i32 = 6;

/// How a schema is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How many parts a new ledger has, [`Parts::USUAL`] if that is not said. A ledger that is
    /// there keeps its own, and no others may be asked for.
    pub parts: Option<Parts>,
    /// 128 random bits, by which a new ledger is known.
    pub id: u128,
    /// Whether Citus distributes the tables of a new ledger by their part.
    pub citus: bool,
}

impl Layout {
    fn engine(self) -> Engine {
        if self.citus { Engine::Citus } else { Engine::PostgreSql }
    }
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
    /// The engine that keeps it.
    pub engine: Engine,
}

/// The newest step that this version knows.
pub fn known() -> i32 {
    STEPS.iter().map(|step| step.version).max().unwrap_or_default()
}

/// The SQL that makes the schema from nothing, for a person to read or to run.
pub fn script(layout: Layout) -> String {
    let foundation = match layout.engine() {
        Engine::PostgreSql => {
            format!("BEGIN;\n\n{ROLES}\n{FOUNDATION}\nSET LOCAL ROLE tongjang_owner;\n")
        }
        Engine::Citus => format!("{ROLES}\n{CITUS_ROLES}\nBEGIN;\n\n{FOUNDATION}"),
    };
    let steps = STEPS.iter().map(|step| format!("\n{}", text_of(step, layout)));
    foundation + &steps.collect::<String>() + "\nCOMMIT;\n"
}

/// The SQL of a step, with what takes note of it.
fn text_of(step: &Step, layout: Layout) -> String {
    let Step { version, name, .. } = step;
    let sql = if layout.citus { step.citus } else { step.sql };
    let mut text = format!("-- Step {version}: {name}.\n{sql}");
    if *version == 1 {
        let (id, parts) = (uuid(layout.id), layout.parts.unwrap_or(Parts::USUAL).count());
        text += &format!("\nINSERT INTO tongjang.ledger (id, parts) VALUES ('{id}', {parts});\n");
    }
    text + &format!(
        "\nINSERT INTO tongjang.migrations (version, name) VALUES ({version}, '{name}');\n"
    )
}

/// The commands of a text in which each ends with a line, and what stands between two `$$` is
/// part of one.
fn commands(text: &str) -> Vec<&str> {
    let (mut commands, mut begin, mut end, mut quoted) = (Vec::new(), 0, 0, false);
    for line in text.split_inclusive('\n') {
        end += line.len();
        let is_comment = line.starts_with("--");
        quoted ^= !is_comment && line.matches("$$").count() % 2 == 1;
        if !is_comment && !quoted && line.trim_end().ends_with(';') {
            commands.extend(text.get(begin..end));
            begin = end;
        }
    }
    commands
}

fn uuid(bits: u128) -> String {
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

const ATTEMPT: &str = "bring the schema up to date";

/// Brings the schema up to date, all steps or none. Of two that start at once the second waits and
/// then finds it done.
///
/// # Errors
/// If the database cannot hold a ledger, the schema is of a newer version, of another engine or in
/// other parts than `layout` says, or the database refuses. Nothing is changed then.
pub async fn migrate(client: &mut Client, layout: Layout) -> Result<Migrated, StoreError> {
    let attempt = |error| StoreError::database(ATTEMPT, error);
    check_durability(client).await?;
    if layout.citus {
        check_citus(client).await?;
        check_layout(client, layout).await?;
        // The other nodes have to know the roles before anything is made for them.
        let roles = format!("{ROLES}{CITUS_ROLES}");
        client.batch_execute(&roles).await.map_err(attempt)?;
    }
    let transaction = client.transaction().await.map_err(attempt)?;
    transaction.batch_execute(ROLES).await.map_err(attempt)?;
    transaction.batch_execute(FOUNDATION).await.map_err(attempt)?;
    if !layout.citus {
        transaction.batch_execute("SET LOCAL ROLE tongjang_owner").await.map_err(attempt)?;
    }
    let lock = "LOCK TABLE tongjang.migrations IN EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.map_err(attempt)?;
    let found = check_layout(transaction.client(), layout).await?;
    let mut steps = Vec::new();
    for step in STEPS.iter().filter(|step| step.version > found) {
        let text = text_of(step, layout);
        // Citus sends the whole text of what it is given to its nodes, which take one command each.
        let commands = if layout.citus { commands(&text) } else { vec![text.as_str()] };
        for command in commands {
            transaction.batch_execute(command).await.map_err(attempt)?;
        }
        steps.push(step.name);
    }
    let Standing { parts, engine, .. } = standing(transaction.client()).await?;
    transaction.commit().await.map_err(attempt)?;
    Ok(Migrated { steps, version: known(), parts, engine })
}

/// Refuses a database that has not got what distributes the tables.
async fn check_citus(client: &Client) -> Result<(), StoreError> {
    let attempt = |error| StoreError::database(ATTEMPT, error);
    let sql = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')";
    if client.query_one(sql, &[]).await.map_err(attempt)?.get(0) {
        return Ok(());
    }
    let what = "the extension `citus` is not in it; run `CREATE EXTENSION citus` there and on each \
                node, and add the nodes by `citus_add_node`";
    Err(StoreError::Unfit { what: what.to_owned() })
}

/// The step that the schema is at, if it can go on from there as `layout` says.
async fn check_layout(client: &Client, layout: Layout) -> Result<i32, StoreError> {
    let found = version(client).await?;
    let engine = match found {
        0 => return Ok(0),
        newer if newer > known() => return Err(StoreError::Schema { found, known: known() }),
        // Before there was a choice.
        before if before < ENGINES => Engine::PostgreSql,
        _ => standing(client).await?.engine,
    };
    let unfit = |what| Err(StoreError::Unfit { what });
    match engine {
        _ if engine == layout.engine() => {}
        Engine::PostgreSql => {
            let what = "the ledger in it is not distributed; `tongjang copy` takes it into a new \
                        one that is";
            return unfit(what.to_owned());
        }
        Engine::Citus => {
            let what = "the ledger in it is distributed by Citus; run `tongjang migrate --citus`";
            return unfit(what.to_owned());
        }
    }
    let attempt = |error| StoreError::database("read what the ledger is", error);
    let row = client.query_one("SELECT parts FROM tongjang.ledger", &[]).await.map_err(attempt)?;
    let has: i16 = row.get(0);
    match layout.parts.map(Parts::count).filter(|asked| i16::try_from(*asked) != Ok(has)) {
        None => Ok(found),
        Some(asked) => unfit(format!(
            "the ledger in it has {has} parts and keeps them; `tongjang copy` takes it into a new \
             one of {asked}"
        )),
    }
}

/// The step that the schema is at; 0 if there is none.
async fn version(client: &Client) -> Result<i32, StoreError> {
    let attempt = |error| StoreError::database("read the schema's version", error);
    let there = "SELECT to_regclass('tongjang.migrations') IS NOT NULL";
    let there: bool = client.query_one(there, &[]).await.map_err(attempt)?.get(0);
    if !there {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM tongjang.migrations";
    Ok(client.query_one(newest, &[]).await.map_err(attempt)?.get(0))
}

/// What a ledger is.
pub(super) struct Standing {
    pub(super) parts: Parts,
    pub(super) id: u128,
    pub(super) engine: Engine,
}

/// What the ledger is whose schema is the one that this version knows.
///
/// # Errors
/// If there is no schema, or another one.
pub(super) async fn check(client: &Client) -> Result<Standing, StoreError> {
    let found = version(client).await?;
    if found != known() {
        return Err(StoreError::Schema { found, known: known() });
    }
    standing(client).await
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

async fn standing(client: &Client) -> Result<Standing, StoreError> {
    let attempt = |error| StoreError::database("read what the ledger is", error);
    let row = client.query_one("SELECT parts, id, engine FROM tongjang.ledger", &[]).await;
    let row = row.map_err(attempt)?;
    let (parts, Uuid(id), engine): (i16, _, &str) = (row.get(0), row.get(1), row.get(2));
    let fault = |what: String| StoreError::Damaged { place: "tongjang.ledger".to_owned(), what };
    let number = u16::try_from(parts).ok().and_then(Parts::new);
    Ok(Standing {
        parts: number.ok_or_else(|| fault(format!("a ledger has no {parts} parts")))?,
        id,
        engine: Engine::named(engine).ok_or_else(|| fault(format!("no engine is {engine}")))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_all_of_its_commands() {
        for citus in [false, true] {
            let layout = Layout { parts: Parts::new(3), id: 7, citus };
            for step in &STEPS {
                let text = text_of(step, layout);
                let commands = commands(&text);
                assert_eq!(commands.concat(), text, "{}", step.name);
                for command in commands {
                    let bodies = command.matches("$$").count();
                    assert!(bodies == 0 || bodies == 2, "{command}");
                    assert!(bodies == 2 || command.matches(";\n").count() == 1, "{command}");
                }
            }
        }
    }
}
