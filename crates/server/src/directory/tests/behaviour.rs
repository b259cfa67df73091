//! The behaviours that are the same wherever the directory is kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tongjang_core::{AccountId, Timestamp, UserId};

use crate::auth::{Credential, KeyId, PasswordHash, Role, Scopes, SecretHash, Via};
use crate::directory::{ApiKey, Directory, DirectoryError, NewKey, NewUser, User, Username};
use crate::problem::Code;

/// A moment with microseconds.
const NOW: Timestamp = Timestamp::from_micros(1_763_856_000_000_001);

pub(super) fn user(id: u128, username: &str) -> NewUser {
    NewUser {
        id: UserId::from_bits(id),
        username: Username::new(username, "/username").unwrap(),
        name: Some(format!("{username} 님")),
        role: Role::Customer,
        password: PasswordHash::from_stored("$argon2id$"),
        created_at: NOW,
    }
}

pub(super) fn key(user: UserId, number: u32) -> NewKey {
    let key = ApiKey {
        id: KeyId::new(NOW, number.into()),
        name: format!("backend {number}"),
        scopes: Scopes { write: true, operate: false },
        last_four: "abcd".to_owned(),
        created_at: NOW,
        expires_at: None,
    };
    NewKey { user, hash: SecretHash::of(&format!("key {number}")), key }
}

pub(super) async fn minji(directory: &Directory) -> UserId {
    directory.add_user(user(7, "minji")).await.unwrap().id
}

pub(super) async fn a_user_is_found_by_his_id_and_any_spelling_of_his_name(directory: Directory) {
    let id = UserId::from_bits(7);
    let minji = User {
        id,
        username: "Minji".to_owned(),
        name: Some("Minji 님".to_owned()),
        role: Role::Customer,
        created_at: NOW,
    };
    assert_eq!(directory.add_user(user(7, "Minji")).await, Ok(minji.clone()));
    assert_eq!(directory.user(id).await, Ok(Some(minji)));
    assert_eq!(directory.user(UserId::from_bits(8)).await, Ok(None));
    let username = |text| Username::new(text, "/username").unwrap();
    let hash = PasswordHash::from_stored("$argon2id$");
    assert_eq!(directory.user_named(&username("ＭＩＮＪＩ")).await, Ok(Some((id, hash))));
    assert_eq!(directory.user_named(&username("minj")).await, Ok(None));
    assert_eq!(directory.named("MINJI").await.unwrap(), Some(id));
    assert_eq!(directory.named("no username").await.unwrap(), None);
    let known = directory.known(vec![id, UserId::from_bits(8)]).await.unwrap();
    assert_eq!(known, HashSet::from([id]));
}

pub(super) async fn a_username_is_had_by_one_user(directory: Directory) {
    minji(&directory).await;
    let refused = directory.add_user(user(8, "MinJi")).await.unwrap_err();
    assert_eq!(refused.code(), Code::UsernameTaken);
    let refused = directory.take_in(user(8, "minji")).await.unwrap_err();
    assert!(matches!(refused, DirectoryError::UsernameTaken), "{refused}");
    assert_eq!(directory.user(UserId::from_bits(8)).await, Ok(None));
    // An id that is there already is no name that is taken.
    let refused = directory.add_user(user(7, "jisoo")).await.unwrap_err();
    assert_eq!(refused.code(), Code::StoreUnavailable);
}

pub(super) async fn an_operator_stays_one(directory: Directory) {
    let boss = NewUser { role: Role::Operator, name: None, ..user(7, "boss") };
    let boss = directory.add_user(boss).await.unwrap();
    let found = directory.user(boss.id).await.unwrap().unwrap();
    assert_eq!((found.role, found.name), (Role::Operator, None));
    let hash = SecretHash::of("token");
    directory.add_token(hash, boss.id, NOW, NOW).await.unwrap();
    let found = directory.credential(hash).await.unwrap().unwrap();
    assert_eq!(found.caller.role, Role::Operator);
}

