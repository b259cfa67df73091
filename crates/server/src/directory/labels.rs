//! What the owners of accounts call them.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};
use tongjang_core::AccountId;

use super::{Attempt, Directory, DirectoryError};
use crate::problem::Problem;

impl Directory {
    /// What the account is called, if it has a name.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn label(&self, account: AccountId) -> Result<Option<String>, Problem> {
        let mut labels = self.labels(vec![account]).await?;
        Ok(labels.remove(&account))
    }

    /// What these accounts are called; those without a name are left out.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn labels(
        &self,
        accounts: Vec<AccountId>,
    ) -> Result<HashMap<AccountId, String>, Problem> {
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        self.read(move |connection| find(connection, &accounts)).await
    }

    /// The same for the command line, which has no async threads.
    ///
    /// # Errors
    /// If SQLite refuses.
    pub fn labels_blocking(
        &self,
        accounts: &[AccountId],
    ) -> Result<HashMap<AccountId, String>, DirectoryError> {
        find(&self.0.reader.lock(), accounts)
    }

    /// Calls the account by this name; `None` takes its name away.
    ///
    /// # Errors
    /// 503 if the directory fails.
    pub async fn set_label(&self, account: AccountId, name: Option<String>) -> Result<(), Problem> {
        self.write(move |connection| {
            let attempt = "name an account";
            let id = account.bits().to_be_bytes();
            let changed = match name {
                Some(name) => connection.execute(
                    "INSERT INTO account_labels (account_id, name) VALUES (?1, ?2)
                        ON CONFLICT (account_id) DO UPDATE SET name = excluded.name",
                    params![id, name],
                ),
                None => {
                    connection.execute("DELETE FROM account_labels WHERE account_id = ?1", [id])
                }
            };
            changed.attempt(attempt).map(|_| ())
        })
        .await
    }
}

fn find(
    connection: &rusqlite::Connection,
    accounts: &[AccountId],
) -> Result<HashMap<AccountId, String>, DirectoryError> {
    let attempt = "look the names of accounts up";
    let sql = "SELECT name FROM account_labels WHERE account_id = ?1";
    let mut query = connection.prepare_cached(sql).attempt(attempt)?;
    let mut labels = HashMap::new();
    for account in accounts {
        let id = account.bits().to_be_bytes();
        let name = query.query_row([id], |row| row.get(0)).optional().attempt(attempt)?;
        name.and_then(|name| labels.insert(*account, name));
    }
    Ok(labels)
}
