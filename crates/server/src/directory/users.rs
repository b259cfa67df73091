//! Users: who has a name and a password here.

use rusqlite::{OptionalExtension, Row, params};
use tongjang_core::{Timestamp, UserId};
use unicode_normalization::UnicodeNormalization;

use super::{Attempt, Directory, DirectoryError};
use crate::auth::{PasswordHash, Role};
use crate::problem::{Problem, Text};

/// A username: 3 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Username {
    written: String,
    key: String,
}

impl Username {
    /// The fewest characters of a username.
    pub const MIN_CHARS: usize = 3;
    /// The most characters of a username.
    pub const MAX_CHARS: usize = 64;

    /// The username that `text` spells.
    ///
    /// # Errors
    /// 400 `invalid-request` at `pointer`.
    pub fn new(text: &str, pointer: &str) -> Result<Self, Problem> {
        // A stranger may send a whole body of it; one letter too many is enough to see that.
        let written: String = text.nfkc().take(Self::MAX_CHARS + 1).collect();
        let length = Self::MIN_CHARS..=Self::MAX_CHARS;
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        if length.contains(&written.chars().count()) && written.chars().all(allowed) {
            return Ok(Self { key: key_of(&written), written });
        }
        Err(Problem::invalid(
            pointer,
            Text::fixed(
                "must be 3 to 64 letters, digits, '.', '_' or '-'",
                "3~64자의 글자, 숫자, '.', '_', '-'여야 합니다",
            ),
        ))
    }

    /// What two usernames share that are the same, whatever their case and Unicode form.
    pub fn key(&self) -> &str {
        &self.key
    }
}

fn key_of(text: &str) -> String {
    text.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// A user as others may see him.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The user's id, by which the ledger knows him.
    pub id: UserId,
    /// The username, as its owner wrote it.
    pub username: String,
    /// What to call him.
    pub name: Option<String>,
    /// What he is to the ledger.
    pub role: Role,
    /// Since when he is here.
    pub created_at: Timestamp,
}

/// A user to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewUser {
    /// The id he will have.
    pub id: UserId,
    /// The username.
    pub username: Username,
    /// The hash of his password.
    pub password: PasswordHash,
    /// What to call him.
    pub name: Option<String>,
    /// What he will be to the ledger.
    pub role: Role,
    /// The time now.
    pub created_at: Timestamp,
}

impl Directory {
    /// Takes a user in.
    ///
    /// # Errors
    /// 409 `username-taken`; 503 if the directory fails.
    pub async fn add_user(&self, user: NewUser) -> Result<User, Problem> {
        self.write(move |connection| insert(connection, user)).await
    }

    /// The same for the command line, which has no async threads.
    ///
    /// # Errors
    /// If the username is taken or SQLite refuses.
    pub fn add_user_blocking(&self, user: NewUser) -> Result<User, DirectoryError> {
        insert(&self.0.writer.lock(), user)
    }

    /// The user `id`.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Problem> {
        self.read(move |connection| {
            let sql = "SELECT id, username, name, role, created_at FROM users WHERE id = ?1";
            let mut query = connection.prepare_cached(sql).attempt("look a user up")?;
            let id = id.bits().to_be_bytes();
            query.query_row([id], user).optional().attempt("look a user up")
        })
        .await
    }

    /// The user with this username and the hash of his password.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn user_named(
        &self,
        username: &Username,
    ) -> Result<Option<(UserId, PasswordHash)>, Problem> {
        let key = username.key.clone();
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
        new.username.written,
        new.username.key,
        new.password.as_str(),
        new.name,
        new.role.as_str(),
        new.created_at.micros(),
    ];
    if connection.execute(sql, values).attempt("take a user in")? == 0 {
        return Err(DirectoryError::UsernameTaken);
    }
    let NewUser { id, username, name, role, created_at, .. } = new;
    Ok(User { id, username: username.written, name, role, created_at })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_width_do_not_make_another_username() {
        for (one, other) in [("Kim", "kim"), ("ｋｉｍ", "KIM"), ("김철수", "김철수")] {
            let key = |text| Username::new(text, "/username").unwrap().key().to_owned();
            assert_eq!(key(one), key(other));
        }
    }

    #[test]
    fn a_username_is_letters_digits_dots_and_dashes() {
        for name in ["kim", "김철수", "a.b_c-1", &"k".repeat(64)] {
            assert!(Username::new(name, "/username").is_ok(), "{name}");
        }
        for name in
            ["", "ki", "k m", "kim!", "a/b", "kim\n", "a@b", &"k".repeat(65), &"\u{fdfa}".repeat(9)]
        {
            assert!(Username::new(name, "/username").is_err(), "{name}");
        }
    }
}
