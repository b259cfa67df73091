//! API keys, with which a backend acts for a user.

use rusqlite::{OptionalExtension, params};
use tongjang_core::{Timestamp, UserId};

use super::{Attempt, Directory};
use crate::auth::{KeyId, Scopes, SecretHash};
use crate::problem::Problem;

/// A key as its owner sees it later: all but the secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// What it is good for.
    pub scopes: Scopes,
    /// The last four characters of the secret.
    pub last_four: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no good any more.
    pub expires_at: Option<Timestamp>,
}

/// A key to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewKey {
    /// Whose it is.
    pub user: UserId,
    /// The hash of the secret.
    pub hash: SecretHash,
    /// The rest.
    pub key: ApiKey,
}

impl Directory {
    /// The most keys that a user has.
    pub const MAX_KEYS: u32 = 100;

    /// Remembers a new key; `false` if its user has [`MAX_KEYS`](Self::MAX_KEYS) already.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn add_key(&self, new: NewKey) -> Result<bool, Problem> {
        self.write(move |connection| {
            let sql = "INSERT INTO api_keys
                (id, hash, user_id, name, write, last_four, created_at, expires_at, operate)
                SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
                WHERE (SELECT count(*) FROM api_keys WHERE user_id = ?3) < ?10";
            let values = params![
                new.key.id.to_string(),
                new.hash.bytes(),
                new.user.bits().to_be_bytes(),
                new.key.name,
                new.key.scopes.write,
                new.key.last_four,
                new.key.created_at.micros(),
                new.key.expires_at.map(Timestamp::micros),
                new.key.scopes.operate,
                Self::MAX_KEYS,
            ];
            connection.execute(sql, values).attempt("keep a key").map(|rows| rows == 1)
        })
        .await
    }

    /// The keys of `user`, newest first, at most [`MAX_KEYS`](Self::MAX_KEYS).
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn keys(&self, user: UserId) -> Result<Vec<ApiKey>, Problem> {
        self.read(move |connection| {
            let attempt = "list keys";
            let sql = "SELECT id, name, write, last_four, created_at, expires_at, operate
                FROM api_keys WHERE user_id = ?1 ORDER BY id DESC";
            let mut query = connection.prepare_cached(sql).attempt(attempt)?;
            let rows = query.query_map([user.bits().to_be_bytes()], |row| {
                let expires_at: Option<i64> = row.get(5)?;
                Ok(ApiKey {
                    id: row.get_ref(0)?.as_str()?.parse().expect("only ids of keys are kept"),
                    name: row.get(1)?,
                    scopes: Scopes { write: row.get(2)?, operate: row.get(6)? },
                    last_four: row.get(3)?,
                    created_at: Timestamp::from_micros(row.get(4)?),
                    expires_at: expires_at.map(Timestamp::from_micros),
                })
            });
            rows.and_then(Iterator::collect).attempt(attempt)
        })
        .await
    }

    /// Deletes the key `id` of `user` and gives its hash back, so that it is forgotten elsewhere
    /// too; `None` if that user has no such key.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn delete_key(&self, user: UserId, id: KeyId) -> Result<Option<SecretHash>, Problem> {
        self.write(move |connection| {
            let sql = "DELETE FROM api_keys WHERE id = ?1 AND user_id = ?2 RETURNING hash";
            let values = params![id.to_string(), user.bits().to_be_bytes()];
            let hash =
                connection.query_row(sql, values, |row| row.get(0).map(SecretHash::from_bytes));
            hash.optional().attempt("delete a key")
        })
        .await
    }
}
