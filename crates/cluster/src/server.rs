//! One PostgreSQL in a temporary folder: made, started, stopped, killed, removed.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;
use tokio_postgres::Config;

use crate::programs::Programs;
use crate::watchdog::Watchdog;
use crate::{Trouble, process, sql};

/// Durability is as it comes. Only what a small machine would feel is smaller.
const SETTINGS: &str = "
max_connections = 200
shared_buffers = 32MB
max_wal_size = 256MB
min_wal_size = 32MB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
";
/// How long a start, also one after a crash, and a stop may take: so many looks, each after a
/// short sleep.
const LOOKS: u32 = 6_000;
const BETWEEN: Duration = Duration::from_millis(10);

/// The folder, and the server in it while one runs.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) programs: Programs,
    child: Option<Child>,
    pub(crate) port: u16,
    folder: PathBuf,
    /// Last, so that it takes the folder away when all else is gone.
    watchdog: Watchdog,
}

impl Server {
    /// An empty one that runs; `settings` are lines of its `postgresql.conf`.
    pub(crate) fn create(settings: &str) -> Result<Self, Trouble> {
        let mut server = Self::nowhere(Programs::find()?)?;
        let mut initdb = server.command("initdb");
        // What initdb writes is not needed after a crash of the machine.
        initdb.args(["--no-sync", "--username=postgres", "--auth=trust"]);
        initdb.args(["--encoding=UTF8", "--locale=C", "--pgdata"]).arg(server.data());
        run(initdb)?;
        server.configure(SETTINGS)?;
        if cfg!(target_os = "linux") && server.version() >= 14 {
            // Before it recovers it syncs all it has: here by one call, and not file by file.
            server.configure("recovery_init_sync_method = syncfs")?;
        }
        server.configure(settings)?;
        server.start_somewhere()?;
        Ok(server)
    }

    /// A folder and no data in it.
    pub(crate) fn nowhere(programs: Programs) -> Result<Self, Trouble> {
        let cannot = |error| Trouble::new("cannot make a temporary folder", error);
        let folder = tempfile::Builder::new().prefix("tongjang-pg-").tempdir().map_err(cannot)?;
        if let Some((user, group)) = process::account() {
            chown(folder.path(), Some(user), Some(group)).map_err(cannot)?;
        }
        let watchdog = Watchdog::over(folder.path())?;
        // From here on the watchdog removes it, which takes a while and keeps nobody waiting.
        Ok(Self { programs, child: None, port: 0, folder: folder.keep(), watchdog })
    }

    /// Also where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The first number of its version, or 0.
    fn version(&self) -> u32 {
        let text = fs::read_to_string(self.data().join("PG_VERSION")).unwrap_or_default();
        text.trim().split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// What the server has written into its log.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// By the socket, so that it is this server and no other that answers.
    pub(crate) fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(self.folder()).port(self.port).user("postgres").dbname(database);
        config
    }

