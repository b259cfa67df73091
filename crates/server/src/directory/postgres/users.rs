//! Users in PostgreSQL.

use tokio_postgres::Row;
use tongjang_core::UserId;

use super::values::{Id, Moment};
use super::{Attempt, Postgres, Values};
use crate::auth::{PasswordHash, Role};
use crate::directory::{DirectoryError, NewUser, User, Username};

impl Postgres {
    /// Takes a user in.
    pub(in crate::directory) async fn add_user(
        &self,
        new: NewUser,
    ) -> Result<User, DirectoryError> {
        let sql = "INSERT INTO tongjang.users
            (id, username, username_key, password_hash, name, role, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (username_key) DO NOTHING";
        let values: Values<'_> = &[
            &Id(new.id),
            &new.username.written(),
            &new.username.key(),
            &new.password.as_str(),
            &new.name,
            &new.role.as_str(),
            &Moment(new.created_at),
        ];
        if self.execute("take a user in", sql, values).await? == 0 {
            return Err(DirectoryError::UsernameTaken);
        }
        Ok(new.taken_in())
    }

    /// The user `id`.
    pub(in crate::directory) async fn user(
        &self,
        id: UserId,
    ) -> Result<Option<User>, DirectoryError> {
        let attempt = "look a user up";
        let sql = "SELECT id, username, name, role, created_at FROM tongjang.users WHERE id = $1";
        let row = self.row(attempt, sql, &[&Id(id)]).await?;
        row.map(|row| user(&row)).transpose().attempt(attempt)
    }

    /// The user with this username and the hash of his password.
    pub(in crate::directory) async fn user_named(
        &self,
        username: &Username,
    ) -> Result<Option<(UserId, PasswordHash)>, DirectoryError> {
        let attempt = "look a username up";
        let sql = "SELECT id, password_hash FROM tongjang.users WHERE username_key = $1";
        let row = self.row(attempt, sql, &[&username.key()]).await?;
        row.map(|row| recognised(&row)).transpose().attempt(attempt)
    }
}

fn user(row: &Row) -> Result<User, tokio_postgres::Error> {
    Ok(User {
        id: id(row, 0)?,
        username: row.try_get(1)?,
        name: row.try_get(2)?,
        role: role(row, 3)?,
        created_at: row.try_get::<_, Moment>(4)?.0,
    })
}

fn recognised(row: &Row) -> Result<(UserId, PasswordHash), tokio_postgres::Error> {
    Ok((id(row, 0)?, PasswordHash::from_stored(row.try_get(1)?)))
}

pub(super) fn id(row: &Row, column: usize) -> Result<UserId, tokio_postgres::Error> {
    row.try_get(column).map(|Id(id)| id)
}

pub(super) fn role(row: &Row, column: usize) -> Result<Role, tokio_postgres::Error> {
    // The table's CHECK admits only these two.
    let operator = row.try_get::<_, &str>(column)? == Role::Operator.as_str();
    Ok(if operator { Role::Operator } else { Role::Customer })
}
