//! Folders that are removed after the measurement, also when it ends by Ctrl-C.

use std::path::{Path, PathBuf};

use anyhow::Context;
use parking_lot::Mutex;
use tempfile::TempDir;

/// What is to be ended and removed should the user interrupt.
static LEFT: Mutex<Left> = Mutex::new(Left { folders: Vec::new(), children: Vec::new() });

struct Left {
    folders: Vec<PathBuf>,
    children: Vec<u32>,
}

/// A folder that lives as long as this.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    /// A new one in `dir`, which is made if there is none.
    pub(crate) fn in_dir(dir: &Path) -> anyhow::Result<Self> {
        let made = std::fs::create_dir_all(dir)
            .and_then(|()| tempfile::Builder::new().prefix("tongjang-bench-").tempdir_in(dir));
        let made = made.with_context(|| {
            format!("cannot make a folder in {}; name another one with --dir", dir.display())
        })?;
        LEFT.lock().folders.push(made.path().to_owned());
        Ok(Self(made))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        LEFT.lock().folders.retain(|path| path != self.0.path());
    }
}

/// Notes a process that an interruption shall end.
pub(crate) fn began(child: u32) {
    LEFT.lock().children.push(child);
}

/// Forgets a process that has ended; its number may be another's soon.
pub(crate) fn ended(child: u32) {
    LEFT.lock().children.retain(|other| *other != child);
}

/// From now on Ctrl-C ends what was begun, removes what was made, and then this process.
pub(crate) fn clear_when_interrupted() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_err() {
            return;
        }
        let left = LEFT.lock();
        for child in &left.children {
            let pid = i32::try_from(*child).ok().and_then(rustix::process::Pid::from_raw);
            // Whatever is gone already, or cannot be removed, must not keep the rest from it.
            let _ =
                pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        }
        for folder in &left.folders {
            let _ = std::fs::remove_dir_all(folder);
        }
        std::process::exit(130)
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_when_it_is_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = Scratch::in_dir(&parent.path().join("new")).unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir() && LEFT.lock().folders.contains(&path));
        drop(scratch);
        assert!(!path.exists() && !LEFT.lock().folders.contains(&path));
    }
}
