//! What the owner of a database changed behind the servers' backs: callers are told that something
//! failed and never what was not booked, the log says where, and everybody else goes on.

use tongjang_cluster::{Cluster, Database};

use crate::app::{TestApp, new_ledger};
use crate::cli::run;
use crate::servers::{balance, deposit, opened};

/// What is changed, and whether nothing more can be booked on the account then.
const DAMAGES: [(&str, bool); 6] = [
    ("UPDATE tongjang.entries SET amount = amount + 1 WHERE account_id = $ AND number = 3", false),
    ("UPDATE tongjang.entries SET amount = 9e38 WHERE account_id = $ AND number = 3", false),
    ("UPDATE tongjang.entries SET balance = 'NaN' WHERE account_id = $ AND number = 3", false),
    ("DELETE FROM tongjang.entries WHERE account_id = $ AND number = 3", false),
    ("UPDATE tongjang.accounts SET balance = 9e38 WHERE id = $", true),
    ("UPDATE tongjang.accounts SET changed_at = 'infinity' WHERE id = $", true),
];

/// Runs SQL with nothing in its way that guards the book.
fn tamper(database: &Database, statement: &str) {
    let unguarded = "DO $$ DECLARE c record; BEGIN
        FOR c IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
            WHERE contype = 'c' AND conrelid::regclass::text LIKE 'tongjang.%'
        LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.place, c.conname); END LOOP;
        END $$; SET session_replication_role = replica;";
    Cluster::shared().execute(database, &format!("{unguarded} {statement}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_never_shown_and_harms_nobody_else() {
    let database = new_ledger(1).await;
    let app = TestApp::on(&database).await;
    let (minji, jun) = (app.user("minji").await, app.user("jun").await);
    let sound = opened(&app, &jun).await;
    for (nth, (statement, stuck)) in DAMAGES.into_iter().enumerate() {
        let account = opened(&app, &minji).await;
        for amount in 1..=5 {
            deposit(&app, &minji, &account, amount, &format!("{nth}-{amount}")).await.expect(201);
        }
        let newest = "(SELECT id FROM tongjang.accounts WHERE owner <> \
            '00000000-0000-0000-0000-000000000000' ORDER BY opened_at DESC LIMIT 1)";
        tamper(&database, &statement.replace('$', newest));

        let entries = format!("/v1/accounts/{account}/entries");
        for path in [&entries, &format!("{entries}?order=asc"), &format!("{entries}?min_amount=1")]
        {
            let told = app.get(Some(&minji), path).await;
            told.problem(503, "store-unavailable");
        }
        let more = deposit(&app, &minji, &account, 1, &format!("{nth}-more")).await;
        if stuck {
            more.problem(503, "store-unavailable");
        } else {
            more.expect(201);
        }
        deposit(&app, &jun, &sound, 1, &format!("sound-{nth}")).await.expect(201);
        assert_eq!(balance(&app, &jun, &sound).await, nth as u64 + 1);
    }
    let found = run(&["verify", "--store", database.url()], "");
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("is damaged: "), "{said}");
}