    /// The id of the first process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// `program`, as whoever may run it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        if let Some((user, group)) = process::account() {
            command.uid(user).gid(group);
        }
        // Whoever called may stand where the other user may not.
        command.current_dir(self.folder()).stdin(Stdio::null());
        // Nothing of the caller's own connections is meant here.
        for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGDATA", "PGOPTIONS"] {
            command.env_remove(name);
        }
        command
    }

    /// Adds lines to `postgresql.conf`, of which the last counts.
    pub(crate) fn configure(&self, lines: &str) -> Result<(), Trouble> {
        let path = self.data().join("postgresql.conf");
        let append = |mut file: File| writeln!(file, "{lines}");
        let opened = OpenOptions::new().append(true).open(&path);
        opened.and_then(append).map_err(|error| Trouble::new(path.display(), error))
    }

    /// Starts it on a port that is free.
    pub(crate) fn start_somewhere(&mut self) -> Result<(), Trouble> {
        let mut last = Ok(());
        for _ in 0..5 {
            self.port = free_port()?;
            last = self.start();
            // Between our look and its start another one may have taken the port.
            if last.is_ok() || !self.log().contains("could not bind") {
                break;
            }
        }
        last
    }

    /// Starts it where it was, and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<(), Trouble> {
        assert!(self.child.is_none(), "the server runs already");
        let path = self.folder().join("log");
        let cannot = |error| Trouble::new(path.display(), error);
        let log = OpenOptions::new().append(true).create(true).open(&path).map_err(cannot)?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        command.args(["-h", "127.0.0.1", "-k"]).arg(self.folder());
        command.stdout(log.try_clone().map_err(cannot)?).stderr(log);
        // Ctrl-C is for the test, which then ends it.
        command.process_group(0);
        let child = command.spawn().map_err(|error| not_run("postgres", &error))?;
        self.watchdog.tell(Some(child.id()));
        self.child = Some(child);
        self.wait_until_it_answers().inspect_err(|_| self.kill())
    }

    pub(crate) fn wait_until_it_answers(&mut self) -> Result<(), Trouble> {
        let mut last = Trouble("it was not asked".into());
        for _ in 0..LOOKS {
            let ended =
                self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended {
                return Err(Trouble::new("postgres ended at its start", self.log()));
            }
            // To be asked while it recovers would only make it slower.
            if self.says_that_it_is_ready() {
                match sql::execute(&self.config("postgres"), "SELECT 1") {
                    Ok(()) => return Ok(()),
                    Err(trouble) => last = trouble,
                }
            }
            sleep(BETWEEN);
        }
        Err(Trouble::new("postgres does not answer", format!("{last}\n{}", self.log())))
    }

    /// What it writes into the last line of its file; after a crash of one of its processes that
    /// still stands there.
    fn says_that_it_is_ready(&self) -> bool {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        matches!(file.lines().nth(7).map(str::trim), Some("ready" | "standby"))
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) {
        if let Some(id) = self.id() {
            process::signal(id, Signal::HUP);
        }
    }

    /// Ends it by `signal`, and by force if that takes too long.
    pub(crate) fn stop(&mut self, signal: Signal) {
        let Some(child) = &mut self.child else { return };
        process::signal(child.id(), signal);
        for _ in 0..LOOKS {
            if !matches!(child.try_wait(), Ok(None)) {
                self.child = None;
                self.watchdog.tell(None);
                return;
            }
            sleep(BETWEEN);
        }
        self.kill();
    }

    /// Ends it and all its children at once, none of which can finish anything.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // While it is stopped it makes no new ones.
        process::signal(child.id(), Signal::STOP);
        let children = process::children(child.id());
        for id in &children {
            process::signal(*id, Signal::KILL);
        }
        process::signal(child.id(), Signal::KILL);
        let _ = child.wait();
        self.watchdog.tell(None);
        let mut looks = 0;
        while !children.iter().all(|id| process::gone(*id)) {
            looks += 1;
            assert!(looks < LOOKS, "a process of the server outlives `kill -9`");
            sleep(BETWEEN);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Without a last checkpoint: all it would save is removed now.
        self.stop(Signal::QUIT);
    }
}

/// A port that nobody listens on. It lies below those that the system gives to whoever connects,
/// so that it is still free when a server comes back to it.
fn free_port() -> Result<u16, Trouble> {
    let random = || RandomState::new().hash_one(());
    let ports = std::iter::repeat_with(|| 10_000 + (random() % 20_000) as u16);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found = ports.take(100).find(free);
    found.ok_or_else(|| Trouble("none of 100 ports of 127.0.0.1 is free".into()))
}

/// Runs `command` to its end; what it printed is told if it fails.
pub(crate) fn run(mut command: Command) -> Result<(), Trouble> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| not_run(&name, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Trouble::new(name, format!("{}\n{said}", output.status)))
}

fn not_run(program: &str, error: &io::Error) -> Trouble {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied if process::account().is_some() => {
            "; for root it runs as the user `postgres` or `nobody`, who has to get to its folder"
        }
        _ => "",
    };
    Trouble::new(format!("cannot run {program}"), format!("{error}{hint}"))
}
