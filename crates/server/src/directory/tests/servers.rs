//! Several servers with one directory.

use std::time::Duration;

use tongjang_cluster::Cluster;
use tongjang_core::{AccountId, Timestamp};

use super::behaviour::{key, made_at_once, minji, user};
use super::database::{Tables, pool_to};
use crate::app::Random;
use crate::auth::{Auth, SecretHash};
use crate::directory::{Directory, DirectoryError};
use crate::problem::Code;
use tongjang_store::postgres::Profile;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_763_856_000_000_000 + micros)
}

#[tokio::test]
async fn what_one_server_takes_in_the_other_knows_at_once() {
    let tables = Tables::new();
    let (one, other) = (tables.directory().await, tables.directory().await);
    let minji = minji(&one).await;
    assert_eq!(other.add_user(user(8, "MINJI")).await.unwrap_err().code(), Code::UsernameTaken);
    let auth = Auth::new(&Random::system(), other.is_shared());
    let token = SecretHash::of("token");
    assert_eq!(auth.known(&other, token, at(0)).await, Ok(None));
    one.add_token(token, minji, at(9), at(0)).await.unwrap();
    assert_eq!(auth.known(&other, token, at(0)).await.unwrap().unwrap().user, minji);
    one.set_label(minji, 3, Some("생활비".to_owned())).await.unwrap();
    let label = other.label(minji, AccountId::new(at(0), 3)).await;
    assert_eq!(label, Ok(Some("생활비".to_owned())));
}

#[tokio::test]
async fn a_key_that_one_server_deleted_is_refused_by_the_other_within_a_second() {
    let tables = Tables::new();
    let (one, other) = (tables.directory().await, tables.directory().await);
    let minji = minji(&one).await;
    let new = key(minji, 1);
    one.add_key(new.clone()).await.unwrap();
    let auth = Auth::new(&Random::system(), other.is_shared());
    let known = async |micros| auth.known(&other, new.hash, at(micros)).await.unwrap().is_some();
    assert!(known(0).await);
    one.delete_key(minji, new.key.id).await.unwrap();
    assert!(known(400_000).await, "or it is looked up for every call");
    assert!(!known(1_000_000).await);
    assert!(!known(1_000_001).await);
}

#[tokio::test]
async fn an_only_server_looks_a_key_up_once() {
    let data = tempfile::tempdir().unwrap();
    let directory = Directory::open(data.path()).unwrap();
    let minji = minji(&directory).await;
    let new = key(minji, 1);
    directory.add_key(new.clone()).await.unwrap();
    let auth = Auth::new(&Random::system(), directory.is_shared());
    assert!(auth.known(&directory, new.hash, at(0)).await.unwrap().is_some());
    directory.delete_key(minji, new.key.id).await.unwrap();
    // Nobody told the cache of it; so it is out of memory that it is known.
    assert!(auth.known(&directory, new.hash, at(3_600_000_000)).await.unwrap().is_some());
    auth.cache.forget(&new.hash);
    assert!(auth.known(&directory, new.hash, at(0)).await.unwrap().is_none());
}

#[tokio::test]
async fn servers_that_start_at_once_seal_cursors_with_one_key() {
    let tables = Tables::new();
    let starting: Vec<_> =
        (0..8).map(|_| tokio::spawn(Directory::on_postgres(tables.pool()))).collect();
    let mut servers = Vec::new();
    for one in starting {
        servers.push(one.await.unwrap().unwrap());
    }
    servers.push(tables.directory().await);
    let cursor = servers[0].cursor_key().seal(&["a"], b"at 5");
    for server in &servers {
        assert_eq!(server.cursor_key().open(&["a"], &cursor), Ok(b"at 5".to_vec()));
    }
    let other = Tables::new().directory().await;
    assert!(other.cursor_key().open(&["a"], &cursor).is_err());
}

#[tokio::test]
async fn two_servers_that_make_keys_at_once_keep_to_the_limit() {
    let tables = Tables::new();
    let (one, other) = (tables.directory().await, tables.directory().await);
    made_at_once([&one, &other]).await;
}

/// Nobody waits for what somebody asked who is gone.
#[tokio::test]
async fn a_question_that_was_given_up_holds_up_no_other() {
    let tables = Tables::new();
    let patient = tables.pool_with("SET lock_timeout = 0; SET statement_timeout = 0");
    let directory = Directory::on_postgres(patient).await.unwrap();
    let minji = minji(&directory).await;
    let mut owner = tables.superuser().get().await.unwrap();
    let held = owner.transaction().await.unwrap();
    let hold = "SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE tongjang.users";
    held.batch_execute(hold).await.unwrap();
    for _ in 0..4 {
        let gone = tokio::time::timeout(Duration::from_millis(50), directory.user(minji)).await;
        assert!(gone.is_err(), "nobody may read the table");
    }
    let label = directory.label(minji, AccountId::new(at(0), 3));
    let label = tokio::time::timeout(Duration::from_secs(60), label).await;
    assert_eq!(label.expect("an answer within a minute"), Ok(None));
    drop(held);
}

