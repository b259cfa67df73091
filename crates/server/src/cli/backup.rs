//! `tongjang backup`: how the ledger is backed up. The programs that do it are there already.

use std::process::ExitCode;

use super::print;
use crate::config::StoreArgs;

/// Prints the commands.
pub(super) fn backup(ledger: &StoreArgs) -> anyhow::Result<ExitCode> {
    match &ledger.store {
        Some(store) => print(&of_database(&quoted(&store.without_password()))),
        None => print(&of_folder(&quoted(&ledger.data.display().to_string()))),
    }
}

fn of_database(url: &str) -> String {
    format!(
        "# The password is asked for, or stands in ~/.pgpass. Servers may go on meanwhile.
# One moment of the ledger and its users:
pg_dump --format=custom --schema=tongjang --file=\"tongjang-$(date +%F).dump\" --dbname={url}
# Into a new database, on a server that has the roles tongjang_owner and tongjang_app:
#   pg_restore --exit-on-error --dbname=NEW \"tongjang-$(date +%F).dump\"
# Or the whole PostgreSQL server, to which its archived WAL can be added (needs REPLICATION):
pg_basebackup --checkpoint=fast --wal-method=stream --pgdata=\"pg-$(date +%F)\" --dbname={url}
# Then, on what was restored: tongjang verify --store NEW
"
    )
}

fn of_folder(data: &str) -> String {
    format!(
        "# Stop the server first, or take a snapshot of the file system that is of one moment.
cp --archive --sparse=always {data} \"tongjang-$(date +%F)\"
tongjang verify --data \"tongjang-$(date +%F)\"
"
    )
}

/// `text` as a word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("a'b; rm"), r"'a'\''b; rm'");
    }
}
