//! The display names of users, which others see on the entries that they share: looked up for
//! every transfer, so kept in memory.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tongjang_core::UserId;

use super::{Directory, DirectoryError, Keeper};
use crate::problem::Problem;

/// How many names are kept; beyond that all are looked up afresh.
const ROOM: usize = 100_000;

/// The names looked up so far. A user's name never changes; whoever lets it change must drop it
/// here too, and find a way to drop it in the other servers of a directory that is shared.
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
            let found = self.find_names(missing).await?;
            self.0.names.keep(&found);
            names.extend(found);
        }
        Ok(names)
    }

    /// The same, looked up and not out of memory.
    pub(super) async fn find_names(
        &self,
        users: Vec<UserId>,
    ) -> Result<Vec<(UserId, DisplayName)>, DirectoryError> {
        match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.names(users).await,
            Keeper::Postgres(postgres) => postgres.names(users).await,
        }
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
