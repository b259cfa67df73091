//! What a session is like when it is handed out.

use tokio_postgres::Client;
use tongjang_store::StoreError;
use tongjang_store::postgres::{Failure, Profile, Role, check_durability};

use crate::cluster::Cluster;

async fn session(cluster: &Cluster, user: &str, rest: &str) -> Result<Client, StoreError> {
    session_as(cluster, user, rest, &Profile::TELLER).await
}

async fn session_as(
    cluster: &Cluster,
    user: &str,
    rest: &str,
    profile: &Profile,
) -> Result<Client, StoreError> {
    let target = cluster.by_socket(user, rest);
    let (client, driver) = target.connect("tongjang test", profile).await?;
    tokio::spawn(driver);
    Ok(client)
}

async fn show(client: &Client, setting: &str) -> String {
    let row = client.query_one("SELECT current_setting($1)", &[&setting]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_session_is_set_up_as_its_profile_says() {
    let cluster = Cluster::shared();
    // What a URL may ask for gives way.
    let odd = "plain?options=-c%20TimeZone=Asia/Seoul%20-c%20search_path=public%20-c%20jit=on\
               %20-c%20default_transaction_isolation=serializable";
    let teller = session(&cluster, "teller", odd).await.unwrap();
    let expected = [
        ("application_name", "tongjang test"),
        ("TimeZone", "UTC"),
        ("search_path", "tongjang, pg_catalog, pg_temp"),
        ("jit", "off"),
        ("statement_timeout", "0"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("default_transaction_isolation", "read committed"),
        ("client_min_messages", "warning"),
        ("synchronous_commit", "on"),
        ("role", "tongjang_app"),
    ];
    for (setting, value) in expected {
        assert_eq!(show(&teller, setting).await, value, "{setting}");
    }
    let owner = session_as(&cluster, "postgres", "plain", &Profile::OWNER).await.unwrap();
    let expected =
        [("statement_timeout", "0"), ("lock_timeout", "10s"), ("role", "none"), ("jit", "off")];
    for (setting, value) in expected {
        assert_eq!(show(&owner, setting).await, value, "{setting}");
    }
}

#[tokio::test]
async fn a_commit_is_never_less_durable_than_on_and_never_made_less_so() {
    let cluster = Cluster::shared();
    let pairs = [
        ("off", "on"),
        ("local", "on"),
        ("on", "on"),
        ("remote_write", "remote_write"),
        ("remote_apply", "remote_apply"),
    ];
    for (before, after) in pairs {
        let rest = format!("plain?options=-c%20synchronous_commit={before}");
        let teller = session(&cluster, "teller", &rest).await.unwrap();
        assert_eq!(show(&teller, "synchronous_commit").await, after, "{before}");
    }
}

#[tokio::test]
async fn a_role_that_is_not_granted_is_told_with_the_way_out() {
    let cluster = Cluster::shared();
    let error = session(&cluster, "stranger", "plain").await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("GRANT tongjang_app TO") && told.contains("42501"), "{told}");
    assert_eq!(error.failure(), Some(Failure::Refused));
}

#[tokio::test]
async fn a_role_that_is_missing_is_told_with_the_way_out() {
    let cluster = Cluster::bare();
    let error = session(&cluster, "postgres", "plain").await.unwrap_err();
    assert!(error.to_string().contains("run `tongjang migrate`"), "{error}");
    assert_eq!(error.failure(), Some(Failure::Refused));
    session_as(&cluster, "postgres", "plain", &Profile::OWNER).await.unwrap();
}

#[tokio::test]
async fn the_check_of_durability_asks_the_database() {
    let cluster = Cluster::shared();
    let teller = session(&cluster, "teller", "plain").await.unwrap();
    let warnings = check_durability(&teller).await.unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("fsync=off"), "{warnings:?}");
    let teller = session(&cluster, "teller", "ascii").await.unwrap();
    let error = check_durability(&teller).await.unwrap_err();
    assert!(error.to_string().contains("SQL_ASCII"), "{error}");
}

#[tokio::test]
async fn what_the_server_says_is_told_with_its_code_and_meaning() {
    let cluster = Cluster::shared();
    let brief = Profile {
        statement_timeout: std::time::Duration::from_millis(50),
        role: Role::Owner,
        ..Profile::OWNER
    };
    let client = session_as(&cluster, "postgres", "plain", &brief).await.unwrap();
    client.batch_execute("CREATE TEMP TABLE t (n int PRIMARY KEY CHECK (n > 0))").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    let cases = [
        ("INSERT INTO t VALUES (1)", "23505", Failure::Refused),
        ("INSERT INTO t VALUES (0)", "23514", Failure::Refused),
        ("SELECT pg_sleep(10)", "57014", Failure::Unavailable),
        ("DO $$ BEGIN RAISE serialization_failure; END $$", "40001", Failure::Again),
    ];
    for (statement, code, failure) in cases {
        let error = client.batch_execute(statement).await.unwrap_err();
        let error = StoreError::database("try it", error);
        let told = error.to_string();
        assert!(told.starts_with("cannot try it: ") && told.contains(code), "{told}");
        assert_eq!(error.failure(), Some(failure), "{told}");
        let racing = error.clone().again_if_taken().failure();
        let taken = if code == "23505" { Failure::Again } else { failure };
        assert_eq!(racing, Some(taken), "{told}");
    }
    // Its own backend: the server says why, or the line is merely dead.
    let ended = client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())").await;
    let ended = StoreError::database("go on", ended.unwrap_err());
    assert_eq!(ended.failure(), Some(Failure::Unavailable), "{ended}");
    let after = StoreError::database("go on", client.batch_execute("SELECT 1").await.unwrap_err());
    assert_eq!(after.to_string(), "cannot go on: connection closed");
    assert_eq!(after.failure(), Some(Failure::Unavailable));
}
