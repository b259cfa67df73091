//! The display names of users, which others see on the entries that they share: looked up for
//! every transfer, so kept in memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension};
use tongjang_core::UserId;

use super::{Attempt, Directory, DirectoryError};
use crate::problem::Problem;

/// How many names are kept; beyond that all are looked up afresh.
const ROOM: usize = 100_000;

/// The names looked up so far. A user's name never changes; whoever lets it change must drop it
/// here too.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<HashMap<UserId, DisplayName>>);

/// What to call a user, if he has said so.
pub(super) type DisplayName = Option<Arc<str>>;

impl Directory {
    /// What to call these users; those who are not known are left out.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn display_names(
        &self,
        users: Vec<UserId>,
    ) -> Result<HashMap<UserId, Option<Arc<str>>>, Problem> {
        let (mut names, missing) = self.0.names.kept(users);
        if !missing.is_empty() {
            let found = self.read(move |connection| find(connection, &missing)).await?;
            self.0.names.keep(&found);
            names.extend(found);
        }
        Ok(names)
    }
}

impl Names {
    /// The names that are kept, and the users whose names are not.
    fn kept(&self, users: Vec<UserId>) -> (HashMap<UserId, DisplayName>, Vec<UserId>) {
        let kept = self.0.read();
        let (known, missing): (Vec<_>, _) =
            users.into_iter().partition(|user| kept.contains_key(user));
        (known.into_iter().map(|user| (user, kept[&user].clone())).collect(), missing)
    }

    fn keep(&self, found: &[(UserId, DisplayName)]) {
        let mut kept = self.0.write();
        if kept.len() + found.len() > ROOM {
            kept.clear();
        }
        kept.extend(found.iter().cloned());
    }
}

fn find(
    connection: &Connection,
    users: &[UserId],
) -> Result<Vec<(UserId, DisplayName)>, DirectoryError> {
    let attempt = "look the names of users up";
    let sql = "SELECT name FROM users WHERE id = ?1";
    let mut query = connection.prepare_cached(sql).attempt(attempt)?;
    let mut names = Vec::with_capacity(users.len());
    for user in users {
        let id = user.bits().to_be_bytes();
        let name = query.query_row([id], |row| row.get::<_, DisplayName>(0)).optional();
        names.extend(name.attempt(attempt)?.map(|name| (*user, name)));
    }
    Ok(names)
}
