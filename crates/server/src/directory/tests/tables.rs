//! What the tables themselves refuse, whoever writes to them, and what a server may not do.

use deadpool_postgres::Object;
use tokio_postgres::error::SqlState;

use super::behaviour::{key, minji};
use super::database::Tables;
use crate::auth::SecretHash;

async fn refused(client: &Object, statement: &str) -> SqlState {
    let error = client.batch_execute(statement).await.expect_err(statement);
    error.code().unwrap_or_else(|| panic!("{statement}: {error}")).clone()
}

const MINJI: &str = "'00000000-0000-0000-0000-000000000007'";

#[tokio::test]
async fn no_unsound_row_is_taken() {
    let tables = Tables::new();
    let minji = minji(&tables.directory().await).await;
    assert_eq!(minji.bits(), 7);
    let superuser = tables.superuser().get().await.unwrap();
    let key = |hash: &str, place: &str, scopes: &str| {
        format!(
            "INSERT INTO tongjang.api_keys (id, hash, user_id, place, name, write, operate,
                last_four, created_at)
            VALUES ('key_{place}', {hash}, {MINJI}, {place}, 'x', {scopes}, 'abcd', now())"
        )
    };
    let hash = "decode(repeat('ab', 32), 'hex')";
    superuser.batch_execute(&key(hash, "1", "true, true")).await.unwrap();
    let other = "decode(repeat('cd', 32), 'hex')";
    for statement in [
        "UPDATE tongjang.users SET role = 'boss'",
        &format!("INSERT INTO tongjang.tokens VALUES ('\\xab', {MINJI}, now())"),
        &format!("INSERT INTO tongjang.account_labels VALUES ({MINJI}, '\\xab', 'x')"),
        "INSERT INTO tongjang.secrets VALUES ('x', '\\xab')",
        "UPDATE tongjang.secrets SET value = value || '\\xab'",
        &key("'\\xab'", "2", "true, true"),
        &key(other, "0", "true, true"),
        &key(other, "2", "false, true"),
    ] {
        assert_eq!(refused(&superuser, statement).await, SqlState::CHECK_VIOLATION, "{statement}");
    }
    for statement in [&key(hash, "2", "true, true"), &key(other, "1", "true, true")] {
        let statement = statement.replace("key_1", "key_3");
        assert_eq!(
            refused(&superuser, &statement).await,
            SqlState::UNIQUE_VIOLATION,
            "{statement}"
        );
    }
}

#[tokio::test]
async fn what_a_user_has_goes_with_him() {
    let tables = Tables::new();
    let directory = tables.directory().await;
    let minji = minji(&directory).await;
    let (token, new) = (SecretHash::of("token"), key(minji, 1));
    directory.add_token(token, minji, new.key.created_at, new.key.created_at).await.unwrap();
    directory.add_key(new.clone()).await.unwrap();
    directory.set_label(minji, 1, Some("생활비".to_owned())).await.unwrap();
    let superuser = tables.superuser().get().await.unwrap();
    superuser.batch_execute("DELETE FROM tongjang.users").await.unwrap();
    let left = "SELECT (SELECT count(*) FROM tongjang.tokens)
        + (SELECT count(*) FROM tongjang.api_keys)
        + (SELECT count(*) FROM tongjang.account_labels)";
    let left: i64 = superuser.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    assert_eq!(directory.credential(new.hash).await, Ok(None));
}

#[tokio::test]
async fn a_server_may_not_do_what_it_never_does() {
    let tables = Tables::new();
    minji(&tables.directory().await).await;
    let server = tables.pool().get().await.unwrap();
    for statement in [
        "UPDATE tongjang.users SET role = 'operator'",
        "DELETE FROM tongjang.users",
        "UPDATE tongjang.tokens SET expires_at = 'infinity'",
        "UPDATE tongjang.api_keys SET operate = true",
        "UPDATE tongjang.secrets SET value = value",
        "DELETE FROM tongjang.secrets",
        "TRUNCATE tongjang.tokens",
        "ALTER TABLE tongjang.users ADD COLUMN x text",
        "CREATE TABLE tongjang.x (x text)",
    ] {
        let state = refused(&server, statement).await;
        assert_eq!(state, SqlState::INSUFFICIENT_PRIVILEGE, "{statement}");
    }
}
