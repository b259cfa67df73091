//! An import into a database that never answers to a commit, though it has done it.

use std::io::Write;
use std::process::{Child, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tongjang_cluster::{Cluster, Database, Proxy};

use crate::carry::figures;
use crate::cli::tongjang;
use crate::copy::migrated;

/// So many lines are booked by one transaction.
const AT_ONCE: u64 = 512;

/// An import from standard input, under way behind a proxy.
struct Import {
    database: Database,
    proxy: Proxy,
    child: Child,
}

impl Import {
    /// Begins it with as many lines as are booked together, and waits until they are.
    fn begin(options: &[&str]) -> Self {
        let database = migrated(1);
        let proxy = Proxy::to(Cluster::shared().port());
        let url = proxy.url(&database);
        let mut command = tongjang(&["import", "--store", &url, "--format", "ndjson", "-"]);
        command.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut import = Self { database, proxy, child: command.spawn().unwrap() };
        let open = json!({"op": "open", "account": "a", "currency": "KRW", "bank": "088",
            "number": "1", "owner_id": format!("usr_{:026}", 1)});
        import.write(&format!("{open}\n"));
        import.deposits(AT_ONCE - 1);
        soon("the first lines are booked", || import.booked() == AT_ONCE - 1);
        import
    }

    fn write(&mut self, lines: &str) {
        self.child.stdin.as_mut().unwrap().write_all(lines.as_bytes()).unwrap();
    }

    fn deposits(&mut self, count: u64) {
        let line = json!({"op": "deposit", "account": "a", "amount": 1});
        let count = usize::try_from(count).unwrap();
        self.write(&format!("{line}\n").repeat(count));
    }

    /// How many deposits are in the ledger.
    fn booked(&self) -> u64 {
        let count = "SELECT count(*)::text FROM tongjang.entries WHERE direction = 1";
        Cluster::shared().query_text(&self.database, count).unwrap().parse().unwrap()
    }

    /// Whether the database takes new connections; those that are there stay.
    fn takes_connections(&self, whether: bool) {
        let name = self.database.name();
        let other = Cluster::shared().database();
        let allow = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {whether}");
        Cluster::shared().execute(&other, &allow);
    }

    /// Hands in as many lines again, whose commit is done and not answered, and has nobody ask.
    fn lose_an_answer(&mut self) {
        self.takes_connections(false);
        self.proxy.cut_after(b"COMMIT");
        self.deposits(AT_ONCE);
        soon("the connection is cut", || self.proxy.caught() == 1);
    }

    fn end(&mut self) -> Output {
        drop(self.child.stdin.take());
        soon("the import ends", || self.child.try_wait().unwrap().is_some());
        let mut output =
            Output { status: self.child.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
        let (out, err) = (self.child.stdout.as_mut(), self.child.stderr.as_mut());
        std::io::Read::read_to_end(out.unwrap(), &mut output.stdout).unwrap();
        std::io::Read::read_to_end(err.unwrap(), &mut output.stderr).unwrap();
        output
    }
}

/// Waits for what is true soon, and fails after two minutes if it never is.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it was waited in vain until {what}");
}

#[test]
fn lines_with_keys_are_asked_for_again_by_them() {
    let mut import = Import::begin(&["--job", "j"]);
    import.lose_an_answer();
    import.proxy.close();
    import.takes_connections(true);
    // Until it has given up to find out, which is no failure if it takes longer.
    thread::sleep(Duration::from_secs(3));
    import.proxy.open();
    let output = import.end();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let [booked, there, refused] = figures(&String::from_utf8(output.stdout).unwrap());
    assert_eq!((booked + there, refused), (2 * AT_ONCE, 0), "{said}");
    assert_eq!(import.booked(), 2 * AT_ONCE - 1, "each line once");
}

#[test]
fn lines_without_keys_are_not_asked_for_again_and_it_says_how_to_go_on() {
    let mut import = Import::begin(&[]);
    import.lose_an_answer();
    let output = import.end();
    import.takes_connections(true);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    for part in ["up to line 512 was", "lines 513 to 1024 were", "from line 1025 if it is there"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(import.booked(), 2 * AT_ONCE - 1, "each line once");
}
