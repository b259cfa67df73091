//! Load that goes on whatever happens to servers and databases.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::PATIENCE;
use crate::customers::{Customer, Heard, Sent, all_join, caller, compare, settle};

/// How long a customer waits before he asks again. He is less patient than `Retry-After` wants him.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked how far the load is.
const BETWEEN: Duration = Duration::from_millis(10);

/// The customers of a ledger, and all that they ever asked.
pub(crate) struct Books {
    pub(crate) customers: Vec<Customer>,
    pub(crate) all: Vec<Sent>,
    rounds: usize,
}

impl Books {
    /// Customers who join at the server `base`.
    pub(crate) async fn open(base: &str) -> Self {
        let customers = all_join(&caller(), base).await;
        Self { customers, all: Vec::new(), rounds: 0 }
    }

    /// Has all of them book at `servers` without a pause.
    pub(crate) fn load(&mut self, servers: &[&str]) -> Load {
        self.rounds += 1;
        let servers: Vec<String> = servers.iter().map(|&base| base.to_owned()).collect();
        let tally = Arc::new(Tally::new(servers.len()));
        let mut working = JoinSet::new();
        for customer in self.customers.clone() {
            let (servers, tally) = (servers.clone(), tally.clone());
            working.spawn(keep_on(customer, servers, self.rounds, tally));
        }
        Load { tally, working }
    }

    /// Insists that what was `sent` is answered the same once more by the server `base`, and that
    /// every passbook holds all that was ever booked, once.
    pub(crate) async fn close(&mut self, base: &str, mut sent: Vec<Sent>) {
        let client = caller();
        settle(&client, base, &self.customers, &mut sent).await;
        self.all.append(&mut sent);
        compare(&client, base, &self.customers, &self.all).await;
    }
}

/// What all customers were told so far, a number a server.
pub(crate) struct Tally {
    stop: AtomicBool,
    settled: Vec<AtomicUsize>,
    unavailable: Vec<AtomicUsize>,
    nothing: Vec<AtomicUsize>,
}

impl Tally {
    fn new(servers: usize) -> Self {
        let zeros = || (0..servers).map(|_| AtomicUsize::new(0)).collect();
        let (settled, unavailable, nothing) = (zeros(), zeros(), zeros());
        Self { stop: AtomicBool::new(false), settled, unavailable, nothing }
    }

    /// How many requests the server has settled.
    pub(crate) fn settled(&self, server: usize) -> usize {
        self.settled[server].load(SeqCst)
    }

    /// How often the server has answered 503.
    pub(crate) fn unavailable(&self, server: usize) -> usize {
        self.unavailable[server].load(SeqCst)
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settled, unavailable, nothing, .. } = self;
        write!(f, "settled {settled:?}, 503 {unavailable:?}, not heard {nothing:?}")
    }
}

/// Customers at work.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    working: JoinSet<Vec<Sent>>,
}

impl Load {
    /// Returns when the server has settled so many more requests.
    pub(crate) async fn goes_on(&mut self, server: usize, more: usize) {
        let enough = self.tally.settled(server) + more;
        let what = format!("{more} more requests settled by server {server}");
        self.until(&what, |tally| tally.settled(server) >= enough).await;
    }

    /// Returns when `what` is so: that `holds`.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Tally) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !holds(&self.tally) {
                // A customer who was told what must not be has panicked.
                if let Some(ended) = self.working.try_join_next() {
                    ended.unwrap();
                }
                sleep(BETWEEN).await;
            }
        });
        let in_time = waited.await.is_ok();
        assert!(in_time, "not so within {PATIENCE:?}: {what}; {:?}", self.tally);
    }

    /// Ends it: all that was sent, and its answers.
    pub(crate) async fn end(self) -> Vec<Sent> {
        self.tally.stop.store(true, SeqCst);
        self.working.join_all().await.concat()
    }
}

/// Books until told to stop. What is not settled is sent again, to the next server, until it is.
async fn keep_on(
    customer: Customer,
    servers: Vec<String>,
    round: usize,
    tally: Arc<Tally>,
) -> Vec<Sent> {
    let client = caller();
    let mut server = customer.number % servers.len();
    let mut all = Vec::new();
    while !tally.stop.load(SeqCst) {
        let mut sent = customer.request(round, all.len());
        let settling = settled(&customer, &client, &servers, &mut server, &mut sent, &tally);
        let answer = timeout(PATIENCE, settling).await;
        sent.answer = Some(answer.unwrap_or_else(|_| {
            panic!("{} is not settled within {PATIENCE:?}; {tally:?}", sent.key)
        }));
        all.push(sent);
    }
    all
}

async fn settled(
    customer: &Customer,
    client: &Client,
    servers: &[String],
    server: &mut usize,
    sent: &mut Sent,
    tally: &Tally,
) -> (StatusCode, Value) {
    loop {
        let counted = match customer.ask(client, &servers[*server], sent).await {
            Heard::Settled(status, body) => {
                tally.settled[*server].fetch_add(1, SeqCst);
                return (status, body);
            }
            Heard::Unavailable => &tally.unavailable,
            Heard::Nothing => &tally.nothing,
        };
        counted[*server].fetch_add(1, SeqCst);
        sent.in_vain += 1;
        *server = (*server + 1) % servers.len();
        sleep(PAUSE).await;
    }
}