pub(super) async fn every_id_and_time_comes_back_as_it_went(directory: Directory) {
    // The last microsecond before the year 10000, and one before 1970.
    let ends = [253_402_300_799_999_999, -1, 0, 1, 946_684_800_000_000, 946_684_799_999_999];
    for (number, micros) in ends.into_iter().enumerate() {
        let created_at = Timestamp::from_micros(micros);
        let id = u128::MAX - u128::try_from(number).unwrap();
        let new = NewUser { created_at, ..user(id, &format!("user-{number}")) };
        let added = directory.add_user(new).await.unwrap();
        let found = directory.user(UserId::from_bits(id)).await.unwrap();
        assert_eq!(found, Some(added));
        let mut new = key(UserId::from_bits(id), u32::try_from(number).unwrap());
        new.key.created_at = created_at;
        new.key.expires_at = Some(created_at);
        assert_eq!(directory.add_key(new.clone()).await, Ok(true));
        assert_eq!(directory.keys(new.user).await, Ok(vec![new.key]));
        let found = directory.credential(new.hash).await.unwrap().unwrap();
        assert_eq!((found.caller.user, found.expires_at), (new.user, Some(created_at)));
    }
}

pub(super) async fn a_name_to_show_is_known_of_those_who_are_here(directory: Directory) {
    let minji = minji(&directory).await;
    let nameless = NewUser { name: None, ..user(8, "jisoo") };
    let nameless = directory.add_user(nameless).await.unwrap().id;
    let stranger = UserId::from_bits(9);
    let expected: HashMap<_, Option<Arc<str>>> =
        HashMap::from([(minji, Some("minji 님".into())), (nameless, None)]);
    // The second time out of memory.
    for _ in 0..2 {
        let names = directory.display_names(vec![minji, stranger, nameless]).await;
        assert_eq!(names, Ok(expected.clone()));
    }
    // Who comes later is known from then on.
    directory.add_user(user(9, "seoyeon")).await.unwrap();
    let names = directory.display_names(vec![stranger]).await.unwrap();
    assert_eq!(names[&stranger].as_deref(), Some("seoyeon 님"));
}

pub(super) async fn a_token_stands_for_its_user(directory: Directory) {
    let minji = minji(&directory).await;
    let (hash, later) = (SecretHash::of("token"), Timestamp::from_micros(NOW.micros() + 1));
    assert_eq!(directory.credential(hash).await, Ok(None));
    directory.add_token(hash, minji, later, NOW).await.unwrap();
    let Credential { caller, expires_at } = directory.credential(hash).await.unwrap().unwrap();
    assert_eq!((caller.user, caller.role), (minji, Role::Customer));
    assert_eq!((caller.scopes, caller.via), (Scopes::ALL, Via::Session));
    assert_eq!(expires_at, Some(later));
    let nobody = directory.add_token(SecretHash::of("x"), UserId::from_bits(8), later, NOW).await;
    assert_eq!(nobody.unwrap_err().code(), Code::StoreUnavailable);
}

pub(super) async fn a_login_drops_a_hundred_of_the_tokens_that_have_expired(directory: Directory) {
    let minji = minji(&directory).await;
    let at = |seconds: i64| Timestamp::from_micros(NOW.micros() + seconds * 1_000_000);
    let hash = |number: u32| SecretHash::of(&format!("old {number}"));
    for number in 0..130 {
        directory.add_token(hash(number), minji, at(10), NOW).await.unwrap();
    }
    let young = SecretHash::of("young");
    directory.add_token(young, minji, at(11), at(9)).await.unwrap();
    let left = async || {
        let mut left = 0;
        for number in 0..130 {
            left += u32::from(directory.credential(hash(number)).await.unwrap().is_some());
        }
        left
    };
    assert_eq!(left().await, 130, "none had expired");
    directory.add_token(SecretHash::of("a"), minji, at(99), at(10)).await.unwrap();
    assert_eq!(left().await, 30);
    directory.add_token(SecretHash::of("b"), minji, at(99), at(10)).await.unwrap();
    assert_eq!(left().await, 0);
    for kept in [young, SecretHash::of("a"), SecretHash::of("b")] {
        assert!(directory.credential(kept).await.unwrap().is_some());
    }
}

