//! What every handler is given: the parts of the running server, made once at its start.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tongjang_core::{Caller, Command, Fingerprint, IdempotencyKey, Request, Timestamp};

use crate::api::Bounds;
use crate::auth::Auth;
use crate::config::Config;
use crate::directory::Directory;
use crate::ledger::Ledger;
use crate::telemetry::Telemetry;

/// The state that axum hands to each handler: `State(app): State<AppState>`.
pub type AppState = Arc<App>;

/// The parts of the server.
#[derive(Debug)]
pub struct App {
    /// How it was told to run.
    pub config: Config,
    /// Users, tokens, keys and the names of accounts.
    pub directory: Directory,
    /// Who a caller is, and how many wrong passwords he may try.
    pub auth: Auth,
    /// The accounts and their history.
    pub ledger: Ledger,
    /// How many batches there may be at once.
    pub(crate) batches: Bounds,
    /// The time of day.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// What is counted.
    pub telemetry: Arc<Telemetry>,
    /// Turns true when the server stops, for who answers without an end.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// A request to the ledger, with all that is not deterministic settled: the time, and the
    /// random bits of what it may make.
    pub fn request(
        &self,
        caller: Caller,
        command: Command,
        key: Option<IdempotencyKey>,
        expected_version: Option<u64>,
    ) -> Request {
        let key = key.map(|key| (key, Fingerprint::of(&command)));
        let (at, nonce) = (self.clock.now(), self.random.nonce());
        Request { caller, at, nonce, key, expected_version, command }
    }
}

/// Tells the time. Tests set their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock of the machine.
    #[expect(clippy::disallowed_methods, reason = "time enters the server here and nowhere else")]
    pub fn system() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            let micros = since.ok().and_then(|since| i64::try_from(since.as_micros()).ok());
            Timestamp::from_micros(micros.expect("the clock stands between 1970 and 294,000"))
        })
    }

    /// A clock that tells what `now` tells.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Gives random bytes that nobody can guess.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// The operating system's source.
    #[expect(clippy::disallowed_methods, reason = "chance enters the server here and nowhere else")]
    pub fn system() -> Self {
        Self(Arc::new(|bytes| {
            getrandom::fill(bytes).expect("an operating system without chance keeps no secrets");
        }))
    }

    /// A source of the tests' own.
    pub fn new(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// So many random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// So many times 64 random bits, for as many ids.
    pub fn nonces(&self, count: usize) -> Vec<u64> {
        let mut bytes = vec![0; count * 8];
        (self.0)(&mut bytes);
        let eight = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        bytes.chunks_exact(8).map(eight).collect()
    }

    /// 64 random bits, for an id.
    pub fn nonce(&self) -> u64 {
        u64::from_ne_bytes(self.bytes())
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
