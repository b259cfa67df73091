//! The server as a process, and the database behind it, broken under load: what was answered is
//! there unchanged and once, and what was not is settled by asking again with the same key.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, its helpers too")]

mod customers;
mod kill;
mod ledger;
mod load;
mod outages;
mod process;
mod servers;

use std::time::Duration;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
