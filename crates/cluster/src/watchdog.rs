//! A shell that takes a server and its folder away, also after the test process has ended.
//!
//! It waits for the end of a pipe whose other end only the test process has. That comes when the
//! server's value is dropped, and by whatever way the process ends: a static is never dropped, and
//! nothing runs after `kill -9`.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use crate::Trouble;

/// Each line names the server that runs now, or is empty if none does. The server removes its
/// file when it has ended, which unlike its process nobody has to wait for.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r line; do id=$line; done
if [ -n "$id" ] && kill -QUIT "$id" 2>/dev/null; then
    tries=0
    while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -lt 100 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    [ "$tries" -lt 100 ] || kill -KILL "$id" 2>/dev/null
fi
[ ! -d "$1/small" ] || umount -l "$1/small" 2>/dev/null
rm -rf "$1"
"#;

/// The shell, and our end of the pipe.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Option<Child>,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over `folder`, in which no server runs yet.
    pub(crate) fn over(folder: &Path) -> Result<Self, Trouble> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "watchdog"]).arg(folder).stdin(Stdio::piped());
        // It keeps nobody waiting who reads what the tests print, and Ctrl-C is not meant for it.
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).current_dir("/");
        let mut shell = command.spawn().map_err(|error| Trouble::new("cannot start sh", error))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell: Some(shell), pipe })
    }

    /// Tells which server runs now.
    pub(crate) fn tell(&mut self, server: Option<u32>) {
        let line = server.map_or("\n".to_owned(), |id| format!("{id}\n"));
        if let Some(pipe) = &mut self.pipe {
            // If it does not hear us any more, then somebody wanted it gone.
            let _ = pipe.write_all(line.as_bytes());
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pipe = None;
        // Somebody has to wait for it, or its process would stay as long as this one.
        if let Some(mut shell) = self.shell.take() {
            thread::spawn(move || shell.wait());
        }
    }
}
