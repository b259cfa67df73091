//! Users in SQLite.

use rusqlite::{OptionalExtension, Row, params};
use tongjang_core::{Timestamp, UserId};

use super::{Attempt, Sqlite};
use crate::auth::{PasswordHash, Role};
use crate::directory::{DirectoryError, NewUser, User, Username};

impl Sqlite {
    /// Takes a user in.
    pub(in crate::directory) async fn add_user(
        &self,
        user: NewUser,
    ) -> Result<User, DirectoryError> {
        self.write(move |connection| insert(connection, user)).await
    }

    /// The user `id`.
    pub(in crate::directory) async fn user(
        &self,
        id: UserId,
    ) -> Result<Option<User>, DirectoryError> {
        self.read(move |connection| {
            let sql = "SELECT id, username, name, role, created_at FROM users WHERE id = ?1";
            let mut query = connection.prepare_cached(sql).attempt("look a user up")?;
            let id = id.bits().to_be_bytes();
            query.query_row([id], user).optional().attempt("look a user up")
        })
        .await
    }

    /// The user with this username and the hash of his password.
    pub(in crate::directory) async fn user_named(
        &self,
        username: &Username,
    ) -> Result<Option<(UserId, PasswordHash)>, DirectoryError> {
        let key = username.key().to_owned();
        self.read(move |connection| {
            let sql = "SELECT id, password_hash FROM users WHERE username_key = ?1";
            let mut query = connection.prepare_cached(sql).attempt("look a username up")?;
            let found = query.query_row([key], |row| {
                let hash = row.get_ref(1)?.as_str()?;
                Ok((user_id(row, 0)?, PasswordHash::from_stored(hash)))
            });
            found.optional().attempt("look a username up")
        })
        .await
    }
}

fn insert(connection: &rusqlite::Connection, new: NewUser) -> Result<User, DirectoryError> {
    let sql = "INSERT INTO users (id, username, username_key, password_hash, name, role,
        created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (username_key) DO NOTHING";
    let values = params![
        new.id.bits().to_be_bytes(),
        new.username.written(),
        new.username.key(),
        new.password.as_str(),
        new.name,
        new.role.as_str(),
        new.created_at.micros(),
    ];
    if connection.execute(sql, values).attempt("take a user in")? == 0 {
        return Err(DirectoryError::UsernameTaken);
    }
    Ok(new.taken_in())
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: user_id(row, 0)?,
        username: row.get(1)?,
        name: row.get(2)?,
        role: role(row, 3)?,
        created_at: Timestamp::from_micros(row.get(4)?),
    })
}

pub(super) fn user_id(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    Ok(UserId::from_bits(u128::from_be_bytes(row.get(column)?)))
}

pub(super) fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    // The table's CHECK admits only these two.
    let operator = row.get_ref(column)?.as_str()? == Role::Operator.as_str();
    Ok(if operator { Role::Operator } else { Role::Customer })
}
