//! API keys in SQLite.

use rusqlite::{OptionalExtension, params};
use tongjang_core::{Timestamp, UserId};

use super::{Attempt, Sqlite};
use crate::auth::{KeyId, Scopes, SecretHash};
use crate::directory::{ApiKey, Directory, DirectoryError, NewKey};

impl Sqlite {
    /// Remembers a new key; `false` if its user has [`MAX_KEYS`](Directory::MAX_KEYS) already.
    pub(in crate::directory) async fn add_key(&self, new: NewKey) -> Result<bool, DirectoryError> {
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
                Directory::MAX_KEYS,
            ];
            connection.execute(sql, values).attempt("keep a key").map(|rows| rows == 1)
        })
        .await
    }

    /// The keys of `user`, newest first, at most [`MAX_KEYS`](Directory::MAX_KEYS).
    pub(in crate::directory) async fn keys(
        &self,
        user: UserId,
    ) -> Result<Vec<ApiKey>, DirectoryError> {
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
    pub(in crate::directory) async fn delete_key(
        &self,
        user: UserId,
        id: KeyId,
    ) -> Result<Option<SecretHash>, DirectoryError> {
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
