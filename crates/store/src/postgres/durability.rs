//! What is asked of a database before the first booking goes into it.

use tokio_postgres::Client;

use crate::StoreError;

/// The oldest that is still looked after, as `server_version_num` counts.
const OLDEST: i64 = 130_000;

/// Refuses a database that cannot hold the ledger: older than PostgreSQL 13, or not in UTF-8.
/// Gives warnings, for the log, of settings by which answered bookings can be lost; but for
/// `synchronous_commit`, which each session sees to by itself (see `session`).
pub async fn check_durability(client: &Client) -> Result<Vec<String>, StoreError> {
    let asked = "SELECT pg_catalog.current_setting('server_version_num')::bigint,
                        pg_catalog.current_setting('server_version'),
                        pg_catalog.current_setting('server_encoding'),
                        pg_catalog.current_setting('fsync'),
                        pg_catalog.current_setting('full_page_writes')";
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
    judge(number, &text(1)?, &text(2)?, [&text(3)?, &text(4)?])
}

/// What is made of `fsync` and `full_page_writes`, and of what stands before them.
fn judge(
    number: i64,
    version: &str,
    encoding: &str,
    [fsync, full_page_writes]: [&str; 2],
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
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_too_old_or_in_another_encoding_is_refused() {
        let judge = |number, encoding| judge(number, "x.y", encoding, ["on", "on"]);
        assert_eq!(judge(130_000, "UTF8").unwrap(), [""; 0]);
        let told = judge(129_999, "UTF8").unwrap_err().to_string();
        assert!(told.contains("it is PostgreSQL x.y, and 13 is"), "{told}");
        let told = judge(150_000, "SQL_ASCII").unwrap_err().to_string();
        assert!(told.contains("its encoding is SQL_ASCII"), "{told}");
    }

    #[test]
    fn each_setting_that_can_lose_a_booking_is_warned_of() {
        let warnings = |settings| judge(150_000, "15", "UTF8", settings).unwrap();
        for (settings, named) in
            [(["off", "on"], "fsync=off"), (["on", "off"], "full_page_writes=off")]
        {
            let warnings = warnings(settings);
            assert!(warnings.len() == 1 && warnings[0].contains(named), "{warnings:?}");
        }
        assert_eq!(warnings(["off", "off"]).len(), 2);
        assert_eq!(warnings(["on", "on"]), [""; 0]);
    }
}
