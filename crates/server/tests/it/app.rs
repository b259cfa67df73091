//! A server for one test, and a caller for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tongjang_cluster::{Cluster, Database};
use tongjang_core::Timestamp;
use tongjang_server::app::Clock;
use tongjang_server::config::{Config, Deposits, ServingArgs, Signup, StoreArgs, time_zone};
use tongjang_server::serve::{Limits, Server, Surroundings};
use tongjang_store::postgres::{Layout, Parts, Passwords, Profile, Target, schema};

/// A password that is good enough for everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A server that runs for one test.
pub(crate) struct TestApp {
    server: Option<Server>,
    client: reqwest::Client,
    base: String,
    /// What the server's clock is ahead of the machine's, in microseconds.
    ahead: Arc<AtomicI64>,
    config: Config,
    surroundings: Surroundings,
    _data: tempfile::TempDir,
    _database: Option<Database>,
}

/// A database with a new ledger in it.
pub(crate) async fn new_ledger(parts: u16) -> Database {
    let database = tokio::task::spawn_blocking(|| Cluster::shared().database()).await.unwrap();
    let target = Target::new(database.url(), &Passwords::default()).unwrap();
    let (mut client, driver) = target.connect("tests", &Profile::OWNER).await.unwrap();
    tokio::spawn(driver);
    let parts = Parts::new(parts).unwrap();
    let layout = Layout { parts: Some(parts), id: 7, citus: database.has_citus() };
    schema::migrate(&mut client, layout).await.unwrap();
    database
}

/// Whether tests are to run on a database, as all do with `TONGJANG_TEST_STORE=postgres` that do
/// not say otherwise.
fn databases_are_asked_for() -> bool {
    std::env::var("TONGJANG_TEST_STORE").is_ok_and(|store| store == "postgres")
}

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What comes of `future`; that it ends is what the test says of it by `what`.
#[track_caller]
pub(crate) fn soon<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(PATIENCE, future).await;
        done.unwrap_or_else(|_| panic!("not so within {PATIENCE:?}: {what} ({place})"))
    }
}

