//! The display names of users, in PostgreSQL.

use std::sync::Arc;

use tokio_postgres::Row;
use tongjang_core::UserId;

use super::users::id;
use super::values::Id;
use super::{Attempt, Postgres};
use crate::directory::DirectoryError;
use crate::directory::names::DisplayName;

impl Postgres {
    /// What to call these users; those who are not known are left out.
    pub(in crate::directory) async fn names(
        &self,
        users: Vec<UserId>,
    ) -> Result<Vec<(UserId, DisplayName)>, DirectoryError> {
        let attempt = "look the names of users up";
        let users: Vec<Id> = users.into_iter().map(Id).collect();
        let sql = "SELECT id, name FROM tongjang.users WHERE id = ANY ($1)";
        let rows = self.rows(attempt, sql, &[&users]).await?;
        rows.iter().map(named).collect::<Result<_, _>>().attempt(attempt)
    }
}

fn named(row: &Row) -> Result<(UserId, DisplayName), tokio_postgres::Error> {
    let name: Option<&str> = row.try_get(1)?;
    Ok((id(row, 0)?, name.map(Arc::from)))
}
