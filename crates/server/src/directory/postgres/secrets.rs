//! The servers' common secrets, in PostgreSQL: made by chance once, and kept for as long as the
//! directory.

use super::{Attempt, Postgres};
use crate::app::Random;
use crate::directory::DirectoryError;

impl Postgres {
    /// The secret of this name; made now, if there was none.
    pub(super) async fn secret(&self, name: &str) -> Result<[u8; 32], DirectoryError> {
        let attempt = "read the servers' secrets";
        // Of two servers that start at once, both end up with the secret of the first.
        let sql = "INSERT INTO tongjang.secrets (name, value) VALUES ($1, $2)
            ON CONFLICT (name) DO NOTHING";
        let made = Random::system().bytes::<32>();
        self.execute(attempt, sql, &[&name, &made.as_slice()]).await?;
        let sql = "SELECT value FROM tongjang.secrets WHERE name = $1";
        let row = self.row(attempt, sql, &[&name]).await?;
        let row = row.expect("it was put in or there, and nobody may delete it");
        let kept: &[u8] = row.try_get(0).attempt(attempt)?;
        Ok(kept.try_into().expect("the table's CHECK admits 32 bytes only"))
    }
}
