//! Who is here, for the command line, which has no async threads and must change nothing.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tongjang_core::UserId;

use super::users::user_id;
use super::{Attempt, FILE};
use crate::directory::{DirectoryError, Username};

/// The users of a directory that is only read.
#[derive(Debug)]
pub struct Users(Connection);

/// The users in `data`, whose directory is not changed.
///
/// # Errors
/// If there is no directory yet, or SQLite refuses.
pub fn users_in(data: &Path) -> Result<Users, DirectoryError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(data.join(FILE), flags);
    connection.attempt("open the directory of users").map(Users)
}

impl Users {
    /// Whether there is a user of this id.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn knows(&self, id: UserId) -> Result<bool, DirectoryError> {
        let attempt = "look a user up";
        let mut query =
            self.0.prepare_cached("SELECT 1 FROM users WHERE id = ?1").attempt(attempt)?;
        query.exists([id.bits().to_be_bytes()]).attempt(attempt)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn named(&self, name: &str) -> Result<Option<UserId>, DirectoryError> {
        // What is no username is the name of nobody.
        let Ok(name) = Username::new(name, "") else { return Ok(None) };
        let sql = "SELECT id FROM users WHERE username_key = ?1";
        let found = self.0.query_row(sql, [name.key()], |row| user_id(row, 0)).optional();
        found.attempt("look a username up")
    }
}
