//! Session tokens, and what a token or key stands for.

use tongjang_core::{Timestamp, UserId};

use super::{Directory, Keeper};
use crate::auth::{Credential, SecretHash};
use crate::problem::Problem;

impl Directory {
    /// Remembers a new token of `user`, and drops some of those that have expired before `now`: a
    /// few at a time, so that no login pays for all the others.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn add_token(
        &self,
        hash: SecretHash,
        user: UserId,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Problem> {
        match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.add_token(hash, user, expires_at, now).await?,
            Keeper::Postgres(postgres) => postgres.add_token(hash, user, expires_at, now).await?,
        }
        Ok(())
    }

    /// What the token or key with this hash stands for, expired or not.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn credential(&self, hash: SecretHash) -> Result<Option<Credential>, Problem> {
        Ok(match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.credential(hash).await?,
            Keeper::Postgres(postgres) => postgres.credential(hash).await?,
        })
    }
}
