//! Users: who has a name and a password here.

use std::collections::HashSet;

use tongjang_core::{Timestamp, UserId};
use unicode_normalization::UnicodeNormalization;

use super::{Directory, DirectoryError, Keeper};
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

    /// As its owner wrote it.
    pub(super) fn written(&self) -> &str {
        &self.written
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

impl NewUser {
    /// The user that he is once he is taken in.
    pub(super) fn taken_in(self) -> User {
        let Self { id, username, name, role, created_at, .. } = self;
        User { id, username: username.written, name, role, created_at }
    }
}

impl Directory {
    /// Takes a user in.
    ///
    /// # Errors
    /// 409 `username-taken`; 503 if the directory fails.
    pub async fn add_user(&self, user: NewUser) -> Result<User, Problem> {
        Ok(self.take_in(user).await?)
    }

    /// The same for the command line, which tells a person what went wrong.
    ///
    /// # Errors
    /// If the username is taken or the database refuses.
    pub async fn take_in(&self, user: NewUser) -> Result<User, DirectoryError> {
        match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.add_user(user).await,
            Keeper::Postgres(postgres) => postgres.add_user(user).await,
        }
    }

    /// The user `id`.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Problem> {
        Ok(match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.user(id).await?,
            Keeper::Postgres(postgres) => postgres.user(id).await?,
        })
    }

    /// The user with this username and the hash of his password.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn user_named(
        &self,
        username: &Username,
    ) -> Result<Option<(UserId, PasswordHash)>, Problem> {
        Ok(self.found(username).await?)
    }

    /// The user of this name, for the command line.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn named(&self, name: &str) -> Result<Option<UserId>, DirectoryError> {
        // What is no username is the name of nobody.
        let Ok(name) = Username::new(name, "") else { return Ok(None) };
        Ok(self.found(&name).await?.map(|(id, _)| id))
    }

    /// Those of `users` who are here, for the command line.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn known(&self, users: Vec<UserId>) -> Result<HashSet<UserId>, DirectoryError> {
        let names = self.find_names(users).await?;
        Ok(names.into_iter().map(|(user, _)| user).collect())
    }

    async fn found(
        &self,
        username: &Username,
    ) -> Result<Option<(UserId, PasswordHash)>, DirectoryError> {
        match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.user_named(username).await,
            Keeper::Postgres(postgres) => postgres.user_named(username).await,
        }
    }
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