/// The settings of connections whose writes give way to whoever was faster: a transaction sees only
/// what was there when it began.
const STRICT: &str = "SET default_transaction_isolation = 'serializable'";

/// Lets `work` run into what somebody else has written and not yet committed.
async fn after_a_faster_one<T: Send + 'static>(
    tables: &Tables,
    faster: &str,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let mut client = tables.pool().get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    assert!(transaction.execute(faster, &[]).await.unwrap() > 0, "{faster}");
    let working = tokio::spawn(work);
    while !tables.has_one_waiting() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    transaction.commit().await.unwrap();
    working.await.unwrap()
}

#[tokio::test]
async fn a_login_succeeds_while_another_drops_the_same_tokens() {
    let tables = Tables::new();
    let server = Directory::on_postgres(tables.pool_with(STRICT)).await.unwrap();
    let minji = minji(&server).await;
    server.add_token(SecretHash::of("old"), minji, at(1), at(0)).await.unwrap();
    let new = SecretHash::of("new");
    let login = {
        let server = server.clone();
        async move { server.add_token(new, minji, at(9), at(2)).await }
    };
    let done = after_a_faster_one(&tables, "DELETE FROM tongjang.tokens", login).await;
    assert_eq!(done, Ok(()));
    assert!(server.credential(new).await.unwrap().is_some());
}

#[tokio::test]
async fn a_naming_that_gave_way_to_another_is_tried_again() {
    let tables = Tables::new();
    let server = Directory::on_postgres(tables.pool_with(STRICT)).await.unwrap();
    let minji = minji(&server).await;
    let name = |text: &str| Some(text.to_owned());
    server.set_labels(vec![(minji, 1, name("a")), (minji, 2, name("b"))]).await.unwrap();
    let labels = vec![(minji, 1, name("d")), (minji, 2, None)];
    let naming = {
        let server = server.clone();
        async move { server.set_labels(labels).await }
    };
    let faster = "UPDATE tongjang.account_labels SET name = 'c'";
    assert_eq!(after_a_faster_one(&tables, faster, naming).await, Ok(()));
    let [one, two] = [1, 2].map(|nonce| AccountId::new(at(0), nonce));
    let labels = server.labels(minji, vec![one, two]).await.unwrap();
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), [(one, "d".to_owned())]);
}

#[tokio::test]
async fn a_database_that_is_gone_is_503_and_told_with_its_cause() {
    let tables = Tables::new();
    let server = tables.directory().await;
    let minji = minji(&server).await;
    let raw = tables.superuser().get().await.unwrap();
    raw.batch_execute("ALTER TABLE tongjang.users RENAME TO persons").await.unwrap();
    assert_eq!(server.user(minji).await.unwrap_err().code(), Code::StoreUnavailable);
    let error = server.named("minji").await.unwrap_err();
    assert!(matches!(error, DirectoryError::Postgres { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("cannot look a username up: db error: "), "{text}");
    assert!(text.contains("(SQLSTATE 42P01)"), "{text}");

    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!("postgres://nobody@127.0.0.1:{}/none", free.port());
    let error = Directory::on_postgres(pool_to(&config, Profile::DIRECTORY)).await.unwrap_err();
    assert!(matches!(error, DirectoryError::Pool { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_database_that_was_killed_is_found_again_with_all_that_was_answered() {
    let mut cluster = Cluster::start();
    let tables = Tables::on(&cluster);
    let server = tables.directory().await;
    let minji = minji(&server).await;
    let new = key(minji, 1);
    server.add_key(new.clone()).await.unwrap();
    cluster.kill();
    assert_eq!(server.user(minji).await.unwrap_err().code(), Code::StoreUnavailable);
    let refused = server.add_key(key(minji, 2)).await.unwrap_err();
    assert_eq!(refused.code(), Code::StoreUnavailable);
    cluster.start_again();
    assert_eq!(server.keys(minji).await, Ok(vec![new.key]));
    assert_eq!(server.add_key(key(minji, 2)).await, Ok(true));
}

#[tokio::test]
async fn what_failed_is_told_without_the_names_of_persons() {
    let tables = Tables::new();
    let server = tables.directory().await;
    minji(&server).await;
    let secret = user(7, "kim-whom-nobody-may-know");
    let error = server.take_in(secret).await.unwrap_err();
    let raw = tables.superuser().get().await.unwrap();
    let sql = "ALTER TABLE tongjang.users ADD CONSTRAINT short CHECK (length(username) < 9)";
    raw.batch_execute(sql).await.unwrap();
    let other = server.take_in(user(9, "kim-whom-nobody-may-know")).await.unwrap_err();
    for (error, state) in [(error, "23505"), (other, "23514")] {
        let text = error.to_string();
        assert!(text.contains(state) && !text.contains("kim"), "{text}");
    }
}
