//! What `/metrics` says of a database.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use tongjang_cluster::{Cluster, Database, Proxy};
use tongjang_server::config::Config;
use tongjang_store::postgres::{Passwords, Profile, Target};

use crate::app::{TestApp, answer, new_ledger};
use crate::bank::Person;
use crate::ready::soon;

/// The value of one series, which has its labels with it; none if it is not there.
pub(crate) fn value(metrics: &str, series: &str) -> Option<u64> {
    let of_it = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(of_it)
}

/// Counters and gauges of a server's database.
struct Told(String);

impl Told {
    async fn by(app: &TestApp) -> Self {
        Self(app.get(None, "/metrics").await.text)
    }

    fn of(&self, what: &str) -> u64 {
        let found = value(&self.0, &format!("tongjang_database_{what}"));
        found.unwrap_or_else(|| panic!("nothing is told of {what}: {}", self.0))
    }
}

/// A server behind a proxy, and an account on it.
struct Watched {
    database: Database,
    proxy: Proxy,
    app: TestApp,
    minji: Person,
    account: String,
}

impl Watched {
    async fn start() -> Self {
        let database = new_ledger(1).await;
        let proxy = Proxy::to(Cluster::shared().port());
        let behind = proxy.url(&database).parse().unwrap();
        let change = |config: &mut Config| config.ledger.store = Some(behind);
        let app = TestApp::on_a_folder_in(change, |_| {}).await;
        let minji = app.customer("minji").await;
        let account = app.account(&minji, 5).await;
        Self { database, proxy, app, minji, account }
    }

    /// Deposits under `key`: the status, and by how much each of the counters went up.
    async fn deposit<const N: usize>(&self, key: &str, counters: [&str; N]) -> (u16, [u64; N]) {
        let before = Told::by(&self.app).await;
        let path = format!("/v1/accounts/{}/deposits", self.account);
        let request = self.app.request(Method::POST, &path).bearer_auth(&self.minji.token);
        let request = request.header("idempotency-key", key).json(&json!({"amount": 1}));
        let status = answer(request).await.status.as_u16();
        let after = Told::by(&self.app).await;
        (status, counters.map(|name| after.of(name) - before.of(name)))
    }

    /// Has the owner say `statements`, in this database.
    fn owner(&self, statements: &str) {
        Cluster::shared().execute(&self.database, statements);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_and_each_event_of_a_database_is_counted() {
    let watched = Watched::start().await;
    let names = ["batches_total", "events_total", "again_total", "away_total", "refused_total"];
    assert_eq!(watched.deposit("a", names).await, (201, [1, 1, 0, 0, 0]));
    // A key that stands for something books nothing.
    assert_eq!(watched.deposit("a", ["events_total"]).await, (201, [0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_decided_again_is_counted_and_so_is_the_commit_that_broke() {
    let watched = Watched::start().await;
    watched.proxy.cut_before(b"COMMIT");
    let names = ["batches_total", "again_total", "broken_commits_total", "unknown_outcomes_total"];
    assert_eq!(watched.deposit("a", names).await, (201, [2, 1, 1, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_does_not_reach_the_database_is_counted() {
    let watched = Watched::start().await;
    watched.proxy.close();
    let (status, [away, batches]) = watched.deposit("a", ["away_total", "batches_total"]).await;
    assert!(status == 503 && away > 0 && batches == 0, "{status}, {away} away, {batches} written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_database_refuses_is_counted() {
    let watched = Watched::start().await;
    tokio::task::block_in_place(|| {
        watched.owner("REVOKE INSERT ON tongjang.entries FROM tongjang_app");
    });
    assert_eq!(watched.deposit("a", ["refused_total", "away_total"]).await, (503, [1, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_which_nothing_can_be_found_out_is_counted() {
    let watched = Watched::start().await;
    let allow = |whether: bool| {
        tokio::task::block_in_place(|| {
            let other = Cluster::shared().database();
            let name = watched.database.name();
            let allow = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {whether}");
            Cluster::shared().execute(&other, &allow);
        });
    };
    watched.proxy.cut_after(b"COMMIT");
    allow(false);
    let names = ["unknown_outcomes_total", "broken_commits_total"];
    let unknown = watched.deposit("a", names).await;
    allow(true);
    assert_eq!(unknown, (503, [1, 1]));
    // It was done, which the key tells now.
    let (status, [events]) = watched.deposit("a", ["events_total"]).await;
    assert_eq!((status, events), (201, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_both_pools_are_filled_is_told() {
    let database = new_ledger(1).await;
    let app = TestApp::on(&database).await;
    let minji = app.customer("minji").await;
    let account = app.account(&minji, 5).await;
    assert_eq!(app.balance(&minji, &account).await, 5);
    let target = Target::new(database.url(), &Passwords::default()).unwrap();
    let (owner, driver) = target.connect("owner", &Profile::OWNER).await.unwrap();
    tokio::spawn(driver);
    let pool = async |pool: &str| {
        let told = Told::by(&app).await;
        ["max", "open", "free", "waited_for"]
            .map(|what| told.of(&format!("connections_{what}{{pool=\"{pool}\"}}")))
    };
    let [max, open, free, waited_for] = pool("queries").await;
    assert!(max == 16 && open >= 1 && free == open && waited_for == 0, "{open} open, {free} free");

    owner.batch_execute("BEGIN; LOCK TABLE tongjang.api_keys").await.unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let request = app.request(Method::GET, "/v1/api-keys").bearer_auth(&minji.token);
        asked.spawn(async { request.send().await.unwrap().status() });
    }
    let all_wait = async || pool("directory").await == [4, 4, 0, 6];
    soon(all_wait, "of ten, four have a connection and six wait for one").await;
    owner.batch_execute("ROLLBACK").await.unwrap();
    while let Some(status) = asked.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(pool("directory").await, [4, 4, 4, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_database_is_what_the_documentation_lists() {
    let app = TestApp::on(&new_ledger(1).await).await;
    let names = |text: &str| -> BTreeSet<String> {
        let ends = |c: char| c != '_' && !c.is_ascii_alphanumeric();
        let parts = text.split("tongjang_database_").skip(1);
        parts.filter_map(|part| part.split(ends).next()).map(str::to_owned).collect()
    };
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/postgres.md");
    let listed = names(&std::fs::read_to_string(docs).unwrap());
    assert_eq!(names(&app.get(None, "/metrics").await.text), listed);
}
