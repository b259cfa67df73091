//! One server whose database is killed, fails over or has no room: it goes on by itself.

use tokio::task::block_in_place;
use tongjang_cluster::{Cluster, Database};

use crate::customers::caller;
use crate::ledger::{migrate, migrated};
use crate::load::{Books, Load};
use crate::process::{Process, run};

/// Waits until callers of each of so many servers were told 503.
async fn all_are_told(load: &mut Load, servers: usize) {
    let before: Vec<usize> = (0..servers).map(|nth| load.tally.unavailable(nth)).collect();
    let told = |nth: usize, tally: &crate::load::Tally| tally.unavailable(nth) > before[nth];
    load.until("callers are told 503", |tally| (0..servers).all(|nth| told(nth, tally))).await;
}

/// The process of a teller's connection, which is there while anything is booked.
fn teller(cluster: &Cluster, database: &Database) -> u32 {
    let tellers = cluster.backends(database, Some("tongjang teller"));
    *tellers.first().expect("a teller is connected")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_is_killed_comes_back_to_the_same_server() {
    let mut cluster = block_in_place(Cluster::start);
    let database = migrated(&cluster, 4);
    let place = ["--store", database.url()];
    let mut process = Process::start(&place);
    let mut books = Books::open(&process.base).await;
    let mut load = books.load(&[&process.base]);

    // One backend: PostgreSQL then ends all others and recovers.
    for _ in 0..2 {
        load.goes_on(0, 40).await;
        block_in_place(|| {
            let teller = teller(&cluster, &database);
            cluster.kill_backend(teller);
            cluster.wait();
        });
    }
    // All of it, and it is back before anybody has waited for long.
    load.goes_on(0, 40).await;
    block_in_place(|| {
        cluster.kill();
        cluster.start_again();
    });
    // All of it, and it stays away.
    load.goes_on(0, 40).await;
    block_in_place(|| cluster.kill());
    all_are_told(&mut load, 1).await;
    block_in_place(|| cluster.start_again());
    load.goes_on(0, 80).await;

    let sent = load.end().await;
    process.still_runs();
    books.close(&process.base, sent).await;
    run(&[&["verify"], &place[..]].concat());
    drop(database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_has_all_that_was_answered() {
    let mut primary = block_in_place(Cluster::start);
    let database = migrated(&primary, 4);
    let mut standby = block_in_place(|| primary.standby());
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let url = format!("postgres://postgres@{hosts}/{}", database.name());
    let place = ["--store", &url];
    let mut processes = [Process::start(&place), Process::start(&place)];
    let mut books = Books::open(&processes[0].base).await;
    let bases = processes.each_ref().map(|process| process.base.clone());
    let mut load = books.load(&[&bases[0], &bases[1]]);
    for nth in 0..2 {
        load.goes_on(nth, 40).await;
    }
    block_in_place(|| primary.kill());
    // The standby takes no writes yet, and is passed over.
    all_are_told(&mut load, 2).await;
    block_in_place(|| standby.promote());
    for nth in 0..2 {
        load.goes_on(nth, 60).await;
    }
    let sent = load.end().await;
    processes.iter_mut().for_each(Process::still_runs);
    books.close(&bases[0], sent).await;
    run(&[&["verify"], &place[..]].concat());
    let there = standby.query_text(&database, "SELECT NOT pg_is_in_recovery()");
    assert_eq!(there.as_deref(), Some("t"), "it was the standby that was led on");
    drop(database);
}

/// Takes all the room that there is on the database's disk: first by pages, then by rows.
fn fill(cluster: &Cluster, database: &Database) {
    let take = |rows: u32| {
        format!(
            "DO $$ BEGIN LOOP
                BEGIN
                    INSERT INTO filler SELECT repeat('x', 900) FROM generate_series(1, {rows});
                EXCEPTION WHEN disk_full THEN EXIT;
                END;
            END LOOP; END $$"
        )
    };
    cluster.execute(database, "CREATE TABLE filler (b text)");
    cluster.execute(database, &take(1_000));
    cluster.execute(database, &take(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_is_told_and_nothing_is_booked_until_there_is_some() {
    let mut cluster = block_in_place(Cluster::start);
    let Some(database) = block_in_place(|| cluster.small_database(24)) else {
        eprintln!("skipped: this process may not mount a disk, so none is filled");
        return;
    };
    migrate(&database, 2);
    let place = ["--store", database.url()];
    let mut process = Process::start(&place);
    let mut books = Books::open(&process.base).await;
    let mut load = books.load(&[&process.base]);
    load.goes_on(0, 40).await;
    block_in_place(|| fill(&cluster, &database));
    all_are_told(&mut load, 1).await;
    // What is there can be read all the time.
    let reader = &books.customers[0];
    let path = format!("/v1/accounts/{}/entries", reader.accounts[0]);
    reader.look(&caller(), &process.base, &path).await;
    block_in_place(|| cluster.execute(&database, "DROP TABLE filler"));
    load.goes_on(0, 80).await;

    let sent = load.end().await;
    let told = sent.iter().filter(|sent| sent.in_vain > 0);
    let mut booked_in_vain = 0;
    for sent in told {
        let (_, body) = sent.answer.as_ref().unwrap();
        assert_eq!(body["replayed"], false, "{} had been booked in spite of its 503", sent.key);
        booked_in_vain += 1;
    }
    assert!(booked_in_vain > 0);
    process.still_runs();
    books.close(&process.base, sent).await;
    run(&[&["verify"], &place[..]].concat());
    drop(database);
}
