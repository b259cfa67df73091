//! A server that cannot start on a database: it ends at once, says what is to be done, and keeps
//! the password to itself.

use std::fs;

use tongjang_cluster::{Cluster, Database};

use crate::cli::{printed, refused, run};

const SECRET: &str = "hush-9f31";

/// Insists that neither a server nor a reading command starts on `url`, and gives what is said.
#[track_caller]
fn unopened(url: &str) -> String {
    let said = refused(&["serve", "--listen", "127.0.0.1:0", "--store", url]);
    assert!(!said.contains(SECRET), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(refused(&["verify", "--store", url]).trim_end(), last);
    last.to_owned()
}

/// The database's address for another user.
fn as_user(database: &Database, user: &str) -> String {
    database.url().replacen("postgres@", &format!("{user}@"), 1)
}

#[test]
fn a_server_that_cannot_start_says_what_is_to_be_done() {
    let cluster = Cluster::start();
    let (database, empty) = (cluster.database(), cluster.database());
    let says = |url: &str, words: &[&str]| {
        let said = unopened(url);
        for word in words {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
    };
    says(database.url(), &["role `tongjang_app`", "run `tongjang migrate`", "SQLSTATE 22023"]);
    printed(&["migrate", "--store", database.url()], "");
    says(empty.url(), &["no ledger in the database yet", "run `tongjang migrate`"]);
    let nowhere = database.url().replace(database.name(), "nowhere");
    says(&nowhere, &["database \"nowhere\" does not exist", "createdb", "SQLSTATE 3D000"]);

    cluster.execute(
        &database,
        &format!(
            "CREATE ROLE stranger LOGIN;
             CREATE ROLE guarded LOGIN PASSWORD '{SECRET}' IN ROLE tongjang_app;"
        ),
    );
    let granted = "run `GRANT tongjang_app TO` the user of the URL";
    says(&as_user(&database, "stranger"), &[granted, "SQLSTATE 42501"]);

    // Of one user a password is asked.
    let rules = cluster.data().join("pg_hba.conf");
    let rest = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("host all guarded 127.0.0.1/32 scram-sha-256\n{rest}")).unwrap();
    cluster.execute(&database, "SELECT pg_reload_conf()");
    let guarded = |password: &str| as_user(&database, &format!("guarded:{password}"));
    printed(&["verify", "--store", &guarded(SECRET)], "");
    let sources = ["--store-password-file", "PGPASSWORD"];
    says(&guarded(&format!("{SECRET}x")), &["guarded", "SQLSTATE 28P01", sources[0], sources[1]]);
    says(&as_user(&database, "guarded"), &["password missing", sources[0], sources[1]]);

    let newer = "INSERT INTO tongjang.migrations (version, name) VALUES (99, 'later')";
    cluster.execute(&database, newer);
    says(database.url(), &["has schema 99", "run a newer version"]);
    let said = refused(&["migrate", "--store", database.url()]);
    assert!(said.contains("run a newer version"), "{said}");
    // The databases go before the cluster that they are in.
    drop((database, empty));
}

/// A service manager tries a wrong option once: it ends with 2, in whatever part of the program it
/// is found out.
#[test]
fn an_address_that_is_wrong_is_an_option_that_is_wrong() {
    for url in ["mysql://h/x", "postgres://u@h@h/x", "postgres://u@h", "postgres://u@h/x?foo=1"] {
        let output = run(&["verify", "--store", url], "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{url}: {said}");
        assert!(said.ends_with('\n') && output.stdout.is_empty(), "{url}: {said}");
    }
}
