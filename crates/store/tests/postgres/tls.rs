//! Connections over TLS: whom they trust, and that they never go on without it.

use tongjang_store::StoreError;
use tongjang_store::postgres::{Failure, Profile};

use crate::certificates::Root;
use crate::cluster::Cluster;

/// Whether the session at `rest` is encrypted.
async fn encrypted(cluster: &Cluster, user: &str, rest: &str) -> Result<bool, StoreError> {
    let target = cluster.target(user, rest);
    // As another role it could not ask about its own session.
    let (client, driver) = target.connect("tongjang test", &Profile::OWNER).await?;
    tokio::spawn(driver);
    let asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(client.query_one(asked, &[]).await.unwrap().get(0))
}

#[tokio::test]
async fn the_right_root_and_name_make_an_encrypted_session() {
    let cluster = Cluster::shared();
    let root = cluster.file("right.pem", &cluster.root.pem);
    let (port, root) = (cluster.port, root.display());
    for mode in ["verify-full", "verify-ca", "require"] {
        let rest = format!(
            "localhost:{port}/secure?sslmode={mode}&sslrootcert={root}&channel_binding=require"
        );
        assert!(encrypted(&cluster, "teller", &rest).await.unwrap(), "{mode}");
    }
}

#[tokio::test]
async fn another_root_is_not_trusted_whatever_the_mode() {
    let cluster = Cluster::shared();
    let other = cluster.file("other.pem", &Root::new("another root").pem);
    for mode in ["verify-full", "verify-ca", "require"] {
        let (port, other) = (cluster.port, other.display());
        let rest = format!("localhost:{port}/plain?sslmode={mode}&sslrootcert={other}");
        let error = encrypted(&cluster, "teller", &rest).await.unwrap_err();
        assert!(error.to_string().contains("invalid peer certificate"), "{mode}: {error}");
        assert_eq!(error.failure(), Some(Failure::Refused), "{mode}: {error}");
    }
}

#[tokio::test]
async fn another_name_is_not_trusted_whatever_the_mode() {
    let cluster = Cluster::shared();
    let root = cluster.file("named.pem", &cluster.root.pem);
    for mode in ["verify-full", "verify-ca", "require"] {
        let (port, root) = (cluster.port, root.display());
        let rest = format!("127.0.0.1:{port}/plain?sslmode={mode}&sslrootcert={root}");
        let error = encrypted(&cluster, "teller", &rest).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{mode}: {error}");
        assert_eq!(error.failure(), Some(Failure::Refused), "{mode}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_demands_tls_refuses_a_session_without() {
    let cluster = Cluster::shared();
    let rest = format!("127.0.0.1:{}/secure?sslmode=disable", cluster.port);
    let error = encrypted(&cluster, "teller", &rest).await.unwrap_err();
    let StoreError::Database { code, failure, .. } = &error else { panic!("{error:?}") };
    assert_eq!((code.as_deref(), *failure), (Some("28000"), Failure::Refused), "{error}");
    let rest = format!("127.0.0.1:{}/plain?sslmode=disable", cluster.port);
    assert!(!encrypted(&cluster, "teller", &rest).await.unwrap());
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_in_plain_text() {
    let cluster = Cluster::bare();
    let root = cluster.file("bare.pem", &cluster.root.pem);
    let rest = format!("localhost:{}/plain?sslmode=require", cluster.port);
    let rest = format!("{rest}&sslrootcert={}", root.display());
    let error = encrypted(&cluster, "postgres", &rest).await.unwrap_err();
    assert!(error.to_string().contains("server does not support TLS"), "{error}");
    assert_eq!(error.failure(), Some(Failure::Refused), "{error}");
}

#[tokio::test]
async fn a_certificate_lets_its_user_in_and_no_other() {
    let cluster = Cluster::shared();
    let root = cluster.file("of-server.pem", &cluster.root.pem);
    let signed = cluster.root.sign("teller");
    let certificate = cluster.file("teller.crt", &signed.certificate);
    let key = cluster.file("teller.key", &signed.key);
    let rest = format!("localhost:{}/passed?sslmode=verify-full", cluster.port);
    let rest = format!("{rest}&sslrootcert={}", root.display());
    let with = format!("{rest}&sslcert={}&sslkey={}", certificate.display(), key.display());
    assert!(encrypted(&cluster, "teller", &with).await.unwrap());
    for (user, rest) in [("teller", &rest), ("stranger", &with)] {
        let error = encrypted(&cluster, user, rest).await.unwrap_err();
        let StoreError::Database { code, .. } = &error else { panic!("{error:?}") };
        assert_eq!(code.as_deref(), Some("28000"), "{error}");
    }
}
