//! The program of the crate, whose servers go with it however it ends; and the variables.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tongjang_cluster::Cluster;

/// A life of the program, with a folder for its temporary files.
struct Program {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(folder.path().into(), variables).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned(), folder }
    }

    fn port(&self) -> u16 {
        let address = self.url.strip_prefix("postgres://postgres@127.0.0.1:").unwrap();
        address.split('/').next().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: &str, to: &str) {
        let status = Command::new("kill").args([signal, "--", to]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end of the program, and that soon nothing is left of its server.
    fn leaves_nothing(mut self) {
        self.child.wait().unwrap();
        let nothing = || {
            let listens = TcpStream::connect(("127.0.0.1", self.port())).is_ok();
            !listens && fs::read_dir(self.folder.path()).unwrap().count() == 0
        };
        for _ in 0..3000 {
            if nothing() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("{:?} is still there", fs::read_dir(self.folder.path()).unwrap().count());
    }
}

/// Not even a test that fails leaves a program behind.
impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: PathBuf, variables: &[(&str, &str)]) -> Command {
    use std::os::unix::fs::PermissionsExt as _;
    // The server may run as another user, who has to get there.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongjang-cluster"));
    for name in ["TONGJANG_TEST_POSTGRES_URL", "TONGJANG_TEST_CITUS"] {
        command.env_remove(name);
    }
    command.env("TMPDIR", folder).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command
}

#[test]
fn a_server_goes_with_its_program_when_that_ends() {
    let mut program = Program::start(&[]);
    assert!(TcpStream::connect(("127.0.0.1", program.port())).is_ok());
    assert_eq!(fs::read_dir(program.folder.path()).unwrap().count(), 1);
    drop(program.child.stdin.take());
    program.leaves_nothing();
}

#[test]
fn a_server_goes_with_its_program_when_that_is_killed() {
    for signal in ["-KILL", "-TERM"] {
        let program = Program::start(&[]);
        program.signal(signal, &program.child.id().to_string());
        program.leaves_nothing();
    }
}

#[test]
fn a_server_goes_with_its_program_when_the_whole_group_is_killed() {
    for signal in ["-KILL", "-INT"] {
        let program = Program::start(&[]);
        program.signal(signal, &format!("-{}", program.child.id()));
        program.leaves_nothing();
    }
}

#[test]
fn a_server_that_the_environment_names_gets_the_databases() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let url = format!("{}?connect_timeout=5", database.url());
    let mut program = Program::start(&[("TONGJANG_TEST_POSTGRES_URL", &url)]);
    let name = program.url.strip_suffix("?connect_timeout=5").unwrap().rsplit('/').next().unwrap();
    let query = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(program.port(), cluster.port());
    assert_ne!(name, database.name());
    assert_eq!(cluster.query_text(&database, &query).unwrap(), "1");
    assert_eq!(fs::read_dir(program.folder.path()).unwrap().count(), 0);
    drop(program.child.stdin.take());
    program.child.wait().unwrap();
    assert_eq!(cluster.query_text(&database, &query).unwrap(), "0");
}

/// What the program says when it cannot do it.
fn refusal(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path().into(), variables);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!child.wait().unwrap().success());
    said
}

#[test]
fn citus_is_asked_for_in_each_database() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let variables = [("TONGJANG_TEST_POSTGRES_URL", database.url()), ("TONGJANG_TEST_CITUS", "1")];
    let said = refusal(&variables);
    // A server that was not started for it refuses, whether it has the extension or not.
    assert!(said.contains("CREATE EXTENSION citus: "), "{said}");
}

#[test]
fn a_folder_without_a_server_is_told() {
    let said = refusal(&[("TONGJANG_TEST_POSTGRES_BIN", "/nowhere")]);
    assert!(said.contains("TONGJANG_TEST_POSTGRES_BIN: no `initdb` and `postgres`"), "{said}");
}

#[test]
fn a_machine_without_a_server_is_told_how_to_get_one() {
    // No program is found where none are, unless Debian's place has one.
    if fs::exists("/usr/lib/postgresql").unwrap() {
        return;
    }
    let said = refusal(&[("PATH", "/nowhere")]);
    assert!(said.contains("Debian and Ubuntu have it as `postgresql`"), "{said}");
}
