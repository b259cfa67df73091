//! What the directory does, wherever it is kept.

use tongjang_core::{AccountId, Timestamp, UserId};

use super::{Directory, NewUser, Username};
use crate::auth::{PasswordHash, Role};

#[tokio::test]
async fn a_label_put_down_before_the_opening_is_found_by_the_id() {
    let data = tempfile::tempdir().unwrap();
    let directory = Directory::open(data.path()).unwrap();
    let owner = UserId::from_bits(7);
    let (nonce, at) = (u64::MAX - 1, Timestamp::from_micros(5));
    directory.set_label(owner, nonce, Some("생활비".to_owned())).await.unwrap_err();
    directory.add_user(user(owner)).await.unwrap();
    directory.set_label(owner, nonce, Some("생활비".to_owned())).await.unwrap();
    let account = AccountId::new(at, nonce);
    assert_eq!(directory.label(owner, account).await, Ok(Some("생활비".to_owned())));
    assert_eq!(directory.label(UserId::from_bits(8), account).await, Ok(None));
    directory.set_label(owner, nonce, None).await.unwrap();
    assert_eq!(directory.label(owner, account).await, Ok(None));
}

#[test]
fn a_cursor_outlives_a_restart_of_its_server_and_no_other_server_takes_it() {
    let data = tempfile::tempdir().unwrap();
    let cursor = Directory::open(data.path()).unwrap().cursor_key().seal(&["a"], b"at 5");
    let again = Directory::open(data.path()).unwrap();
    assert_eq!(again.cursor_key().open(&["a"], &cursor), Ok(b"at 5".to_vec()));
    let other = tempfile::tempdir().unwrap();
    let other = Directory::open(other.path()).unwrap();
    assert!(other.cursor_key().open(&["a"], &cursor).is_err());
}

fn user(id: UserId) -> NewUser {
    NewUser {
        id,
        username: Username::new("minji", "/username").unwrap(),
        name: None,
        role: Role::Customer,
        password: PasswordHash::from_stored(""),
        created_at: Timestamp::EPOCH,
    }
}
