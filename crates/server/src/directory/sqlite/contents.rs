//! The whole directory out of SQLite, and into it.

use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Row, params};
use tongjang_core::{Timestamp, UserId};

use super::{Attempt, FILE, make_private, prepare, schema};
use crate::directory::DirectoryError;
use crate::directory::contents::{Contents, KeyRow, LabelRow, SecretRow, TokenRow, UserRow};

/// All of the directory in `data`; nothing, if there is none.
///
/// # Errors
/// If SQLite refuses.
pub(crate) fn read_in(data: &Path) -> Result<Contents, DirectoryError> {
    let path = data.join(FILE);
    if !path.is_file() {
        return Ok(Contents::default());
    }
    // What an earlier version wrote is brought up to date, as a server does.
    let mut connection = Connection::open(&path).attempt("open the directory")?;
    prepare(&connection)?;
    schema::migrate(&mut connection, &path)?;
    Ok(Contents {
        users: rows(
            &connection,
            "SELECT id, username, username_key, password_hash, name, role, created_at FROM users
                ORDER BY id",
            |row| {
                Ok(UserRow {
                    id: user(row, 0)?,
                    username: row.get(1)?,
                    username_key: row.get(2)?,
                    password_hash: row.get(3)?,
                    name: row.get(4)?,
                    role: row.get(5)?,
                    created_at: Timestamp::from_micros(row.get(6)?),
                })
            },
        )?,
        tokens: rows(
            &connection,
            "SELECT hash, user_id, expires_at FROM tokens ORDER BY hash",
            |row| {
                let expires_at = Timestamp::from_micros(row.get(2)?);
                Ok(TokenRow { hash: row.get(0)?, user: user(row, 1)?, expires_at })
            },
        )?,
        keys: rows(
            &connection,
            "SELECT id, hash, user_id, name, write, operate, last_four, created_at, expires_at
                FROM api_keys ORDER BY id",
            |row| {
                Ok(KeyRow {
                    id: row.get(0)?,
                    hash: row.get(1)?,
                    user: user(row, 2)?,
                    name: row.get(3)?,
                    write: row.get(4)?,
                    operate: row.get(5)?,
                    last_four: row.get(6)?,
                    created_at: Timestamp::from_micros(row.get(7)?),
                    expires_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_micros),
                })
            },
        )?,
        labels: rows(
            &connection,
            "SELECT owner_id, nonce, name FROM account_labels ORDER BY owner_id, nonce",
            |row| Ok(LabelRow { owner: user(row, 0)?, nonce: row.get(1)?, name: row.get(2)? }),
        )?,
        secrets: rows(&connection, "SELECT name, value FROM secrets ORDER BY name", |row| {
            Ok(SecretRow { name: row.get(0)?, value: row.get(1)? })
        })?,
    })
}

/// Makes `contents` all that the directory in `data` holds. There may be one of an earlier try.
///
/// # Errors
/// If SQLite refuses.
pub(crate) fn write_in(data: &Path, contents: &Contents) -> Result<(), DirectoryError> {
    let path = data.join(FILE);
    make_private(&path).map_err(|source| DirectoryError::Io { path: path.clone(), source })?;
    let mut connection = Connection::open(&path).attempt("open the directory")?;
    prepare(&connection)?;
    schema::migrate(&mut connection, &path)?;
    let attempt = "write the directory";
    let transaction = connection.transaction().attempt(attempt)?;
    let clear = "DELETE FROM account_labels; DELETE FROM api_keys; DELETE FROM tokens;
        DELETE FROM users; DELETE FROM secrets;";
    transaction.execute_batch(clear).attempt(attempt)?;
    put(&transaction, contents).attempt(attempt)?;
    transaction.commit().attempt(attempt)
}

fn put(connection: &Connection, contents: &Contents) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO users
        (id, username, username_key, password_hash, name, role, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut users = connection.prepare(sql)?;
    for row in &contents.users {
        let UserRow { id, username, username_key, password_hash, name, role, created_at } = row;
        let (id, created_at) = (id.bits().to_be_bytes(), created_at.micros());
        users.execute(params![
            id,
            username,
            username_key,
            password_hash,
            name,
            role,
            created_at
        ])?;
    }
    let sql = "INSERT INTO tokens (hash, user_id, expires_at) VALUES (?1, ?2, ?3)";
    let mut tokens = connection.prepare(sql)?;
    for TokenRow { hash, user, expires_at } in &contents.tokens {
        tokens.execute(params![hash, user.bits().to_be_bytes(), expires_at.micros()])?;
    }
    let sql = "INSERT INTO api_keys
        (id, hash, user_id, name, write, operate, last_four, created_at, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut keys = connection.prepare(sql)?;
    for row in &contents.keys {
        keys.execute(params![
            row.id,
            row.hash,
            row.user.bits().to_be_bytes(),
            row.name,
            row.write,
            row.operate,
            row.last_four,
            row.created_at.micros(),
            row.expires_at.map(Timestamp::micros),
        ])?;
    }
    let sql = "INSERT INTO account_labels (owner_id, nonce, name) VALUES (?1, ?2, ?3)";
    let mut labels = connection.prepare(sql)?;
    for LabelRow { owner, nonce, name } in &contents.labels {
        labels.execute(params![owner.bits().to_be_bytes(), nonce, name])?;
    }
    let mut secrets = connection.prepare("INSERT INTO secrets (name, value) VALUES (?1, ?2)")?;
    for SecretRow { name, value } in &contents.secrets {
        secrets.execute(params![name, value])?;
    }
    Ok(())
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, DirectoryError> {
    let attempt = "read the directory";
    let mut query = connection.prepare(sql).attempt(attempt)?;
    let rows = query.query_map([], read);
    rows.and_then(Iterator::collect).attempt(attempt)
}

fn user(row: &Row<'_>, column: usize) -> Result<UserId, rusqlite::Error> {
    let id = <[u8; 16]>::column_result(row.get_ref(column)?)?;
    Ok(UserId::from_bits(u128::from_be_bytes(id)))
}