pub(super) async fn a_key_stands_for_its_user_and_its_scopes(directory: Directory) {
    let minji = minji(&directory).await;
    let scopes = [(false, false), (true, false), (true, true)];
    for (number, (write, operate)) in (1..).zip(scopes) {
        let mut new = key(minji, number);
        new.key.scopes = Scopes { write, operate };
        assert_eq!(directory.add_key(new.clone()).await, Ok(true));
        let found = directory.credential(new.hash).await.unwrap().unwrap();
        assert_eq!((found.caller.user, found.caller.role), (minji, Role::Customer));
        assert_eq!((found.caller.scopes, found.expires_at), (new.key.scopes, None));
        assert_eq!(found.caller.via, Via::Key(new.key.id));
    }
    let mut unsound = key(minji, 4);
    unsound.key.scopes = Scopes { write: false, operate: true };
    assert_eq!(directory.add_key(unsound).await.unwrap_err().code(), Code::StoreUnavailable);
    let nobodys = directory.add_key(key(UserId::from_bits(8), 5)).await;
    assert_eq!(nobodys.unwrap_err().code(), Code::StoreUnavailable);
}

pub(super) async fn keys_are_listed_newest_first(directory: Directory) {
    let minji = minji(&directory).await;
    let jisoo = directory.add_user(user(8, "jisoo")).await.unwrap().id;
    // An order that is neither that of the rows nor its reverse.
    for number in [2, 9, 1, 30] {
        directory.add_key(key(minji, number)).await.unwrap();
    }
    directory.add_key(key(jisoo, 5)).await.unwrap();
    let listed = directory.keys(minji).await.unwrap();
    let expected: Vec<_> = [30, 9, 2, 1].map(|number| key(minji, number).key).into();
    assert_eq!(listed, expected);
}

pub(super) async fn a_key_is_deleted_by_its_owner_alone(directory: Directory) {
    let minji = minji(&directory).await;
    let new = key(minji, 1);
    directory.add_key(new.clone()).await.unwrap();
    assert_eq!(directory.delete_key(UserId::from_bits(8), new.key.id).await, Ok(None));
    assert!(directory.credential(new.hash).await.unwrap().is_some());
    assert_eq!(directory.delete_key(minji, new.key.id).await, Ok(Some(new.hash)));
    assert_eq!(directory.credential(new.hash).await, Ok(None));
    assert_eq!(directory.delete_key(minji, new.key.id).await, Ok(None));
}

pub(super) async fn a_user_has_a_hundred_keys_at_most(directory: Directory) {
    let minji = minji(&directory).await;
    for number in 0..Directory::MAX_KEYS {
        assert_eq!(directory.add_key(key(minji, number)).await, Ok(true), "{number}");
    }
    assert_eq!(directory.add_key(key(minji, 100)).await, Ok(false));
    assert_eq!(directory.keys(minji).await.unwrap().len(), 100);
    let jisoo = directory.add_user(user(8, "jisoo")).await.unwrap().id;
    assert_eq!(directory.add_key(key(jisoo, 1000)).await, Ok(true));
    directory.delete_key(minji, key(minji, 40).key.id).await.unwrap();
    assert_eq!(directory.add_key(key(minji, 101)).await, Ok(true));
    assert_eq!(directory.add_key(key(minji, 102)).await, Ok(false));
}

pub(super) async fn of_keys_made_at_once_no_more_are_taken_than_there_is_room_for(
    directory: Directory,
) {
    made_at_once([&directory, &directory]).await;
}

