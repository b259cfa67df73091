//! Whether a database is ready: told soon, whatever else it does, and if it says nothing at all.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tongjang_cluster::{Cluster, Direction, Proxy};
use tongjang_core::AccountId;
use tongjang_store::postgres::{Failure, Passwords, PoolLimits, Postgres, Profile, Target};
use tongjang_store::{Reader, StoreError};

use crate::certify::tellers::{RUNTIME, new_ledger, target};

/// What `ask` answers, on a thread of its own; it fails if that takes forever.
fn answer<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(ask()));
    told.recv_timeout(Duration::from_secs(60)).expect("an answer within a minute")
}

#[test]
fn a_database_whose_queries_all_wait_is_ready() {
    let database = new_ledger(1);
    let limits = PoolLimits { size: 1, wait: Duration::from_millis(50), ..PoolLimits::default() };
    let postgres = RUNTIME.block_on(Postgres::open(target(&database), limits)).unwrap();
    let owner = RUNTIME.block_on(async {
        let (owner, driver) = target(&database).connect("owner", &Profile::OWNER).await.unwrap();
        tokio::spawn(driver);
        owner.batch_execute("BEGIN; LOCK TABLE tongjang.accounts").await.unwrap();
        owner
    });
    let reader = postgres.reader();
    let waits = thread::spawn(move || reader.account(AccountId::from_bits(1)));
    let taken = |postgres: &Postgres| {
        let status = postgres.pool_status();
        (status.size, status.available) == (1, 0)
    };
    while !taken(&postgres) {
        assert!(!waits.is_finished(), "a query on a locked table came back");
        thread::yield_now();
    }
    let reader = postgres.reader();
    answer(move || reader.ready()).unwrap();
    assert!(taken(&postgres), "the query still waits");
    RUNTIME.block_on(owner.batch_execute("ROLLBACK")).unwrap();
    assert_eq!(waits.join().unwrap().unwrap(), None);
}

/// The host that let somebody in last is asked first, so nobody waits for the silent one again.
#[test]
fn a_database_behind_a_silent_host_is_ready() {
    let database = new_ledger(1);
    // Takes connections, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|at| (silent, at)).unwrap();
    let place = format!("127.0.0.1:{}", Cluster::shared().port());
    let url = database.url().replacen(&place, &format!("{},{place}", silent.1), 1);
    assert_ne!(url, database.url());
    let mark = if url.contains('?') { '&' } else { '?' };
    let hosts = Target::new(&format!("{url}{mark}connect_timeout=3"), &Passwords::default());
    let open = Postgres::open(hosts.unwrap(), PoolLimits::default());
    let reader = RUNTIME.block_on(open).unwrap().reader();
    answer(move || reader.ready()).unwrap();
}

#[test]
fn a_silent_database_is_not_ready_and_is_again_when_it_speaks() {
    let database = new_ledger(1);
    let proxy = Proxy::to(Cluster::shared().port());
    let behind = Target::new(&proxy.url(&database), &Passwords::default()).unwrap();
    let open = Postgres::open(behind, PoolLimits::default());
    let reader = RUNTIME.block_on(open).unwrap().reader();
    reader.ready().unwrap();
    proxy.hold(Direction::ToClient);
    // The first time on a connection that was good, then on one that does not come about.
    for _ in 0..2 {
        let reader = reader.clone();
        let error = answer(move || reader.ready()).unwrap_err();
        assert_eq!(error.failure(), Some(Failure::Unavailable), "{error}");
        assert!(matches!(error, StoreError::Database { .. }), "{error}");
    }
    proxy.release();
    reader.ready().unwrap();
}
