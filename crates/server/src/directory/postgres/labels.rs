//! What the owners of accounts call them, in PostgreSQL.

use std::collections::{BTreeMap, HashMap};

use deadpool_postgres::GenericClient;
use tongjang_core::{AccountId, UserId};

use super::values::Id;
use super::{Attempt, Postgres, Values, execute};
use crate::directory::DirectoryError;
use crate::directory::labels::{Naming, random_half};

const NAME: &str = "name an account";

/// How often a naming is tried that gives way to another server's.
const TRIES: u32 = 3;

/// What accounts shall be called, or no longer, each of them once.
struct Namings {
    owners: Vec<Id>,
    nonces: Vec<Vec<u8>>,
    names: Vec<String>,
}

impl Postgres {
    /// What these accounts are called by their owners.
    pub(in crate::directory) async fn labels(
        &self,
        accounts: Vec<(UserId, AccountId)>,
    ) -> Result<HashMap<AccountId, String>, DirectoryError> {
        let attempt = "look the names of accounts up";
        let owners: Vec<Id> = accounts.iter().map(|(owner, _)| Id(*owner)).collect();
        let nonces: Vec<_> = accounts.iter().map(|(_, account)| random_half(*account)).collect();
        let nonces: Vec<&[u8]> = nonces.iter().map(<[u8; 8]>::as_slice).collect();
        let sql = "SELECT asked.place, kept.name
            FROM unnest($1::uuid[], $2::bytea[]) WITH ORDINALITY AS asked (owner_id, nonce, place)
            JOIN tongjang.account_labels AS kept
                ON kept.owner_id = asked.owner_id AND kept.nonce = asked.nonce";
        let mut labels = HashMap::new();
        for row in self.rows(attempt, sql, &[&owners, &nonces]).await? {
            // Counted from 1.
            let place: i64 = row.try_get(0).attempt(attempt)?;
            let asked = usize::try_from(place - 1).ok().and_then(|place| accounts.get(place));
            let (_, account) = asked.expect("a row is numbered as what it was asked for");
            labels.insert(*account, row.try_get(1).attempt(attempt)?);
        }
        Ok(labels)
    }

    /// Names accounts, or takes their names away: all by one commit.
    pub(in crate::directory) async fn set_labels(
        &self,
        labels: Vec<Naming>,
    ) -> Result<(), DirectoryError> {
        // Each once, since one statement may not write a row twice, and in an order that all
        // servers keep, so that they seldom wait for each other crosswise.
        let last: BTreeMap<_, _> =
            labels.into_iter().map(|(owner, nonce, name)| ((owner, nonce), name)).collect();
        let (mut named, mut unnamed) = (Namings::new(), Namings::new());
        for ((owner, nonce), name) in last {
            let to = if name.is_some() { &mut named } else { &mut unnamed };
            to.owners.push(Id(owner));
            to.nonces.push(nonce.to_be_bytes().to_vec());
            to.names.extend(name);
        }
        for _ in 1..TRIES {
            match self.write_labels(&named, &unnamed).await {
                Err(error) if error.gave_way() => {}
                done => return done,
            }
        }
        self.write_labels(&named, &unnamed).await
    }

    async fn write_labels(&self, named: &Namings, unnamed: &Namings) -> Result<(), DirectoryError> {
        let mut client = self.client(NAME).await?;
        if unnamed.owners.is_empty() {
            return put(&client, named).await;
        }
        // Dropped before it is committed, it is taken back.
        let transaction = client.transaction().await.attempt(NAME)?;
        take_away(&transaction, unnamed).await?;
        if !named.owners.is_empty() {
            put(&transaction, named).await?;
        }
        transaction.commit().await.attempt(NAME)
    }
}

impl Namings {
    const fn new() -> Self {
        Self { owners: Vec::new(), nonces: Vec::new(), names: Vec::new() }
    }
}

async fn put(client: &impl GenericClient, named: &Namings) -> Result<(), DirectoryError> {
    let sql = "INSERT INTO tongjang.account_labels (owner_id, nonce, name)
        SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[])
        ON CONFLICT (owner_id, nonce) DO UPDATE SET name = excluded.name";
    let values: Values<'_> = &[&named.owners, &named.nonces, &named.names];
    execute(client, NAME, sql, values).await.map(|_| ())
}

async fn take_away(client: &impl GenericClient, unnamed: &Namings) -> Result<(), DirectoryError> {
    let sql = "DELETE FROM tongjang.account_labels AS kept
        USING unnest($1::uuid[], $2::bytea[]) AS gone (owner_id, nonce)
        WHERE kept.owner_id = gone.owner_id AND kept.nonce = gone.nonce";
    execute(client, NAME, sql, &[&unnamed.owners, &unnamed.nonces]).await.map(|_| ())
}
