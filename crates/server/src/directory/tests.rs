//! What the directory does, wherever it is kept: each behaviour is asked of both.

mod behaviour;
mod database;
mod servers;
mod tables;

use database::Tables;

/// Makes a test of each behaviour for each place.
macro_rules! wherever_it_is_kept {
    ($($what_it_does:ident,)*) => {
        mod in_sqlite {
            $(
                #[tokio::test]
                async fn $what_it_does() {
                    let data = tempfile::tempdir().unwrap();
                    let directory = crate::directory::Directory::open(data.path()).unwrap();
                    super::behaviour::$what_it_does(directory).await;
                }
            )*
        }

        mod in_postgres {
            $(
                #[tokio::test]
                async fn $what_it_does() {
                    let tables = super::Tables::new();
                    super::behaviour::$what_it_does(tables.directory().await).await;
                }
            )*
        }
    };
}

wherever_it_is_kept! {
    a_user_is_found_by_his_id_and_any_spelling_of_his_name,
    a_username_is_had_by_one_user,
    an_operator_stays_one,
    every_id_and_time_comes_back_as_it_went,
    a_name_to_show_is_known_of_those_who_are_here,
    a_token_stands_for_its_user,
    a_login_drops_a_hundred_of_the_tokens_that_have_expired,
    a_key_stands_for_its_user_and_its_scopes,
    keys_are_listed_newest_first,
    a_key_is_deleted_by_its_owner_alone,
    a_user_has_a_hundred_keys_at_most,
    of_keys_made_at_once_no_more_are_taken_than_there_is_room_for,
    a_label_put_down_before_the_opening_is_found_by_the_id,
    the_later_of_two_labels_counts,
    labels_are_set_together_or_not_at_all,
    labels_of_several_owners_are_found_at_once,
}

#[test]
fn a_cursor_outlives_a_restart_of_its_server_and_no_other_server_takes_it() {
    use super::Directory;

    let data = tempfile::tempdir().unwrap();
    let cursor = Directory::open(data.path()).unwrap().cursor_key().seal(&["a"], b"at 5");
    let again = Directory::open(data.path()).unwrap();
    assert_eq!(again.cursor_key().open(&["a"], &cursor), Ok(b"at 5".to_vec()));
    let other = tempfile::tempdir().unwrap();
    let other = Directory::open(other.path()).unwrap();
    assert!(other.cursor_key().open(&["a"], &cursor).is_err());
}
