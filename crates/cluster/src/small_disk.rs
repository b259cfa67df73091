//! A database on a disk so small that a test can fill it.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::cluster::Cluster;
use crate::database::Database;
use crate::server::run;
use crate::{OrPanic as _, Trouble, process};

/// Where it is, within the server's folder. The watchdog knows it too, and takes it away.
const NAME: &str = "small";

impl Cluster {
    /// A new, empty database on a disk of its own with so many megabytes, of which the empty
    /// database takes eight. The log of what is written is elsewhere, so a full disk is an error
    /// (53100) and no end of the server. A server has at most one such disk.
    ///
    /// `None` if this process may not mount a disk.
    #[track_caller]
    pub fn small_database(&mut self, megabytes: u32) -> Option<Database> {
        let place = self.own().folder().join(NAME);
        mount(&place, megabytes).ok()?;
        let location = place.join("data");
        let made = std::fs::create_dir(&location);
        made.map_err(|error| Trouble::new(location.display(), error)).or_panic();
        if let Some((user, group)) = process::account() {
            let given = chown(&location, Some(user), Some(group));
            given.map_err(|error| Trouble::new(location.display(), error)).or_panic();
        }
        self.administer(&format!("CREATE TABLESPACE {NAME} LOCATION '{}'", location.display()));
        Some(self.database_with(&format!("TABLESPACE {NAME}")))
    }
}

fn mount(place: &Path, megabytes: u32) -> Result<(), Trouble> {
    let cannot = |error| Trouble::new(place.display(), error);
    std::fs::create_dir(place).map_err(cannot)?;
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(place);
    run(mount).inspect_err(|_| {
        let _ = std::fs::remove_dir(place);
    })
}
