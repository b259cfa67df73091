//! How a session behaves: what is set right after connecting, before anybody gets the connection.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Whose rights a session has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `tongjang_app`, which may read and add, and change nothing that is booked.
    App,
    /// The user of the URL itself, who owns the tables: for migrations.
    Owner,
}

/// What a session is for. Zero means without a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// The longest that a statement may take.
    pub statement_timeout: Duration,
    /// The longest that a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// The longest that a transaction may be open with nothing going on in it.
    pub idle_in_transaction_timeout: Duration,
    /// Whose rights it has.
    pub role: Role,
    /// What it sets besides.
    pub settings: &'static str,
}

/// Every statement of the ledger finds its rows one by one in an index. The planner does not know
/// how few they are, nor, while the tables are small or new, which index is the right one. A
/// teller's plans are kept, and made anew as the tables grow (see `line`).
const TELLERS_PLANS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;
         SET enable_hashjoin = off; SET enable_mergejoin = off;
         SET plan_cache_mode = force_generic_plan;";
/// Who reads does not know how the tables grow, so he has each plan made for the moment.
const READERS_PLANS: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off;
         SET enable_hashjoin = off; SET enable_mergejoin = off;
         SET plan_cache_mode = force_custom_plan;";

impl Profile {
    /// The teller's, who writes. His statements have no limit of their own: a commit that waits for
    /// a standby and is cancelled counts as done for PostgreSQL, though the standby has nothing.
    pub const TELLER: Self = Self {
        statement_timeout: Duration::ZERO,
        lock_timeout: Duration::from_secs(10),
        idle_in_transaction_timeout: Duration::from_secs(10),
        role: Role::App,
        settings: TELLERS_PLANS,
    };

    /// A teller's where Citus distributes the tables: it plans by the values, and its nodes plan
    /// for themselves. What a transaction sets goes along to them (see `engine`).
    pub(super) const CITUS_TELLER: Self =
        Self { settings: "SET citus.propagate_set_commands = 'local';", ..Self::TELLER };

    /// A reader's.
    pub const READER: Self = Self {
        statement_timeout: Duration::from_secs(30),
        settings: READERS_PLANS,
        ..Self::TELLER
    };

    /// The directory's, whose tables are small.
    pub const DIRECTORY: Self = Self { settings: "", ..Self::READER };

    /// The owner's, who migrates. A new index may take its time, but waits for nobody for long:
    /// behind it all others would wait.
    pub const OWNER: Self =
        Self { statement_timeout: Duration::ZERO, role: Role::Owner, ..Self::DIRECTORY };
}

/// The role that the server works as.
const APP: &str = "tongjang_app";

/// What is set in every session. `synchronous_commit` is raised and never lowered: whoever set
/// `remote_apply` meant it. `pg_temp` is named, since it is searched first if it is not.
fn settings(profile: &Profile) -> String {
    format!(
        "SET TimeZone = 'UTC';
         SET search_path = tongjang, pg_catalog, pg_temp;
         SET jit = off;
         SET statement_timeout = {};
         SET lock_timeout = {};
         SET idle_in_transaction_session_timeout = {};
         SET default_transaction_isolation = 'read committed';
         SET client_min_messages = warning;
         SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
          WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local');
         {}",
        profile.statement_timeout.as_millis(),
        profile.lock_timeout.as_millis(),
        profile.idle_in_transaction_timeout.as_millis(),
        profile.settings,
    )
}

/// Sets up a new session. The caller drives the connection meanwhile.
pub(super) async fn set_up(client: &Client, profile: &Profile) -> Result<(), StoreError> {
    client
        .batch_execute(&settings(profile))
        .await
        .map_err(|error| StoreError::database("set up a session of the database", error))?;
    if profile.role == Role::Owner {
        return Ok(());
    }
    client.batch_execute(&format!("SET ROLE {APP}")).await.map_err(|error| {
        let attempt = match error.code() {
            // That is what PostgreSQL calls a role that does not exist.
            Some(code) if *code == SqlState::INVALID_PARAMETER_VALUE => {
                "take the role `tongjang_app` (run `tongjang migrate`, which makes it)"
            }
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
                "take the role `tongjang_app` (run `GRANT tongjang_app TO` the user of the URL)"
            }
            _ => "take the role `tongjang_app`",
        };
        StoreError::database(attempt, error)
    })
}
