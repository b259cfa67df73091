//! A server that is killed under load, and comes back.

use std::sync::atomic::Ordering::SeqCst;

use tongjang_cluster::Cluster;

use crate::certify::faults::{TRIES, under_load};
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
                std::thread::sleep(std::time::Duration::from_millis(5));
                answered.load(SeqCst) >= until
            });
            assert!(busy, "hardly anything is answered");
            cluster.kill();
            cluster.start_again();
        }
    });
    drop(database);
}
