//! A server that is killed under load, and comes back; a standby that is gone.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tongjang_cluster::Cluster;

use crate::certify::faults::{Desk, TRIES, balance, deposit, opened, opening, under_load};
use crate::certify::tellers::migrated;

#[test]
fn a_postgresql_that_is_killed_under_load_loses_and_doubles_nothing() {
    let mut cluster = Cluster::start();
    let database = cluster.database();
    migrated(&database, 3);
    let url = database.url().to_owned();
    under_load(&url, |answered| {
        for until in [20, 60, 110] {
            let busy = (0..TRIES).any(|_| {
                std::thread::sleep(Duration::from_millis(5));
                answered.load(SeqCst) >= until
            });
            assert!(busy, "hardly anything is answered");
            cluster.kill();
            cluster.start_again();
        }
    });
    drop(database);
}

/// An administrator who ends the wait for a standby is told by PostgreSQL that the commit was done,
/// with a warning; of a caller that must not become "booked".
#[test]
fn a_commit_that_the_standby_has_not_got_is_told_to_nobody() {
    const CANCEL: &str = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND application_name = 'tongjang teller'";
    let mut primary = Cluster::start();
    let database = primary.database();
    migrated(&database, 1);
    let desk = Desk::at(database.url(), 1, 1);
    let account = opened(&desk.insist("open", &opening("1")));
    let mut standby = primary.standby();
    standby.kill();
    let is_told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            let told = desk.ask(Some("paid"), deposit(account, 5));
            is_told.store(true, SeqCst);
            told
        });
        let mut cancelled = 0;
        for _ in 0..TRIES {
            let now = primary.query_text(&database, CANCEL);
            cancelled += now.and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
            if cancelled >= 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(cancelled >= 3, "it was waited for the standby {cancelled} times");
        assert!(!is_told.load(SeqCst), "the standby has not got it");
        standby.start_again();
        let answer = told.join().unwrap().unwrap();
        assert!(answer.outcome.is_ok() && !answer.replayed, "{answer:?}");
    });
    assert_eq!(balance(&desk, account), 5);
    drop(desk);
    drop(database);
}
