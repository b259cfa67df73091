//! Session tokens in PostgreSQL, and what a token or key stands for.

use tokio_postgres::Row;
use tongjang_core::{Timestamp, UserId};

use super::users::{id, role};
use super::values::{Id, Moment};
use super::{Attempt, Postgres, Values};
use crate::auth::{Caller, Credential, Scopes, SecretHash, Via};
use crate::directory::DirectoryError;

impl Postgres {
    /// Remembers a new token of `user`, and drops those that have expired before `now`.
    pub(in crate::directory) async fn add_token(
        &self,
        hash: SecretHash,
        user: UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), DirectoryError> {
        match self.drop_old_tokens(now).await {
            // Another server is dropping the same ones.
            Err(error) if error.gave_way() => {}
            dropped => dropped?,
        }
        let sql = "INSERT INTO tongjang.tokens (hash, user_id, expires_at) VALUES ($1, $2, $3)";
        let values: Values<'_> = &[&hash.bytes().as_slice(), &Id(user), &Moment(expires_at)];
        self.execute("keep a token", sql, values).await.map(|_| ())
    }

    /// By a commit of its own: two servers that drop the same tokens must not hold up, or lose,
    /// the new ones.
    async fn drop_old_tokens(&self, now: Timestamp) -> Result<(), DirectoryError> {
        // A few at a time, so that no login pays for all the others.
        let sql = "DELETE FROM tongjang.tokens WHERE hash IN
            (SELECT hash FROM tongjang.tokens WHERE expires_at <= $1
                ORDER BY expires_at LIMIT 100)";
        self.execute("drop old tokens", sql, &[&Moment(now)]).await.map(|_| ())
    }

    /// What the token or key with this hash stands for, expired or not.
    pub(in crate::directory) async fn credential(
        &self,
        hash: SecretHash,
    ) -> Result<Option<Credential>, DirectoryError> {
        let attempt = "look a token up";
        let sql = "SELECT u.id, u.role, t.expires_at, NULL AS key, true, true
                FROM tongjang.tokens t JOIN tongjang.users u ON u.id = t.user_id WHERE t.hash = $1
            UNION ALL SELECT u.id, u.role, k.expires_at, k.id, k.write, k.operate
                FROM tongjang.api_keys k JOIN tongjang.users u ON u.id = k.user_id
                WHERE k.hash = $1";
        let row = self.row(attempt, sql, &[&hash.bytes().as_slice()]).await?;
        row.map(|row| credential(&row)).transpose().attempt(attempt)
    }
}

fn credential(row: &Row) -> Result<Credential, tokio_postgres::Error> {
    let key: Option<&str> = row.try_get(3)?;
    let caller = Caller {
        user: id(row, 0)?,
        role: role(row, 1)?,
        scopes: Scopes { write: row.try_get(4)?, operate: row.try_get(5)? },
        via: match key {
            Some(id) => Via::Key(id.parse().expect("only ids of keys are kept")),
            None => Via::Session,
        },
    };
    let expires_at: Option<Moment> = row.try_get(2)?;
    Ok(Credential { caller, expires_at: expires_at.map(|Moment(end)| end) })
}
