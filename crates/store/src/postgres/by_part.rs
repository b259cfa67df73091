//! Statements on rows of several parts. PostgreSQL takes them as one; an engine that distributes
//! the tables locks and changes rows of one part at a time, on the node that has it.

use std::collections::BTreeSet;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::Engine;

/// A statement whose parameters are columns of as many rows, the first of them the rows' parts.
pub(super) struct ByPart {
    statement: Statement,
    each: bool,
}

/// The values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl ByPart {
    /// Prepares the statement that `text` makes of one more condition, which begins with `AND`:
    /// that the column `part` is the parameter after `columns` others.
    pub(super) async fn prepare(
        client: &Client,
        engine: Engine,
        (part, columns): (&str, usize),
        text: impl FnOnce(&str) -> String,
    ) -> Result<Self, Error> {
        let each = engine.is_distributed();
        let condition =
            if each { format!("AND {part} = ${}::smallint", columns + 1) } else { String::new() };
        Ok(Self { statement: client.prepare(&text(&condition)).await?, each })
    }

    /// The rows that it finds, in the order of their parts.
    pub(super) async fn query(
        &self,
        client: &Client,
        parts: &[i16],
        values: Values<'_>,
    ) -> Result<Vec<Row>, Error> {
        if !self.each {
            return client.query(&self.statement, values).await;
        }
        let mut rows = Vec::new();
        // One after another: locks are taken in this order.
        for part in in_order(parts) {
            rows.extend(client.query(&self.statement, &with(values, &part)).await?);
        }
        Ok(rows)
    }

    /// How many rows it changes.
    pub(super) async fn execute(
        &self,
        client: &Client,
        parts: &[i16],
        values: Values<'_>,
    ) -> Result<u64, Error> {
        if !self.each {
            return client.execute(&self.statement, values).await;
        }
        let mut changed = 0;
        for part in in_order(parts) {
            changed += client.execute(&self.statement, &with(values, &part)).await?;
        }
        Ok(changed)
    }
}

fn in_order(parts: &[i16]) -> BTreeSet<i16> {
    parts.iter().copied().collect()
}

fn with<'a>(values: Values<'a>, part: &'a i16) -> Vec<&'a (dyn ToSql + Sync)> {
    let mut all = values.to_vec();
    all.push(part);
    all
}
