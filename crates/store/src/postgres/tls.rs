//! Whether the way to a database is encrypted, and whom it trusts. Either the server's certificate
//! is checked with its name, or there is no TLS: nothing in between.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;

/// `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Disable,
    VerifyFull,
}

impl Mode {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "require" | "verify-ca" | "verify-full" => Ok(Self::VerifyFull),
            "allow" | "prefer" => Err("with `sslmode=allow` or `prefer` anybody on the way could \
                                       have the password sent in plain text; choose `verify-full` \
                                       or `disable`"
                .into()),
            _ => Err("`sslmode` is none of disable, require, verify-ca and verify-full".into()),
        }
    }
}

/// The files that the URL names.
#[derive(Default)]
pub(super) struct Files<'a> {
    /// `sslrootcert`; without it, or as `system`, the system's roots.
    pub(super) roots: Option<&'a str>,
    /// `sslcert`
    pub(super) certificate: Option<&'a str>,
    /// `sslkey`
    pub(super) key: Option<&'a str>,
}

/// What the driver makes its TLS connections with. The files are read once, here.
pub(super) fn connector(files: &Files<'_>, direct: bool) -> Result<MakeRustlsConnect, StoreError> {
    let roots = match files.roots {
        None | Some("system") => system_roots()?,
        Some(path) => roots_in(Path::new(path))?,
    };
    // Named, so that nothing depends on what the process has installed as its default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of both versions of TLS")
        .with_root_certificates(roots);
    let mut config = match (files.certificate, files.key) {
        (Some(chain), Some(key)) => {
            let chain = certificates(Path::new(chain))?;
            let key_path = Path::new(key);
            let key =
                PrivateKeyDer::from_pem_file(key_path).map_err(|error| unread(key_path, error))?;
            config.with_client_auth_cert(chain, key).map_err(|error| StoreError::Address {
                what: format!("`sslcert` and `sslkey` cannot be used: {error}"),
            })?
        }
        (None, None) => config.with_no_client_auth(),
        _ => {
            return Err(StoreError::Address {
                what: "of `sslcert` and `sslkey` both are needed, or neither".into(),
            });
        }
    };
    if direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

fn system_roots() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(StoreError::Address {
            what: format!(
                "this system has no root certificates; name a file with `sslrootcert=` {}",
                why.join("; ")
            ),
        });
    }
    Ok(roots)
}

fn roots_in(path: &Path) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| StoreError::Address {
            what: format!("a certificate in {} is no root: {error}", path.display()),
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unread(path, error))?;
    if found.is_empty() {
        return Err(unread(path, pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn unread(path: &Path, error: pem::Error) -> StoreError {
    match error {
        pem::Error::Io(source) => StoreError::io("read the certificates in", path, source),
        // What is wrong with it is not told: it could be a part of a key.
        _ => StoreError::Address {
            what: format!("{} holds no PEM of the kind that is needed", path.display()),
        },
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::CertificateError::Other;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    /// What `docs/postgres.md` says of certificates that are signed by themselves.
    #[test]
    fn a_certificate_that_is_its_own_root_is_taken_unless_it_is_an_authority() {
        let verify = |is_ca| {
            let mut params = CertificateParams::new(["db.example".to_owned()]).unwrap();
            params.is_ca = is_ca;
            let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(signed.der().clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
            let name = ServerName::try_from("db.example").unwrap();
            let verifier = verifier.build().unwrap();
            verifier.verify_server_cert(signed.der(), &[], &name, &[], UnixTime::now()).map(drop)
        };
        verify(IsCa::NoCa).unwrap();
        let told = verify(IsCa::Ca(BasicConstraints::Unconstrained)).unwrap_err();
        let authority = matches!(told, rustls::Error::InvalidCertificate(Other(_)));
        assert!(authority && told.to_string().contains("CaUsedAsEndEntity"), "{told}");
    }
}
