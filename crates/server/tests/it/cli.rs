//! The program itself, as a process: what it prints, and how it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use crate::app::PASSWORD;

/// The program with these arguments.
pub(crate) fn tongjang(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tongjang"));
    command.args(arguments);
    // What the developer's own shell says must not matter.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TONGJANG_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end, with `input` typed in.
pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let piped = || Stdio::piped();
    let mut command = tongjang(arguments);
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    // What ends before it has read all of it may do so.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// How long a start that has to fail may take: so many looks, each after a short sleep.
const LOOKS: u32 = 6_000;
const BETWEEN: Duration = Duration::from_millis(10);

/// Insists that it ends by itself with 1 and has printed nothing: what it complains of.
#[track_caller]
pub(crate) fn refused(arguments: &[&str]) -> String {
    let mut command = tongjang(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ends = (0..LOOKS).any(|_| {
        std::thread::sleep(BETWEEN);
        child.try_wait().unwrap().is_some()
    });
    if !ends {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let [said, printed] =
        [output.stderr, output.stdout].map(|text| String::from_utf8(text).unwrap());
    assert!(ends, "{arguments:?} did not end: {printed}{said}");
    assert_eq!((output.status.code(), printed.as_str()), (Some(1), ""), "{arguments:?}: {said}");
    said
}

/// What it prints if all is well.
#[track_caller]
pub(crate) fn printed(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server as its own process, and where it says that it listens.
pub(crate) struct Process {
    child: Child,
    pub(crate) greeting: Vec<String>,
    pub(crate) base: String,
}

impl Process {
    pub(crate) fn start(data: &Path, more: &[&str]) -> Self {
        let mut command = tongjang(&["--listen", "127.0.0.1:0", "--data"]);
        command.arg(data).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let greeting: Vec<String> = lines.take(5).map(Result::unwrap).collect();
        let base = greeting[0].rsplit(' ').next().unwrap().to_owned();
        Self { child, greeting, base }
    }

    /// Sends the signal and waits for the end: the exit code and what was logged.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let mut child = std::mem::replace(&mut self.child, spawn_nothing());
        let log = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        (child.wait().unwrap().code(), log)
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn_nothing() -> Child {
    Command::new("true").spawn().unwrap()
}

pub(crate) async fn post(base: &str, token: Option<&str>, path: &str, body: Value) -> Value {
    let request = Client::new().post(format!("{base}{path}")).json(&body);
    let response = crate::app::authorized(request, token).send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.json().await.unwrap()
}

#[test]
fn an_address_that_is_taken_leaves_no_folder_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address, "--data", data.to_str().unwrap()], "");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(!data.exists());
}

#[test]
fn a_database_that_is_away_is_told_by_all_commands_and_its_password_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let url = "postgres://jiwon:secret@127.0.0.1:1/ledger";
    for command in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["verify"],
        &["user", "add", "minji"],
        &["account", "list"],
        &["history", "004/1101"],
        &["import", "-", "--owner", "minji"],
        &["import", "-", "--dry-run"],
        &["export"],
    ] {
        let output = run(&[command, &["--data", data, "--store", url]].concat(), PASSWORD);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = "cannot open the ledger in";
        assert!(said.contains(expected) && said.contains("jiwon@127.0.0.1:1/ledger"), "{said}");
        assert!(!said.contains("secret"), "{command:?}: {said}");
        assert!(!Path::new(data).exists(), "{command:?}");
        let help: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let help = tongjang(&help).env("TONGJANG_STORE", url).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains("TONGJANG_STORE") && !help.contains("secret"), "{help}");
        let mut wrong = tongjang(command);
        wrong.args(["--data", data]).env("TONGJANG_STORE", "mysql://jiwon:secret@db");
        let wrong = wrong.output().unwrap();
        let said = String::from_utf8(wrong.stderr).unwrap();
        assert_eq!(wrong.status.code(), Some(2), "{said}");
        assert!(said.contains("postgres://") && !said.contains("secret"), "{said}");
    }
}

