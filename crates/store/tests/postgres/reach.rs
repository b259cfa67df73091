//! Which host is taken, and what is told if none can be.

use std::fs;
use std::net::TcpListener;

use tongjang_store::StoreError;
use tongjang_store::postgres::{Failure, Passwords, Profile, Target};

use crate::cluster::Cluster;

/// The name of the database that `target` reaches.
async fn reached(target: &Target) -> Result<String, StoreError> {
    let (client, driver) = target.connect("tongjang test", &Profile::TELLER).await?;
    tokio::spawn(driver);
    Ok(client.query_one("SELECT current_database()::text", &[]).await.unwrap().get(0))
}

/// A port where nobody listens.
fn deaf() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_password_file_is_read_for_each_connection() {
    let cluster = Cluster::shared();
    let admin = cluster.admin().await;
    admin.batch_execute("CREATE ROLE rotated LOGIN IN ROLE tongjang_app").await.unwrap();
    admin.batch_execute("ALTER ROLE rotated PASSWORD 'summer'").await.unwrap();
    let file = cluster.file("rotated", "summer\n");
    let url = format!("postgres://rotated@127.0.0.1:{}/plain", cluster.port);
    let passwords = Passwords { file: Some(file.clone()), environment: Some("wrong".into()) };
    let target = Target::new(&url, &passwords).unwrap();
    assert_eq!(reached(&target).await.unwrap(), "plain");

    admin.batch_execute("ALTER ROLE rotated PASSWORD 'winter'").await.unwrap();
    let error = reached(&target).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("28P01") && told.contains("127.0.0.1"), "{told}");
    assert!(!format!("{error:?}{told}").contains("summer"), "{told}");
    assert_eq!(error.failure(), Some(Failure::Refused));

    fs::write(&file, "winter").unwrap();
    assert_eq!(reached(&target).await.unwrap(), "plain");
    fs::remove_file(&file).unwrap();
    let error = reached(&target).await.unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[tokio::test]
async fn the_environment_gives_a_password_to_a_url_without_one() {
    let cluster = Cluster::shared();
    let url = format!("postgres://teller@127.0.0.1:{}/plain", cluster.port);
    let found = Passwords { file: None, environment: Some("open sesame".into()) };
    assert_eq!(reached(&Target::new(&url, &found).unwrap()).await.unwrap(), "plain");
    let none = Target::new(&url, &Passwords::default()).unwrap();
    let error = reached(&none).await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains("password missing; it is taken from the URL"), "{told}");
    assert_eq!(error.failure(), Some(Failure::Refused));
}

#[tokio::test]
async fn hosts_that_are_down_or_hang_are_passed_over() {
    let cluster = Cluster::shared();
    let (port, deaf) = (cluster.port, deaf());
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = silent.local_addr().unwrap().port();
    let hosts = format!("127.0.0.1:{deaf},127.0.0.1:{mute}");
    let alive = format!("{hosts},localhost:{port}/plain?connect_timeout=1");
    assert_eq!(reached(&cluster.target("teller", &alive)).await.unwrap(), "plain");

    let dead = format!("{hosts}/plain?connect_timeout=1");
    let error = reached(&cluster.target("teller", &dead)).await.unwrap_err();
    let told = error.to_string();
    assert!(told.starts_with("cannot connect to the database: "), "{told}");
    assert!(told.contains(&format!("127.0.0.1:{deaf}: error connecting")), "{told}");
    assert!(told.contains(&format!("127.0.0.1:{mute}: no answer within 1 s")), "{told}");
    assert_eq!(error.failure(), Some(Failure::Unavailable));
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_passed_over() {
    let cluster = Cluster::shared();
    let frozen = format!("127.0.0.1:{}/frozen", cluster.port);
    let error = reached(&cluster.target("teller", &frozen)).await.unwrap_err();
    assert!(error.to_string().contains("database does not allow writes"), "{error}");
    // Another may be made the primary at any time.
    assert_eq!(error.failure(), Some(Failure::Unavailable));
    let any = format!("{frozen}?target_session_attrs=any");
    assert_eq!(reached(&cluster.target("teller", &any)).await.unwrap(), "frozen");
}

#[tokio::test]
async fn one_host_that_may_come_back_keeps_the_others_refusal_from_being_the_last_word() {
    let cluster = Cluster::shared();
    let (port, deaf) = (cluster.port, deaf());
    let refused = format!("127.0.0.1:{port}/nowhere");
    let error = reached(&cluster.target("teller", &refused)).await.unwrap_err();
    assert_eq!(error.failure(), Some(Failure::Refused), "{error}");
    let both = format!("127.0.0.1:{deaf},{refused}");
    let error = reached(&cluster.target("teller", &both)).await.unwrap_err();
    assert_eq!(error.failure(), Some(Failure::Unavailable), "{error}");
    let StoreError::Database { code: Some(_), .. } = error else { panic!("{error:?}") };
}
