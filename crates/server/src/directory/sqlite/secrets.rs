//! The server's own secrets, in SQLite: made by chance once, and kept for as long as the directory.

use rusqlite::{Connection, params};

use super::Attempt;
use crate::app::Random;
use crate::directory::DirectoryError;

/// The secret of this name; made now, if there was none.
pub(super) fn kept(connection: &Connection, name: &str) -> Result<[u8; 32], DirectoryError> {
    let attempt = "read the server's secrets";
    // Of two processes that start at once, both end up with the secret of the first.
    connection
        .execute(
            "INSERT INTO secrets (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
            params![name, Random::system().bytes::<32>()],
        )
        .attempt(attempt)?;
    let sql = "SELECT value FROM secrets WHERE name = ?1";
    connection.query_row(sql, [name], |row| row.get(0)).attempt(attempt)
}
