//! API keys in PostgreSQL.

use tokio_postgres::Row;
use tongjang_core::UserId;

use super::values::{Id, Moment};
use super::{Attempt, Postgres, Values};
use crate::auth::{KeyId, Scopes, SecretHash};
use crate::directory::{ApiKey, Directory, DirectoryError, NewKey};

impl Postgres {
    /// Remembers a new key; `false` if its user has [`MAX_KEYS`](Directory::MAX_KEYS) already.
    pub(in crate::directory) async fn add_key(&self, new: NewKey) -> Result<bool, DirectoryError> {
        let most = i32::try_from(Directory::MAX_KEYS).expect("some hundred keys");
        loop {
            if self.take_place(&new, most).await? {
                return Ok(true);
            }
            // Another server may just have taken the place that was free.
            if self.count_keys(new.user).await? >= i64::from(most) {
                return Ok(false);
            }
        }
    }

    /// Puts the key into the first place that is free; `false` if there is none, or another server
    /// took it at the same time.
    async fn take_place(&self, new: &NewKey, most: i32) -> Result<bool, DirectoryError> {
        let sql = "INSERT INTO tongjang.api_keys
            (id, hash, user_id, name, write, operate, last_four, created_at, expires_at, place)
            SELECT $1::text, $2::bytea, $3::uuid, $4::text, $5::boolean, $6::boolean, $7::text,
                $8::timestamptz, $9::timestamptz, min(free.place)
            FROM generate_series(1, $10::integer) AS free (place)
            WHERE NOT EXISTS (SELECT 1 FROM tongjang.api_keys taken
                WHERE taken.user_id = $3 AND taken.place = free.place)
            HAVING count(*) > 0
            ON CONFLICT (user_id, place) DO NOTHING";
        let (key, hash) = (&new.key, new.hash.bytes());
        let values: Values<'_> = &[
            &key.id.to_string(),
            &hash.as_slice(),
            &Id(new.user),
            &key.name,
            &key.scopes.write,
            &key.scopes.operate,
            &key.last_four,
            &Moment(key.created_at),
            &key.expires_at.map(Moment),
            &most,
        ];
        Ok(self.execute("keep a key", sql, values).await? == 1)
    }

    async fn count_keys(&self, user: UserId) -> Result<i64, DirectoryError> {
        let attempt = "count keys";
        let sql = "SELECT count(*) FROM tongjang.api_keys WHERE user_id = $1";
        let row = self.row(attempt, sql, &[&Id(user)]).await?;
        row.expect("a count is one row").try_get(0).attempt(attempt)
    }

    /// The keys of `user`, newest first, at most [`MAX_KEYS`](Directory::MAX_KEYS).
    pub(in crate::directory) async fn keys(
        &self,
        user: UserId,
    ) -> Result<Vec<ApiKey>, DirectoryError> {
        let attempt = "list keys";
        let sql = "SELECT id, name, write, operate, last_four, created_at, expires_at
            FROM tongjang.api_keys WHERE user_id = $1 ORDER BY id DESC";
        let rows = self.rows(attempt, sql, &[&Id(user)]).await?;
        rows.iter().map(key).collect::<Result<_, _>>().attempt(attempt)
    }

    /// Deletes the key `id` of `user` and gives its hash back; `None` if that user has no such key.
    pub(in crate::directory) async fn delete_key(
        &self,
        user: UserId,
        id: KeyId,
    ) -> Result<Option<SecretHash>, DirectoryError> {
        let attempt = "delete a key";
        let sql = "DELETE FROM tongjang.api_keys WHERE id = $1 AND user_id = $2 RETURNING hash";
        let row = self.row(attempt, sql, &[&id.to_string(), &Id(user)]).await?;
        let Some(row) = row else { return Ok(None) };
        let hash: &[u8] = row.try_get(0).attempt(attempt)?;
        let hash = hash.try_into().expect("the table's CHECK admits 32 bytes only");
        Ok(Some(SecretHash::from_bytes(hash)))
    }
}

fn key(row: &Row) -> Result<ApiKey, tokio_postgres::Error> {
    let expires_at: Option<Moment> = row.try_get(6)?;
    Ok(ApiKey {
        id: row.try_get::<_, &str>(0)?.parse().expect("only ids of keys are kept"),
        name: row.try_get(1)?,
        scopes: Scopes { write: row.try_get(2)?, operate: row.try_get(3)? },
        last_four: row.try_get(4)?,
        created_at: row.try_get::<_, Moment>(5)?.0,
        expires_at: expires_at.map(|Moment(end)| end),
    })
}
