//! A database that answers a COMMIT without saying whether it was done, or nothing at all.

use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use tongjang_cluster::Cluster;
use tongjang_store::Chance;

use crate::certify::faults::{Desk, balance, deposit, opened, opening};
use crate::certify::tellers::migrated;

/// What stands between a teller and the database may lose it and say so in an error of its own.
#[test]
fn an_error_that_does_not_say_whether_it_was_committed_is_found_out() {
    let cluster = Cluster::shared();
    for (code, is_unsure) in [("40003", true), ("08006", true), ("40001", false), ("53100", false)]
    {
        let database = cluster.database();
        migrated(&database, 1);
        let desk = Desk::at(database.url(), 1, 1);
        let account = opened(&desk.insist("open", &opening("1")));
        // Once, as what a sequence has counted is not taken back.
        let fail = format!(
            "CREATE SEQUENCE public.times;
             CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
             BEGIN
                 IF nextval('public.times') = 1 THEN
                     RAISE 'lost on the way' USING ERRCODE = '{code}';
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON tongjang.keys
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.fail()"
        );
        cluster.execute(&database, &fail);
        let answer = desk.ask(Some("paid"), deposit(account, 5)).unwrap();
        assert!(answer.outcome.is_ok() && !answer.replayed, "{code}: {answer:?}");
        assert_eq!(balance(&desk, account), 5, "{code}");
        assert_eq!(desk.counts().broken, u64::from(is_unsure), "{code}");
    }
}

/// The machine is there and takes what is sent; what should answer hangs.
#[test]
fn a_database_that_hangs_is_given_up_for_a_new_connection() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    migrated(&database, 1);
    let mark = if database.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{mark}connect_timeout=1", database.url());
    let desk = Desk::at(&url, 1, 1);
    let account = opened(&desk.insist("open", &opening("1")));
    let signal = |name: &str, id: u32| {
        let done = Command::new("kill").args([name, &id.to_string()]).status().unwrap();
        assert!(done.success(), "kill {name} {id}");
    };
    assert_eq!(balance(&desk, account), 0);
    let mut hung = cluster.backends(&database, Some("tongjang teller"));
    hung.extend(cluster.backends(&database, Some("tongjang")));
    assert_eq!(hung.len(), 2, "a teller's and a reader's");
    hung.iter().for_each(|id| signal("-STOP", *id));
    let (paid, answered) = channel();
    let (read, looked) = channel();
    let came = std::thread::scope(|scope| {
        scope.spawn(|| paid.send(desk.ask(Some("paid"), deposit(account, 5))).unwrap());
        scope.spawn(|| {
            let first = desk.look(account).map_err(|error| error.chance());
            read.send((first, desk.look(account))).unwrap();
        });
        let came = (answered.recv_timeout(PATIENCE), looked.recv_timeout(PATIENCE));
        // Whatever came of it, so that nobody waits for ever.
        hung.iter().for_each(|id| signal("-CONT", *id));
        came
    });
    let (answer, (first, second)) = (came.0.unwrap().unwrap(), came.1.unwrap());
    assert!(answer.outcome.is_ok() && !answer.replayed, "{answer:?}");
    assert_eq!((first, second.unwrap()), (Err(Chance::Later), 5));
}

/// Longer than anybody waits for a database that hangs.
const PATIENCE: Duration = Duration::from_secs(60);
