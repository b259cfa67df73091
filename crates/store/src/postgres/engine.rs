//! Which engine keeps a ledger, and what is different where it distributes the tables. The ledger
//! remembers it, so that whoever opens one need not be told.

use super::session::Profile;

/// An engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// PostgreSQL: all tables are in one place.
    PostgreSql,
    /// Citus: each part is on a node of a cluster.
    Citus,
}

impl Engine {
    /// The engine that `tongjang.ledger` calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "postgresql" => Some(Self::PostgreSql),
            "citus" => Some(Self::Citus),
            _ => None,
        }
    }

    /// Whether a statement that locks or changes rows has to keep to one part, and a commit over
    /// several parts costs more than one within a part.
    pub(super) fn is_distributed(self) -> bool {
        self == Self::Citus
    }

    /// How a teller's session behaves.
    pub(super) fn teller(self) -> &'static Profile {
        match self {
            Self::PostgreSql => &Profile::TELLER,
            Self::Citus => &Profile::CITUS_TELLER,
        }
    }

    /// Begins a teller's transaction, `hurried` if he waits for a lock no longer than it takes
    /// another teller to commit. What a session has set does not reach the nodes of Citus, and what
    /// a transaction sets for itself does.
    pub(super) fn begin(self, hurried: bool) -> &'static str {
        match (self, hurried) {
            (Self::PostgreSql, false) => "BEGIN",
            (Self::Citus, false) => "BEGIN; SET LOCAL lock_timeout = '10s'",
            (_, true) => "BEGIN; SET LOCAL lock_timeout = '250ms'",
        }
    }
}
