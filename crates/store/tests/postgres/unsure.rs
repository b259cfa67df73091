//! A database that answers a COMMIT without saying whether it was done.

use tongjang_cluster::Cluster;

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
