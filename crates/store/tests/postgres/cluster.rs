//! A PostgreSQL of the tests' own, in a temporary folder and on a port of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};
use tongjang_store::postgres::{Passwords, Target};

use crate::certificates::Root;

/// Who may come in how. On the socket everybody, as whom he likes; over TCP each database has
/// another rule.
const HBA: &str = "\
local   all     all                 trust
host    plain   all 127.0.0.1/32    scram-sha-256
host    frozen  all 127.0.0.1/32    scram-sha-256
hostssl secure  all 127.0.0.1/32    scram-sha-256
hostssl passed  all 127.0.0.1/32    cert
";

/// What every test finds. `teller` may take the role of the application, `stranger` may not.
const CONTENT: &str = "
CREATE ROLE tongjang_app;
CREATE ROLE teller LOGIN PASSWORD 'open sesame' IN ROLE tongjang_app;
CREATE ROLE stranger LOGIN PASSWORD 'open sesame';
CREATE DATABASE plain;
CREATE DATABASE secure;
CREATE DATABASE passed;
CREATE DATABASE frozen;
ALTER DATABASE frozen SET default_transaction_read_only = on;
CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0;
";

pub(crate) struct Cluster {
    folder: TempDir,
    server: Child,
    pub(crate) port: u16,
    /// Signed the server's certificate, which is for `localhost`, and those of users.
    pub(crate) root: Root,
}

/// The one that tests share while any of them needs it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    pub(crate) fn shared() -> Arc<Self> {
        // A test that failed to start one leaves it to the next.
        let mut shared = SHARED.lock().unwrap_or_else(|broken| broken.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start(true, CONTENT));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// One that speaks no TLS and has the database `plain` alone.
    pub(crate) fn bare() -> Self {
        Self::start(false, "CREATE DATABASE plain;")
    }

    fn start(encrypted: bool, content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        run(Command::new("chown").arg(owner()).arg(folder.path()));
        run(program("initdb").arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let root = Root::new("a root of tests");
        let signed = root.sign("localhost");
        let files = [
            ("pg_hba.conf", HBA),
            ("root.crt", &root.pem),
            ("server.crt", &signed.certificate),
            ("server.key", &signed.key),
        ];
        for (name, text) in files {
            let path = data.join(name);
            fs::write(&path, text).unwrap();
            run(Command::new("chown").arg(owner()).arg(&path));
            run(Command::new("chmod").arg("0600").arg(&path));
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut server = program("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(folder.path());
        for setting in [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            "fsync=off".into(),
            "password_encryption=scram-sha-256".into(),
            format!("ssl={encrypted}"),
            "ssl_ca_file=root.crt".into(),
        ] {
            server.arg("-c").arg(setting);
        }
        let server = server.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut cluster = Self { folder, server, port, root };
        cluster.fill(content);
        cluster
    }

    /// Waits until the server is up, and runs `content` on it.
    fn fill(&mut self, content: &str) {
        let mut config = Config::new();
        config.host_path(self.folder.path()).port(self.port).user("postgres").dbname("postgres");
        // The thread of a test runs a runtime already, and may not wait for another.
        let log = self.folder.path().join("log");
        let server = &mut self.server;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let client = loop {
                        match config.connect(NoTls).await {
                            Ok((client, connection)) => {
                                tokio::spawn(connection);
                                break client;
                            }
                            Err(_) => assert!(
                                server.try_wait().unwrap().is_none(),
                                "the server ended: {}",
                                fs::read_to_string(&log).unwrap()
                            ),
                        }
                        sleep(Duration::from_millis(20));
                    };
                    for statement in content.split(';').filter(|part| !part.trim().is_empty()) {
                        client.batch_execute(statement).await.unwrap();
                    }
                });
            });
        });
    }

    /// A file of a test's own.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        run(Command::new("chmod").arg("0600").arg(&path));
        path
    }

    /// The folder of the server's socket, as it stands in a URL.
    pub(crate) fn socket(&self) -> String {
        self.folder.path().to_str().unwrap().replace('/', "%2F")
    }

    /// A connection as the superuser.
    pub(crate) async fn admin(&self) -> Client {
        let mut config = Config::new();
        config.host_path(self.folder.path()).port(self.port).user("postgres").dbname("plain");
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// `rest` is what follows the user and `@`.
    pub(crate) fn target(&self, user: &str, rest: &str) -> Target {
        let url = format!("postgres://{user}:open%20sesame@{rest}");
        Target::new(&url, &Passwords::default()).unwrap()
    }

    /// By the socket, where nobody is asked for a password.
    pub(crate) fn by_socket(&self, user: &str, rest: &str) -> Target {
        let url = format!("postgres://{user}@{}:{}/{rest}", self.socket(), self.port);
        Target::new(&url, &Passwords::default()).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // An immediate shutdown: it ends its own children, and nothing of it is kept.
        let server = Pid::from_child(&self.server);
        if kill_process(server, Signal::QUIT).is_ok() {
            let _ = self.server.wait();
        }
    }
}

/// A program of PostgreSQL, which refuses to be run by root: then it is run as its own user.
fn program(name: &str) -> Command {
    let told = Command::new("pg_config").arg("--bindir").output().unwrap();
    let path = Path::new(String::from_utf8(told.stdout).unwrap().trim()).join(name);
    if !getuid().is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(path);
    command
}

fn owner() -> String {
    if getuid().is_root() { "postgres".into() } else { getuid().as_raw().to_string() }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