/// Has two servers take keys at once, for more than there is room.
pub(super) async fn made_at_once(servers: [&Directory; 2]) {
    let minji = minji(servers[0]).await;
    for number in 0..90 {
        servers[0].add_key(key(minji, number)).await.unwrap();
    }
    let adding: Vec<_> = (90..120)
        .map(|number| {
            let server = servers[usize::from(number % 2 == 0)].clone();
            tokio::spawn(async move { server.add_key(key(minji, number)).await })
        })
        .collect();
    let mut taken = 0;
    for one in adding {
        taken += u32::from(one.await.unwrap().unwrap());
    }
    assert_eq!((taken, servers[1].keys(minji).await.unwrap().len()), (10, 100));
}

pub(super) async fn a_label_put_down_before_the_opening_is_found_by_the_id(directory: Directory) {
    let owner = UserId::from_bits(7);
    let (nonce, at) = (u64::MAX - 1, Timestamp::from_micros(5));
    directory.set_label(owner, nonce, Some("생활비".to_owned())).await.unwrap_err();
    minji(&directory).await;
    directory.set_label(owner, nonce, Some("생활비".to_owned())).await.unwrap();
    let account = AccountId::new(at, nonce);
    assert_eq!(directory.label(owner, account).await, Ok(Some("생활비".to_owned())));
    assert_eq!(directory.label(UserId::from_bits(8), account).await, Ok(None));
    directory.set_label(owner, nonce, None).await.unwrap();
    assert_eq!(directory.label(owner, account).await, Ok(None));
}

pub(super) async fn the_later_of_two_labels_counts(directory: Directory) {
    let minji = minji(&directory).await;
    let name = |text: &str| Some(text.to_owned());
    directory.set_label(minji, 1, name("first")).await.unwrap();
    directory.set_label(minji, 4, name("stays")).await.unwrap();
    let labels = vec![
        (minji, 1, name("second")),
        (minji, 2, name("x")),
        (minji, 3, None),
        (minji, 2, None),
        (minji, 3, name("y")),
        (minji, 1, name("third")),
    ];
    directory.set_labels(labels).await.unwrap();
    let accounts: Vec<_> = (1..=5).map(|nonce| AccountId::new(NOW, nonce)).collect();
    let labels = directory.labels(minji, accounts.clone()).await.unwrap();
    let found: Vec<_> = accounts.iter().map(|id| labels.get(id).map(String::as_str)).collect();
    assert_eq!(found, [Some("third"), None, Some("y"), Some("stays"), None]);
    assert_eq!(directory.labels(minji, Vec::new()).await, Ok(HashMap::new()));
}

pub(super) async fn labels_are_set_together_or_not_at_all(directory: Directory) {
    let minji = minji(&directory).await;
    let name = |text: &str| Some(text.to_owned());
    directory.set_label(minji, 1, name("first")).await.unwrap();
    let stranger = UserId::from_bits(8);
    let labels = vec![(minji, 1, None), (minji, 2, name("x")), (stranger, 3, name("y"))];
    directory.set_labels(labels).await.unwrap_err();
    let label = async |nonce| directory.label(minji, AccountId::new(NOW, nonce)).await.unwrap();
    assert_eq!((label(1).await, label(2).await), (name("first"), None));
}

pub(super) async fn labels_of_several_owners_are_found_at_once(directory: Directory) {
    let minji = minji(&directory).await;
    let jisoo = directory.add_user(user(8, "jisoo")).await.unwrap().id;
    let name = |text: &str| Some(text.to_owned());
    let labels =
        vec![(minji, 1, name("minji's")), (jisoo, 1, name("x")), (jisoo, 2, name("jisoo's"))];
    directory.set_labels(labels).await.unwrap();
    let [one, two] = [1, 2].map(|nonce| AccountId::new(NOW, nonce));
    let found = directory.labels_of(vec![(minji, two), (minji, one), (jisoo, two)]).await;
    let expected = [(one, "minji's".to_owned()), (two, "jisoo's".to_owned())];
    assert_eq!(found.unwrap(), HashMap::from(expected));
    assert_eq!(directory.labels_of(Vec::new()).await.unwrap(), HashMap::new());
}
