//! The whole directory out of PostgreSQL, and into it.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tongjang_store::postgres::Pool;

use super::users::id;
use super::values::{Id, Moment};
use super::{Attempt, Values, execute};
use crate::directory::DirectoryError;
use crate::directory::contents::{Contents, KeyRow, LabelRow, SecretRow, TokenRow, UserRow};

const READ: &str = "read the directory";
const WRITE: &str = "write the directory";

/// So many rows are added by one statement.
const ROWS: usize = 4_096;

/// All of the directory in the database of `pool`.
///
/// # Errors
/// If PostgreSQL refuses.
pub(crate) async fn read_in(pool: &Pool) -> Result<Contents, DirectoryError> {
    let lost = |source| DirectoryError::Pool { attempt: READ, source };
    let mut client = pool.get().await.map_err(lost)?;
    // One moment of all tables.
    let transaction = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .attempt(READ)?;
    let sql = "SELECT id, username, username_key, password_hash, name, role, created_at
        FROM tongjang.users ORDER BY id";
    let users = rows(&transaction, sql, |row| {
        Ok(UserRow {
            id: id(row, 0)?,
            username: row.try_get(1)?,
            username_key: row.try_get(2)?,
            password_hash: row.try_get(3)?,
            name: row.try_get(4)?,
            role: row.try_get(5)?,
            created_at: row.try_get::<_, Moment>(6)?.0,
        })
    });
    let users = users.await?;
    let sql = "SELECT hash, user_id, expires_at FROM tongjang.tokens ORDER BY hash";
    let tokens = rows(&transaction, sql, |row| {
        let Moment(expires_at) = row.try_get(2)?;
        Ok(TokenRow { hash: row.try_get(0)?, user: id(row, 1)?, expires_at })
    });
    let tokens = tokens.await?;
    let sql = "SELECT id, hash, user_id, name, write, operate, last_four, created_at, expires_at
        FROM tongjang.api_keys ORDER BY id";
    let keys = rows(&transaction, sql, |row| {
        Ok(KeyRow {
            id: row.try_get(0)?,
            hash: row.try_get(1)?,
            user: id(row, 2)?,
            name: row.try_get(3)?,
            write: row.try_get(4)?,
            operate: row.try_get(5)?,
            last_four: row.try_get(6)?,
            created_at: row.try_get::<_, Moment>(7)?.0,
            expires_at: row.try_get::<_, Option<Moment>>(8)?.map(|Moment(end)| end),
        })
    });
    let keys = keys.await?;
    let sql = "SELECT owner_id, nonce, name FROM tongjang.account_labels ORDER BY owner_id, nonce";
    let labels = rows(&transaction, sql, |row| {
        Ok(LabelRow { owner: id(row, 0)?, nonce: row.try_get(1)?, name: row.try_get(2)? })
    });
    let labels = labels.await?;
    let sql = "SELECT name, value FROM tongjang.secrets ORDER BY name";
    let secrets = rows(&transaction, sql, |row| {
        Ok(SecretRow { name: row.try_get(0)?, value: row.try_get(1)? })
    });
    let secrets = secrets.await?;
    Ok(Contents { users, tokens, keys, labels, secrets })
}

/// Puts `contents` into the database of `pool`, whose directory must be empty, and marks the copy
/// of the ledger there as finished: both or nothing.
///
/// # Errors
/// If PostgreSQL refuses.
pub(crate) async fn finish_copy(pool: &Pool, contents: &Contents) -> Result<(), DirectoryError> {
    let lost = |source| DirectoryError::Pool { attempt: WRITE, source };
    let mut client = pool.get().await.map_err(lost)?;
    let transaction = client.transaction().await.attempt(WRITE)?;
    let sql = "UPDATE tongjang.copies SET finished_at = now() WHERE finished_at IS NULL";
    execute(&transaction, WRITE, sql, &[]).await?;
    put(&transaction, contents).await?;
    transaction.commit().await.attempt(WRITE)
}

async fn put(client: &impl GenericClient, contents: &Contents) -> Result<(), DirectoryError> {
    for rows in contents.users.chunks(ROWS) {
        let sql = "INSERT INTO tongjang.users
            (id, username, username_key, password_hash, name, role, created_at)
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
                $6::text[], $7::timestamptz[])";
        let values: Values<'_> = &[
            &column(rows, |row| Id(row.id)),
            &column(rows, |row| row.username.as_str()),
            &column(rows, |row| row.username_key.as_str()),
            &column(rows, |row| row.password_hash.as_str()),
            &column(rows, |row| row.name.as_deref()),
            &column(rows, |row| row.role.as_str()),
            &column(rows, |row| Moment(row.created_at)),
        ];
        execute(client, WRITE, sql, values).await?;
    }
    for rows in contents.tokens.chunks(ROWS) {
        let sql = "INSERT INTO tongjang.tokens (hash, user_id, expires_at)
            SELECT * FROM unnest($1::bytea[], $2::uuid[], $3::timestamptz[])";
        let values: Values<'_> = &[
            &column(rows, |row| row.hash.as_slice()),
            &column(rows, |row| Id(row.user)),
            &column(rows, |row| Moment(row.expires_at)),
        ];
        execute(client, WRITE, sql, values).await?;
    }
    let mut places: HashMap<u128, i16> = HashMap::new();
    for rows in contents.keys.chunks(ROWS) {
        let sql = "INSERT INTO tongjang.api_keys (id, hash, user_id, place, name, write, operate,
                last_four, created_at, expires_at)
            SELECT * FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::smallint[], $5::text[],
                $6::boolean[], $7::boolean[], $8::text[], $9::timestamptz[], $10::timestamptz[])";
        // SQLite counts a user's keys, and here each of them has a place.
        let numbered = column(rows, |row| {
            let place = places.entry(row.user.bits()).or_default();
            *place += 1;
            *place
        });
        let values: Values<'_> = &[
            &column(rows, |row| row.id.as_str()),
            &column(rows, |row| row.hash.as_slice()),
            &column(rows, |row| Id(row.user)),
            &numbered,
            &column(rows, |row| row.name.as_str()),
            &column(rows, |row| row.write),
            &column(rows, |row| row.operate),
            &column(rows, |row| row.last_four.as_str()),
            &column(rows, |row| Moment(row.created_at)),
            &column(rows, |row| row.expires_at.map(Moment)),
        ];
        execute(client, WRITE, sql, values).await?;
    }
    for rows in contents.labels.chunks(ROWS) {
        let sql = "INSERT INTO tongjang.account_labels (owner_id, nonce, name)
            SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[])";
        let values: Values<'_> = &[
            &column(rows, |row| Id(row.owner)),
            &column(rows, |row| row.nonce.as_slice()),
            &column(rows, |row| row.name.as_str()),
        ];
        execute(client, WRITE, sql, values).await?;
    }
    for SecretRow { name, value } in &contents.secrets {
        let sql = "INSERT INTO tongjang.secrets (name, value) VALUES ($1, $2)";
        execute(client, WRITE, sql, &[name, value]).await?;
    }
    Ok(())
}

fn column<'a, R, T>(rows: &'a [R], value: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn rows<T>(
    client: &impl GenericClient,
    sql: &str,
    read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, DirectoryError> {
    let rows = client.query(sql, &[]).await.attempt(READ)?;
    rows.iter().map(read).collect::<Result<_, _>>().attempt(READ)
}