#[tokio::test]
async fn a_ledger_is_served_stopped_verified_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let process = Process::start(&data, &["--log", "debug"]);
    let base = process.base.clone();
    assert!(process.greeting[1].ends_with("/data"), "{:?}", process.greeting);
    assert_eq!(process.greeting[2], format!("docs   {base}/docs"));
    assert!(process.greeting[3].contains(&format!("curl -s {base}/v1/users")));

    let login = json!({"username": "minji", "password": PASSWORD});
    post(&base, None, "/v1/users", login.clone()).await;
    let token = post(&base, None, "/v1/tokens", login).await;
    let token = token["access_token"].as_str().unwrap().to_owned();
    let account = json!({"currency": "USD", "bank": "004", "number": "110-1", "name": "여행"});
    let account = post(&base, Some(&token), "/v1/accounts", account).await;
    let id = account["id"].as_str().unwrap();
    let deposits = format!("/v1/accounts/{id}/deposits");
    let deposit = json!({"amount": 123_456, "memo": "비밀 메모"});
    post(&base, Some(&token), &deposits, deposit).await;

    let folder = data.to_str().unwrap();
    let list = printed(&["account", "list", "--data", folder], "");
    assert!(list.contains("004/110-1") && list.contains("1,234.56"), "beside a server: {list}");
    let busy = run(&["--listen", "127.0.0.1:0", "--data", folder], "");
    assert!(!busy.status.success());
    let said = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(said.contains("in use by another process"), "{said}");

    let (code, log) = process.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
    for hidden in [PASSWORD, &token, "비밀"] {
        assert!(!log.contains(hidden), "the log holds {hidden}");
    }

    let history = printed(&["history", "004/1101", "--data", folder], "");
    for part in ["여행", "1,234.56", "비밀 메모", "deposit", id] {
        assert!(history.contains(part), "no {part} in {history}");
    }
    let verified = printed(&["verify", "--data", folder], "");
    assert!(verified.contains("every number, balance and hash holds"), "{verified}");
    assert!(run(&["history", "acc_none", "--data", folder], "").status.code() == Some(1));
}

#[test]
fn verify_names_the_place_of_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, log) = Process::start(&data, &[]).end("-INT");
    assert_eq!(code, Some(0), "{log}");
    let segment = std::fs::read_dir(data.join("journal")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[..4096].fill(0xee);
    std::fs::write(&segment, bytes).unwrap();
    let output = run(&["verify", "--data", data.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = segment.file_name().unwrap().to_str().unwrap();
    assert!(said.contains("damaged at byte") && said.contains(name), "{said}");
}

#[test]
fn an_operator_gets_the_password_given_or_one_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let add = |name: &str, input: &str| {
        printed(&["user", "add", "--operator", "--data", data, name], input)
    };
    let given = add("teller", &format!("{PASSWORD}\n"));
    assert!(given.starts_with("operator teller usr_") && !given.contains("password"), "{given}");
    let made = add("clerk", "");
    let made = made.lines().find_map(|line| line.strip_prefix("password ")).unwrap();
    assert_eq!(made.len(), 24);
    let taken = run(&["user", "add", "--data", data, "TELLER"], PASSWORD);
    assert_eq!(taken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("taken"));
    let short = run(&["user", "add", "--data", data, "other"], "short\n");
    assert!(String::from_utf8_lossy(&short.stderr).contains("8 to 200 characters"));
}

#[test]
fn it_tells_its_version_completions_and_document() {
    let version = printed(&["--version"], "");
    assert!(version.starts_with(concat!("tongjang ", env!("CARGO_PKG_VERSION"), " (")));
    assert!(printed(&["completions", "bash"], "").contains("_tongjang"));
    let document: Value = serde_json::from_str(&printed(&["openapi"], "")).unwrap();
    assert!(document["paths"]["/v1/users"].is_object());
    assert_eq!(run(&["--signup", "perhaps"], "").status.code(), Some(2));
}

/// The service manager is a socket to which the server writes when it is ready and when it stops.
#[test]
fn the_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = tongjang(&["--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path().join("data")).env("NOTIFY_SOCKET", &socket);
    command.env("WATCHDOG_USEC", "3000000").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(told(), "WATCHDOG=1");
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let last = std::iter::from_fn(|| Some(told())).find(|word| word != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(child.wait().unwrap().success());
}
