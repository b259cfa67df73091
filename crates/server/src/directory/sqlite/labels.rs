//! What the owners of accounts call them, in SQLite.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tongjang_core::{AccountId, UserId};

use super::{Attempt, FILE, Sqlite};
use crate::directory::DirectoryError;
use crate::directory::labels::{Naming, random_half};

impl Sqlite {
    /// What these accounts are called by their owners.
    pub(in crate::directory) async fn labels(
        &self,
        accounts: Vec<(UserId, AccountId)>,
    ) -> Result<HashMap<AccountId, String>, DirectoryError> {
        self.read(move |connection| find(connection, &accounts)).await
    }

    /// Names accounts, or takes their names away: all by one commit.
    pub(in crate::directory) async fn set_labels(
        &self,
        labels: Vec<Naming>,
    ) -> Result<(), DirectoryError> {
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
    find(&connection.attempt("open the directory")?, accounts)
}

fn find(
    connection: &Connection,
    accounts: &[(UserId, AccountId)],
) -> Result<HashMap<AccountId, String>, DirectoryError> {
    let attempt = "look the names of accounts up";
    let sql = "SELECT name FROM account_labels WHERE owner_id = ?1 AND nonce = ?2";
    let mut query = connection.prepare_cached(sql).attempt(attempt)?;
    let mut labels = HashMap::new();
    for (owner, account) in accounts {
        let name = query
            .query_row(params![owner.bits().to_be_bytes(), random_half(*account)], |row| row.get(0))
            .optional()
            .attempt(attempt)?;
        name.and_then(|name| labels.insert(*account, name));
    }
    Ok(labels)
}
