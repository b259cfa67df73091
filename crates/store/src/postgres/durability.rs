//! What is asked of a database before the first booking goes into it.

use tokio_postgres::Client;

use crate::StoreError;

/// The oldest that is still looked after, as `server_version_num` counts.
const OLDEST: i64 = 130_000;

/// Refuses a database that cannot hold the ledger: older than PostgreSQL 13, or not in UTF-8.
/// Gives warnings, for the log, of settings by which answered bookings can be lost.
pub async fn check_durability(client: &Client) -> Result<Vec<String>, StoreError> {
    let asked = "SELECT pg_catalog.current_setting('server_version_num')::bigint,
                        pg_catalog.current_setting('server_version'),
                        pg_catalog.current_setting('server_encoding'),
                        pg_catalog.current_setting('fsync'),
                        pg_catalog.current_setting('full_page_writes'),
                        pg_catalog.current_setting('synchronous_commit')";
    let row = client
        .query_one(asked, &[])
        .await
        .map_err(|error| StoreError::database("read the settings of the database", error))?;
    let text = |at: usize| -> Result<String, StoreError> {
        row.try_get(at)
            .map_err(|error| StoreError::database("read the settings of the database", error))
    };
    let number: i64 = row
        .try_get(0)
        .map_err(|error| StoreError::database("read the settings of the database", error))?;
    judge(number, &text(1)?, &text(2)?, [&text(3)?, &text(4)?, &text(5)?])
}

/// What is made of `fsync`, `full_page_writes` and `synchronous_commit`, and of what stands before
/// them.
fn judge(
    number: i64,
    version: &str,
    encoding: &str,
    [fsync, full_page_writes, synchronous_commit]: [&str; 3],
) -> Result<Vec<String>, StoreError> {
    let unfit = |what| Err(StoreError::Unfit { what });
    if number < OLDEST {
        return unfit(format!("it is PostgreSQL {version}, and 13 is the oldest that will do"));
    }
    if encoding != "UTF8" {
        return unfit(format!("its encoding is {encoding} and has to be UTF8"));
    }
    let mut warnings = Vec::new();
    if fsync == "off" {
        warnings.push(
            "the database runs with fsync=off: when its machine loses power, answered bookings \
             can be lost and the ledger be damaged"
                .into(),
        );
    }
    if full_page_writes == "off" {
        warnings.push(
            "the database runs with full_page_writes=off: when its machine loses power, a page \
             half written can damage the ledger"
                .into(),
        );
    }
    if matches!(synchronous_commit, "off" | "local") {
        warnings.push(format!(
            "this session runs with synchronous_commit={synchronous_commit}: answered bookings \
             can be lost"
        ));
    }
    Ok(warnings)
}
