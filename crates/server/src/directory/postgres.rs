//! The directory of several servers: tables in the database in which their ledger is.

pub(crate) mod contents;
mod keys;
mod labels;
mod names;
mod secrets;
mod tokens;
mod users;
mod values;

use std::error::Error;

use deadpool_postgres::{GenericClient, Object};
use tokio_postgres::Row;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::ToSql;
use tongjang_store::postgres::{Asked, Pool};

use super::DirectoryError;
use crate::cursor::CursorKey;

/// Adds what was attempted to an error on the way to PostgreSQL or of it.
trait Attempt<T> {
    fn attempt(self, what: &'static str) -> Result<T, DirectoryError>;
}

impl<T> Attempt<T> for Result<T, tokio_postgres::Error> {
    fn attempt(self, attempt: &'static str) -> Result<T, DirectoryError> {
        self.map_err(|source| DirectoryError::Postgres { attempt, source })
    }
}

/// What stands for `$1`, `$2` and so on in a statement.
type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// What is kept in PostgreSQL.
pub(super) struct Postgres(Pool);

impl Postgres {
    /// Tries a connection and finds the key for cursors, which all servers share.
    pub(super) async fn open(pool: Pool) -> Result<(Self, CursorKey), DirectoryError> {
        let opened = Self(pool);
        let cursor_key = CursorKey::new(opened.secret("cursors").await?);
        Ok((opened, cursor_key))
    }

    /// A connection for one piece of work.
    async fn client(&self, attempt: &'static str) -> Result<Object, DirectoryError> {
        self.0.get().await.map_err(|source| DirectoryError::Pool { attempt, source })
    }

    /// What comes of `asked`, on a connection that nobody gets who would have to wait for it.
    async fn ask<T>(
        &self,
        attempt: &'static str,
        asked: impl AsyncFnOnce(&Object) -> Result<T, DirectoryError>,
    ) -> Result<T, DirectoryError> {
        let client = Asked::of(self.client(attempt).await?);
        let answer = asked(client.it()).await;
        client.answered(answer)
    }

    /// Runs a statement, committed by itself: how many rows it wrote.
    async fn execute(
        &self,
        attempt: &'static str,
        sql: &str,
        values: Values<'_>,
    ) -> Result<u64, DirectoryError> {
        let done = async |client: &Object| execute(client, attempt, sql, values).await;
        self.ask(attempt, done).await
    }

    /// Runs a statement that gives at most one row.
    async fn row(
        &self,
        attempt: &'static str,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Option<Row>, DirectoryError> {
        let found = async |client: &Object| {
            let statement = client.prepare_cached(sql).await.attempt(attempt)?;
            client.query_opt(&statement, values).await.attempt(attempt)
        };
        self.ask(attempt, found).await
    }

    /// Runs a statement that gives rows.
    async fn rows(
        &self,
        attempt: &'static str,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, DirectoryError> {
        let found = async |client: &Object| {
            let statement = client.prepare_cached(sql).await.attempt(attempt)?;
            client.query(&statement, values).await.attempt(attempt)
        };
        self.ask(attempt, found).await
    }
}

/// Runs a statement within a transaction or without: how many rows it wrote.
async fn execute(
    client: &impl GenericClient,
    attempt: &'static str,
    sql: &str,
    values: Values<'_>,
) -> Result<u64, DirectoryError> {
    let statement = client.prepare_cached(sql).await.attempt(attempt)?;
    client.execute(&statement, values).await.attempt(attempt)
}

impl DirectoryError {
    /// Whether a write gave way to another server's, so that nothing of it was done and the same
    /// write may succeed now.
    fn gave_way(&self) -> bool {
        let Self::Postgres { source, .. } = self else { return false };
        let yielded = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        source.code().is_some_and(|code| yielded.contains(code))
    }
}

/// An error and what it came from, in a line. Of what the database says only the message is told:
/// its details may name a person.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let said = match error.downcast_ref::<DbError>() {
            Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
            None => error.to_string(),
        };
        if !text.is_empty() {
            text += ": ";
        }
        text += &said;
        next = error.source();
    }
    text
}
