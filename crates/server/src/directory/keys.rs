//! API keys, with which a backend acts for a user.

use tongjang_core::{Timestamp, UserId};

use super::{Directory, Keeper};
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
        Ok(match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.add_key(new).await?,
            Keeper::Postgres(postgres) => postgres.add_key(new).await?,
        })
    }

    /// The keys of `user`, newest first, at most [`MAX_KEYS`](Self::MAX_KEYS).
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn keys(&self, user: UserId) -> Result<Vec<ApiKey>, Problem> {
        Ok(match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.keys(user).await?,
            Keeper::Postgres(postgres) => postgres.keys(user).await?,
        })
    }

    /// Deletes the key `id` of `user` and gives its hash back, so that it is forgotten elsewhere
    /// too; `None` if that user has no such key.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn delete_key(&self, user: UserId, id: KeyId) -> Result<Option<SecretHash>, Problem> {
        Ok(match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.delete_key(user, id).await?,
            Keeper::Postgres(postgres) => postgres.delete_key(user, id).await?,
        })
    }
}
