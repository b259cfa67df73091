//! Session tokens in SQLite, and what a token or key stands for.

use rusqlite::{OptionalExtension, params};
use tongjang_core::{Timestamp, UserId};

use super::users::{role, user_id};
use super::{Attempt, Sqlite};
use crate::auth::{Caller, Credential, Scopes, SecretHash, Via};
use crate::directory::DirectoryError;

impl Sqlite {
    /// Remembers a new token of `user`, and drops those that have expired before `now`.
    pub(in crate::directory) async fn add_token(
        &self,
        hash: SecretHash,
        user: UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), DirectoryError> {
        self.write(move |connection| {
            // A few at a time, so that no login pays for all the others.
            let sql = "DELETE FROM tokens WHERE hash IN
                (SELECT hash FROM tokens WHERE expires_at <= ?1 LIMIT 100)";
            connection.execute(sql, [now.micros()]).attempt("drop old tokens")?;
            let sql = "INSERT INTO tokens (hash, user_id, expires_at) VALUES (?1, ?2, ?3)";
            let values = params![hash.bytes(), user.bits().to_be_bytes(), expires_at.micros()];
            connection.execute(sql, values).attempt("keep a token").map(|_| ())
        })
        .await
    }

    /// What the token or key with this hash stands for, expired or not.
    pub(in crate::directory) async fn credential(
        &self,
        hash: SecretHash,
    ) -> Result<Option<Credential>, DirectoryError> {
        self.read(move |connection| {
            let attempt = "look a token up";
            let sql = "SELECT u.id, u.role, t.expires_at, NULL, 1, 1
                    FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = ?1
                UNION ALL SELECT u.id, u.role, k.expires_at, k.id, k.write, k.operate
                    FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.hash = ?1";
            let mut query = connection.prepare_cached(sql).attempt(attempt)?;
            let found = query.query_row([hash.bytes()], |row| {
                let key: Option<String> = row.get(3)?;
                let caller = Caller {
                    user: user_id(row, 0)?,
                    role: role(row, 1)?,
                    scopes: Scopes { write: row.get(4)?, operate: row.get(5)? },
                    via: match key {
                        Some(id) => Via::Key(id.parse().expect("only ids of keys are kept")),
                        None => Via::Session,
                    },
                };
                let expires_at: Option<i64> = row.get(2)?;
                Ok(Credential { caller, expires_at: expires_at.map(Timestamp::from_micros) })
            });
            found.optional().attempt(attempt)
        })
        .await
    }
}
