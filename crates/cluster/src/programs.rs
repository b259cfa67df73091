//! Where PostgreSQL's programs are: what the environment says, else what the machine has.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Trouble;

/// Names the folder outright; nothing else is tried then.
const VARIABLE: &str = "TONGJANG_TEST_POSTGRES_BIN";
/// Where Debian has one folder a version.
const DEBIAN: &str = "/usr/lib/postgresql";
const HOW_TO_GET_ONE: &str = "there is no PostgreSQL server on this machine, and this test needs \
    one. Debian and Ubuntu have it as `postgresql`, Fedora as `postgresql-server`, Homebrew as \
    `postgresql@18`; no service has to run. If it is somewhere else, name the folder of its \
    programs in TONGJANG_TEST_POSTGRES_BIN";

/// A folder that has `initdb` and `postgres`.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    pub(crate) fn find() -> Result<Self, Trouble> {
        if let Some(folder) = env::var_os(VARIABLE) {
            return Self::within(Path::new(&folder))
                .ok_or_else(|| Trouble::new(VARIABLE, "no `initdb` and `postgres` are there"));
        }
        // It may come with the client's library alone, and name a folder without a server.
        configured()
            .as_deref()
            .and_then(Self::within)
            .or_else(|| newest(Path::new(DEBIAN)))
            .ok_or_else(|| Trouble(HOW_TO_GET_ONE.into()))
    }

    fn within(folder: &Path) -> Option<Self> {
        let folder = fs::canonicalize(folder).ok()?;
        let has = |name: &str| folder.join(name).is_file();
        (has("initdb") && has("postgres")).then_some(Self { folder })
    }

    /// The program `name` of this version.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn configured() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(folder.trim()))
}

/// The one with the highest number of those that are complete.
fn newest(root: &Path) -> Option<Programs> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.iter().rev().find_map(|(_, folder)| Programs::within(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(root: &Path, version: &str, programs: &[&str]) {
        let folder = root.join(version).join("bin");
        fs::create_dir_all(&folder).unwrap();
        for program in programs {
            fs::write(folder.join(program), "").unwrap();
        }
    }

    #[test]
    fn the_newest_complete_version_is_taken() {
        let root = tempfile::tempdir().unwrap();
        assert!(newest(root.path()).is_none());
        installed(root.path(), "9.6", &["initdb", "postgres"]);
        installed(root.path(), "15", &["initdb", "postgres"]);
        installed(root.path(), "18", &["psql"]);
        let found = newest(root.path()).unwrap();
        assert!(found.path("initdb").ends_with("15/bin/initdb"), "{found:?}");
    }
}
