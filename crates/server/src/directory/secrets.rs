//! The server's own secrets: made by chance once, and kept for as long as the directory.

use rusqlite::{Connection, params};

use super::{Attempt, Directory, DirectoryError};
use crate::app::Random;
use crate::cursor::CursorKey;

impl Directory {
    /// The key under which cursors are sealed.
    pub fn cursor_key(&self) -> &CursorKey {
        &self.0.cursor_key
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_outlives_a_restart_of_its_server_and_no_other_server_takes_it() {
        let data = tempfile::tempdir().unwrap();
        let cursor = Directory::open(data.path()).unwrap().cursor_key().seal(&["a"], b"at 5");
        let again = Directory::open(data.path()).unwrap();
        assert_eq!(again.cursor_key().open(&["a"], &cursor), Ok(b"at 5".to_vec()));
        let other = tempfile::tempdir().unwrap();
        let other = Directory::open(other.path()).unwrap();
        assert!(other.cursor_key().open(&["a"], &cursor).is_err());
    }
}
