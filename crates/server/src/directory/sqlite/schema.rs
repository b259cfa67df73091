//! The tables of the directory in SQLite, and how those of an earlier version become them.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::Attempt;
use crate::directory::DirectoryError;

/// Step n brings schema n − 1 to schema n. A step that was released is never changed.
const STEPS: &[&str] = &[
    "
    CREATE TABLE users (
        id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
        username      TEXT    NOT NULL,
        username_key  TEXT    NOT NULL UNIQUE,
        password_hash TEXT    NOT NULL,
        name          TEXT,
        role          TEXT    NOT NULL CHECK (role IN ('customer', 'operator')),
        created_at    INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE tokens (
        hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
        user_id    BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_expiry ON tokens (expires_at);
    CREATE INDEX tokens_by_user ON tokens (user_id);
    CREATE TABLE api_keys (
        id         TEXT    NOT NULL PRIMARY KEY,
        hash       BLOB    NOT NULL UNIQUE CHECK (length(hash) = 32),
        user_id    BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        name       TEXT    NOT NULL,
        write      INTEGER NOT NULL CHECK (write IN (0, 1)),
        last_four  TEXT    NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER
    ) STRICT;
    CREATE INDEX api_keys_by_user ON api_keys (user_id);
    CREATE TABLE account_labels (
        owner_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        nonce    BLOB NOT NULL CHECK (length(nonce) = 8),
        name     TEXT NOT NULL,
        PRIMARY KEY (owner_id, nonce)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secrets (
        name  TEXT NOT NULL PRIMARY KEY,
        value BLOB NOT NULL CHECK (length(value) = 32)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE api_keys
        ADD COLUMN operate INTEGER NOT NULL DEFAULT 0
        CHECK (operate IN (0, 1) AND write >= operate);
",
];

/// Brings the tables up to date, all steps or none. SQLite's `user_version` counts the steps.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), DirectoryError> {
    let attempt = "bring the directory's tables up to date";
    // Immediate: of two processes that start at once the second waits and then finds it done.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).attempt(attempt)?;
    let found: i64 = transaction
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .attempt("read the directory's version")?;
    let known = i64::try_from(STEPS.len()).expect("few steps");
    let done = usize::try_from(found).ok().filter(|done| *done <= STEPS.len());
    let Some(done) = done else {
        return Err(DirectoryError::TooNew { path: path.to_owned(), found, known });
    };
    for step in &STEPS[done..] {
        transaction.execute_batch(step).attempt(attempt)?;
    }
    transaction.pragma_update(None, "user_version", known).attempt(attempt)?;
    transaction.commit().attempt(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;

    #[test]
    fn a_directory_opens_again_and_a_newer_one_does_not() {
        let data = tempfile::tempdir().unwrap();
        drop(Directory::open(data.path()).unwrap());
        drop(Directory::open(data.path()).unwrap());
        let raw = Connection::open(data.path().join("directory.sqlite")).unwrap();
        raw.pragma_update(None, "user_version", 99).unwrap();
        let error = Directory::open(data.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::TooNew { found: 99, .. }), "{error}");
    }

    #[test]
    fn the_keys_of_an_earlier_directory_are_kept_and_may_not_operate() {
        let data = tempfile::tempdir().unwrap();
        let raw = Connection::open(data.path().join("directory.sqlite")).unwrap();
        raw.execute_batch(STEPS[0]).unwrap();
        raw.pragma_update(None, "user_version", 1).unwrap();
        raw.execute_batch(
            "INSERT INTO users VALUES (zeroblob(16), 'minji', 'minji', '', NULL, 'operator', 0);
             INSERT INTO api_keys VALUES
                ('key_1', zeroblob(32), zeroblob(16), 'old', 1, 'abcd', 7, NULL);",
        )
        .unwrap();
        drop(raw);
        drop(Directory::open(data.path()).unwrap());
        let raw = Connection::open(data.path().join("directory.sqlite")).unwrap();
        let kept = raw.query_row(
            "SELECT name, write, operate, created_at FROM api_keys WHERE id = 'key_1'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        );
        let expected: (String, bool, bool, i64) = ("old".to_owned(), true, false, 7);
        assert_eq!(kept.unwrap(), expected);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_its_owner_reads_the_directory() {
        use std::os::unix::fs::PermissionsExt;

        let data = tempfile::tempdir().unwrap();
        let _open = Directory::open(data.path()).unwrap();
        let files: Vec<_> = std::fs::read_dir(data.path()).unwrap().map(Result::unwrap).collect();
        assert!(files.len() > 1, "SQLite puts files beside it");
        for file in files {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", file.path().display());
        }
    }
}
