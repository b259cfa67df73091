//! What the owners of accounts call them.
//!
//! A label is written before the account is opened, so that an account that was answered has its
//! name. What is known of the account's id by then is its random half; together with the owner
//! that is what a label is found by.

use std::collections::HashMap;

use tongjang_core::{AccountId, UserId};

use super::{Directory, DirectoryError, Keeper};
use crate::problem::Problem;

/// Has the owner call by this name the account whose id ends in these bits; `None` takes its name
/// away.
pub(super) type Naming = (UserId, u64, Option<String>);

impl Directory {
    /// What `owner` calls the account, if it has a name.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn label(
        &self,
        owner: UserId,
        account: AccountId,
    ) -> Result<Option<String>, Problem> {
        let mut labels = self.labels(owner, vec![account]).await?;
        Ok(labels.remove(&account))
    }

    /// What `owner` calls these accounts; those without a name are left out.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn labels(
        &self,
        owner: UserId,
        accounts: Vec<AccountId>,
    ) -> Result<HashMap<AccountId, String>, Problem> {
        let accounts = accounts.into_iter().map(|account| (owner, account)).collect();
        Ok(self.labels_of(accounts).await?)
    }

    /// What these accounts are called by their owners, for the command line.
    ///
    /// # Errors
    /// If the database refuses.
    pub async fn labels_of(
        &self,
        accounts: Vec<(UserId, AccountId)>,
    ) -> Result<HashMap<AccountId, String>, DirectoryError> {
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.labels(accounts).await,
            Keeper::Postgres(postgres) => postgres.labels(accounts).await,
        }
    }

    /// Has `owner` call by this name the account whose id ends in `nonce`; `None` takes its name
    /// away.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn set_label(
        &self,
        owner: UserId,
        nonce: u64,
        name: Option<String>,
    ) -> Result<(), Problem> {
        self.set_labels(vec![(owner, nonce, name)]).await
    }

    /// The same for several accounts, by one commit. Of two names for one account the later counts.
    ///
    /// # Errors
    /// 503 if the directory fails; no name is changed then.
    pub async fn set_labels(
        &self,
        labels: Vec<(UserId, u64, Option<String>)>,
    ) -> Result<(), Problem> {
        if labels.is_empty() {
            return Ok(());
        }
        match self.keeper() {
            Keeper::Sqlite(sqlite) => sqlite.set_labels(labels).await?,
            Keeper::Postgres(postgres) => postgres.set_labels(labels).await?,
        }
        Ok(())
    }
}

/// What is known of an account's id before it is opened.
pub(super) fn random_half(account: AccountId) -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = account.bits().to_be_bytes();
    [a, b, c, d, e, f, g, h]
}
