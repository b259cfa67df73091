//! The display names of users, in SQLite.

use rusqlite::OptionalExtension;
use tongjang_core::UserId;

use super::{Attempt, Sqlite};
use crate::directory::DirectoryError;
use crate::directory::names::DisplayName;

impl Sqlite {
    /// What to call these users; those who are not known are left out.
    pub(in crate::directory) async fn names(
        &self,
        users: Vec<UserId>,
    ) -> Result<Vec<(UserId, DisplayName)>, DirectoryError> {
        self.read(move |connection| {
            let attempt = "look the names of users up";
            let sql = "SELECT name FROM users WHERE id = ?1";
            let mut query = connection.prepare_cached(sql).attempt(attempt)?;
            let mut names = Vec::with_capacity(users.len());
            for user in users {
                let id = user.bits().to_be_bytes();
                let name = query.query_row([id], |row| row.get::<_, DisplayName>(0)).optional();
                names.extend(name.attempt(attempt)?.map(|name| (user, name)));
            }
            Ok(names)
        })
        .await
    }
}
