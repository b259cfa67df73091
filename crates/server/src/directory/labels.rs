//! What the owners of accounts call them.
//!
//! A label is written before the account is opened, so that an account that was answered has its
//! name. What is known of the account's id by then is its random half; together with the owner
//! that is what a label is found by.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tongjang_core::{AccountId, UserId};

use super::{Attempt, Directory, DirectoryError, FILE};
use crate::problem::Problem;

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
        if accounts.is_empty() {
            return Ok(HashMap::new());
        }
        self.read(move |connection| find(connection, owner, &accounts)).await
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

    /// The same for several accounts, by one commit.
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
        self.write(move |connection| {
            for (owner, nonce, name) in labels {
                let (owner, nonce) = (owner.bits().to_be_bytes(), nonce.to_be_bytes());
                let changed = match name {
                    Some(name) => connection.execute(
                        "INSERT INTO account_labels (owner_id, nonce, name) VALUES (?1, ?2, ?3)
                            ON CONFLICT (owner_id, nonce) DO UPDATE SET name = excluded.name",
                        params![owner, nonce, name],
                    ),
                    None => connection.execute(
                        "DELETE FROM account_labels WHERE owner_id = ?1 AND nonce = ?2",
                        params![owner, nonce],
                    ),
                };
                changed.attempt("name an account")?;
            }
            Ok(())
        })
        .await
    }
}

/// What these accounts are called by their owners, out of the directory in `data`, which is not
/// changed: for the command line, which has no async threads.
///
/// # Errors
/// If SQLite refuses.
pub fn labels_in(
    data: &Path,
    accounts: &[(UserId, AccountId)],
) -> Result<HashMap<AccountId, String>, DirectoryError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(data.join(FILE), flags);
    let connection = connection.attempt("open the directory")?;
    let mut labels = HashMap::new();
    for (owner, account) in accounts {
        labels.extend(find(&connection, *owner, &[*account])?);
    }
    Ok(labels)
}

fn find(
    connection: &Connection,
    owner: UserId,
    accounts: &[AccountId],
) -> Result<HashMap<AccountId, String>, DirectoryError> {
    let attempt = "look the names of accounts up";
    let sql = "SELECT name FROM account_labels WHERE owner_id = ?1 AND nonce = ?2";
    let mut query = connection.prepare_cached(sql).attempt(attempt)?;
    let owner = owner.bits().to_be_bytes();
    let mut labels = HashMap::new();
    for account in accounts {
        let name = query
            .query_row(params![owner, random_half(*account)], |row| row.get(0))
            .optional()
            .attempt(attempt)?;
        name.and_then(|name| labels.insert(*account, name));
    }
    Ok(labels)
}

fn random_half(account: AccountId) -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = account.bits().to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use tongjang_core::Timestamp;

    use super::*;
    use crate::auth::{PasswordHash, Role};
    use crate::directory::{NewUser, Username};

    #[tokio::test]
    async fn a_label_put_down_before_the_opening_is_found_by_the_id() {
        let data = tempfile::tempdir().unwrap();
        let directory = Directory::open(data.path()).unwrap();
        let owner = UserId::from_bits(7);
        let (nonce, at) = (u64::MAX - 1, Timestamp::from_micros(5));
        directory.set_label(owner, nonce, Some("생활비".to_owned())).await.unwrap_err();
        directory.add_user(user(owner)).await.unwrap();
        directory.set_label(owner, nonce, Some("생활비".to_owned())).await.unwrap();
        let account = AccountId::new(at, nonce);
        assert_eq!(directory.label(owner, account).await, Ok(Some("생활비".to_owned())));
        assert_eq!(directory.label(UserId::from_bits(8), account).await, Ok(None));
        directory.set_label(owner, nonce, None).await.unwrap();
        assert_eq!(directory.label(owner, account).await, Ok(None));
    }

    fn user(id: UserId) -> NewUser {
        NewUser {
            id,
            username: Username::new("minji", "/username").unwrap(),
            name: None,
            role: Role::Customer,
            password: PasswordHash::from_stored(""),
            created_at: Timestamp::EPOCH,
        }
    }
}
