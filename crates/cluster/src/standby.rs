//! A second server that has whatever the first one has committed, and takes over from it.

use std::hash::{BuildHasher as _, RandomState};
use std::thread::sleep;
use std::time::Duration;

use crate::cluster::{Cluster, setting};
use crate::server::{Server, run};
use crate::{OrPanic as _, Trouble, sql};

/// How often it is looked whether one follows the other, a short sleep apart.
const LOOKS: u32 = 3_000;
const BETWEEN: Duration = Duration::from_millis(20);

impl Cluster {
    /// A server that follows this one. From now on this one acknowledges no commit that the new
    /// one has not written to its disk too, so it waits while that is gone. Of several standbys
    /// the newest is waited for.
    #[track_caller]
    pub fn standby(&mut self) -> Self {
        let citus = self.has_citus();
        Self::of(follow(self.own_mut()).or_panic(), citus)
    }

    /// Makes the standby a server of its own that takes writes. Returns when it does.
    #[track_caller]
    pub fn promote(&mut self) {
        let admin = self.own().config("postgres");
        sql::execute(&admin, "SELECT pg_promote()").or_panic();
        until(|| sql::column(&admin, "SELECT NOT pg_is_in_recovery()")).or_panic();
    }
}

fn follow(primary: &mut Server) -> Result<Server, Trouble> {
    let mut standby = Server::nowhere(primary.programs.clone())?;
    let name = format!("standby_{:016x}", RandomState::new().hash_one(primary.port));
    let source = format!(
        "host={} port={} user=postgres application_name={name}",
        primary.folder().display(),
        primary.port
    );
    let mut backup = standby.command("pg_basebackup");
    backup.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--dbname", &source]);
    backup.arg("--pgdata").arg(standby.data());
    run(backup)?;
    // It came with the configuration of the first, which may wait for another standby.
    standby.configure(&setting("synchronous_standby_names", ""))?;
    standby.start_somewhere()?;

    let admin = primary.config("postgres");
    let follows = |what: &str| {
        let query = format!(
            "SELECT {what} FROM pg_stat_replication \
             WHERE application_name = '{name}' AND state = 'streaming'"
        );
        until(|| sql::column(&admin, &query))
    };
    follows("true")?;
    primary.configure(&setting("synchronous_standby_names", &name))?;
    primary.reload();
    follows("sync_state = 'sync'")?;
    Ok(standby)
}

/// Returns when the query that `ask` makes is answered by "true".
fn until(ask: impl Fn() -> Result<Vec<Option<String>>, Trouble>) -> Result<(), Trouble> {
    let mut last = None;
    for _ in 0..LOOKS {
        let answer = ask()?;
        if answer == [Some("t".to_owned())] {
            return Ok(());
        }
        last = Some(answer);
        sleep(BETWEEN);
    }
    Err(Trouble(format!("the standby does not come to it: {last:?}")))
}
