//! The program itself: as a server that is killed and stopped, and run to its end.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// How long a server that is told to stop may take: so many looks, each after a short sleep.
const LOOKS: u32 = 6_000;
const BETWEEN: Duration = Duration::from_millis(10);

/// The program with these arguments, whatever the developer's own shell says.
fn tongjang(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongjang"));
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TONGJANG_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end, which has to be a good one.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) {
    let output = tongjang(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
}

/// One life of a server.
pub(crate) struct Process {
    child: Child,
    /// What it complains of, which is shown if the test fails.
    log: File,
    /// Where it listens, as `http://host:port`.
    pub(crate) base: String,
}

impl Process {
    /// A server on the ledger that `place` names, as the command line does.
    pub(crate) fn start(place: &[&str]) -> Self {
        let options = ["--log", "warn", "--listen", "127.0.0.1:0"];
        let mut command = tongjang(&[&options, place].concat());
        let log = tempfile::tempfile().unwrap();
        command.stdout(Stdio::piped()).stderr(log.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let base = first.trim().rsplit(' ').next().unwrap().to_owned();
        let process = Self { child, log, base };
        assert!(process.base.starts_with("http://"), "it did not start: {first}");
        process
    }

    /// No matter what it is doing.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// As a service manager does, which also expects it to end well.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        for _ in 0..LOOKS {
            if let Some(ended) = self.child.try_wait().unwrap() {
                assert!(ended.success(), "{ended}");
                return;
            }
            sleep(BETWEEN);
        }
        panic!("the server does not stop when it is told to");
    }

    /// Insists that it is still the process that was started.
    #[track_caller]
    pub(crate) fn still_runs(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the server ended: {ended:?}");
    }
}

/// Not even a test that fails leaves a server behind.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut log = String::new();
            let _ = self.log.rewind().and_then(|()| self.log.read_to_string(&mut log));
            eprintln!("the server's log:\n{log}");
        }
    }
}