/// Asks until the answer has another status than `status`, and gives it.
#[track_caller]
pub(crate) fn while_told(
    status: StatusCode,
    mut ask: impl AsyncFnMut() -> Answer,
) -> impl Future<Output = Answer> {
    soon("callers get another answer", async move {
        loop {
            let answer = ask().await;
            if answer.status != status {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl TestApp {
    /// A server as it starts without options.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server on the ledger in a database.
    pub(crate) async fn on(database: &Database) -> Self {
        let store = database.url().parse().unwrap();
        Self::on_a_folder_in(|config| config.ledger.store = Some(store), |_| {}).await
    }

    /// A server with some options changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(change, |_| {}).await
    }

    /// The same with other surroundings too.
    pub(crate) async fn start_in(
        change: impl FnOnce(&mut Config),
        around: impl FnOnce(&mut Surroundings),
    ) -> Self {
        let database = match databases_are_asked_for() {
            true => Some(new_ledger(4).await),
            false => None,
        };
        Self::launch(database, change, around).await
    }

    /// A server on a ledger in a folder, whatever is asked for: for a test of what only that has,
    /// which are its files, its disk and the way from it into a database.
    pub(crate) async fn on_a_folder() -> Self {
        Self::on_a_folder_in(|_| {}, |_| {}).await
    }

    /// The same with some options and surroundings changed.
    pub(crate) async fn on_a_folder_in(
        change: impl FnOnce(&mut Config),
        around: impl FnOnce(&mut Surroundings),
    ) -> Self {
        Self::launch(None, change, around).await
    }

    async fn launch(
        database: Option<Database>,
        change: impl FnOnce(&mut Config),
        around: impl FnOnce(&mut Surroundings),
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut ledger = StoreArgs::in_folder(data.path().join("data"));
        ledger.store = database.as_ref().map(|database| database.url().parse().unwrap());
        let mut config = Config {
            ledger,
            serving: ServingArgs::default(),
            listen: "127.0.0.1:0".parse().unwrap(),
            time_zone: time_zone("Asia/Seoul").unwrap(),
            signup: Signup::Open,
            deposits: Deposits::Owner,
        };
        change(&mut config);
        let ahead = Arc::new(AtomicI64::new(0));
        let mut surroundings = surroundings(ahead.clone());
        around(&mut surroundings);
        let server = Server::start(config.clone(), surroundings.clone()).await.unwrap();
        let base = format!("http://{}", server.address());
        let client = reqwest::Client::new();
        Self {
            server: Some(server),
            client,
            base,
            ahead,
            config,
            surroundings,
            _data: data,
            _database: database,
        }
    }

    /// The folder that the server keeps everything in.
    pub(crate) fn data(&self) -> PathBuf {
        self.config.ledger.data.clone()
    }

    /// The server itself.
    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// Stops the server, and tells what the store failed at.
    pub(crate) async fn stop_failed(&mut self) -> tongjang_store::StoreError {
        self.server.take().expect("it runs").stop().await.unwrap_err()
    }

    /// Where it listens, as `host:port`.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.server().address()
    }

    /// Sets the server's clock forward.
    pub(crate) fn pass(&self, seconds: i64) {
        self.ahead.fetch_add(seconds * 1_000_000, SeqCst);
    }

    /// Stops the server in order and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let start = Server::start(self.config.clone(), self.surroundings.clone());
        let server = start.await.unwrap();
        self.base = format!("http://{}", server.address());
        self.server = Some(server);
        // Its connections went with the server.
        self.client = reqwest::Client::new();
    }

    /// Stops the server in order.
    pub(crate) async fn stop(&mut self) {
        self.server.take().expect("it runs").stop().await.unwrap();
    }

    /// A request, to be completed and sent with [`answer`].
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// `GET path`, as nobody if there is no token.
    pub(crate) async fn get(&self, token: Option<&str>, path: &str) -> Answer {
        answer(authorized(self.request(Method::GET, path), token)).await
    }

    /// `POST path` with a JSON body, as nobody if there is no token.
    pub(crate) async fn post(&self, token: Option<&str>, path: &str, body: Value) -> Answer {
        answer(authorized(self.request(Method::POST, path), token).json(&body)).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, token: Option<&str>, path: &str) -> Answer {
        answer(authorized(self.request(Method::DELETE, path), token)).await
    }

    /// Signs `username` up and logs in: the token.
    pub(crate) async fn user(&self, username: &str) -> String {
        let body = json!({"username": username, "password": PASSWORD});
        self.post(None, "/v1/users", body.clone()).await.expect(201);
        self.log_in(username).await
    }

    /// Logs in: the token.
    pub(crate) async fn log_in(&self, username: &str) -> String {
        let body = json!({"username": username, "password": PASSWORD});
        let token = self.post(None, "/v1/tokens", body).await.expect(200);
        token["access_token"].as_str().unwrap().to_owned()
    }

    /// Takes an operator in, as the command line does, and logs in: the token.
    pub(crate) async fn operator(&self, username: &str) -> String {
        use tongjang_server::auth::{Password, PasswordHash, Role};
        use tongjang_server::directory::{NewUser, Username};

        let app = self.server().app();
        let user = NewUser {
            id: tongjang_core::UserId::new(app.clock.now(), app.random.nonce()),
            username: Username::new(username, "/username").unwrap(),
            password: PasswordHash::of(&Password::new(PASSWORD.into()), &app.random),
            name: None,
            role: Role::Operator,
            created_at: app.clock.now(),
        };
        app.directory.take_in(user).await.unwrap();
        self.log_in(username).await
    }

    /// Makes an API key of these scopes: its id and its secret.
    pub(crate) async fn key(&self, token: &str, scopes: &[&str]) -> (String, String) {
        let body = json!({"name": "backend", "scopes": scopes});
        let key = self.post(Some(token), "/v1/api-keys", body).await.expect(201);
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }
}

/// Those of a real server, with a clock that can be set and a small journal.
fn surroundings(ahead: Arc<AtomicI64>) -> Surroundings {
    let clock = Clock::new(move || {
        let now = Clock::system().now().micros();
        Timestamp::from_micros(now + ahead.load(SeqCst))
    });
    let limits = Limits { segment_bytes: 1 << 20, ..Limits::default() };
    Surroundings { clock, limits, ..Surroundings::default() }
}

/// Adds the caller's token.
pub(crate) fn authorized(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Sends a request and reads its answer.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// A header, or the empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Insists on the status and gives the body as JSON.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }

    /// Insists on a problem of this code with all that every problem has, and gives it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        problem
    }
}
