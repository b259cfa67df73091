//! Where a database is and how to get there, made from a URL. How it is reached, see `connect`.

use std::fmt;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslNegotiation, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, port_number};
use super::password::{Password, Passwords};
use super::tls::{self, Mode};
use crate::StoreError;

/// A database, and the way to it. Neither `Display` nor `Debug` shows the password.
#[derive(Clone)]
pub struct Target {
    pub(super) hosts: Vec<Host>,
    /// All but the host and the password.
    pub(super) settings: Config,
    pub(super) password: Password,
    /// None if no host is reached over TLS.
    pub(super) tls: Option<MakeRustlsConnect>,
    /// How long an address may take until a session is ready.
    pub(super) patience: Duration,
    /// Which host let somebody in last: with it the next one begins.
    pub(super) last: Arc<AtomicUsize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Host {
    /// A name, an address, or the folder of a socket.
    pub(super) name: String,
    /// Where it is, if the name need not be looked up (`hostaddr`).
    pub(super) at: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) encrypted: bool,
}

impl Host {
    pub(super) fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Whether what is sent there stays on this machine.
    fn is_here(&self) -> bool {
        let by_name = self.name.eq_ignore_ascii_case("localhost")
            || self.name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        self.is_socket() || (by_name && self.at.is_none_or(|ip| ip.is_loopback()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Target {
    /// Takes in a `postgres://` or `postgresql://` URL. The files it names are read, the
    /// database is not yet asked.
    pub fn new(url: &str, passwords: &Passwords) -> Result<Self, StoreError> {
        let wrong = |what| StoreError::Address { what };
        let mut address = Address::parse(url).map_err(wrong)?;
        let mut take = |name: &str| address.parameters.remove(name);
        let user = once("user", address.user.take(), take("user")).map_err(wrong)?;
        let password =
            once("password", address.password.take(), take("password")).map_err(wrong)?;
        let database = once("dbname", address.database.take(), take("dbname")).map_err(wrong)?;
        let mut hosts =
            hosts(mem::take(&mut address.hosts), take("host"), take("hostaddr"), take("port"))
                .map_err(wrong)?;
        let (roots, certificate, key) = (take("sslrootcert"), take("sslcert"), take("sslkey"));
        let mode = take("sslmode").map(|mode| Mode::parse(&mode)).transpose().map_err(wrong)?;
        for host in &mut hosts {
            host.encrypted = !host.is_socket()
                && match mode {
                    Some(mode) => mode == Mode::VerifyFull,
                    None => !host.is_here(),
                };
        }
        let (mut settings, patience) = settings(&mut address).map_err(wrong)?;
        if let Some(user) = user {
            settings.user(user);
        }
        settings.dbname(database.ok_or_else(|| {
            wrong("it names no database: `postgres://user@host/database`".into())
        })?);
        let files = tls::Files {
            roots: roots.as_deref(),
            certificate: certificate.as_deref(),
            key: key.as_deref(),
        };
        let direct = settings.get_ssl_negotiation() == SslNegotiation::Direct;
        let tls = hosts.iter().any(|host| host.encrypted);
        let tls = tls.then(|| tls::connector(&files, direct)).transpose()?;
        let password = Password::choose(password, passwords)?;
        Ok(Self { hosts, settings, password, tls, patience, last: Arc::default() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.settings.get_user() {
            write!(f, "{user}@")?;
        }
        for (at, host) in self.hosts.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        write!(f, "/{}", self.settings.get_dbname().unwrap_or_default())?;
        let encrypted = self.hosts.iter().filter(|host| host.encrypted).count();
        match encrypted {
            0 => f.write_str(" without TLS"),
            all if all == self.hosts.len() => f.write_str(" over TLS"),
            _ => f.write_str(" over TLS where it leaves the machine"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

/// What may stand both before and after the `?`, but not twice.
fn once(
    name: &str,
    before: Option<String>,
    after: Option<String>,
) -> Result<Option<String>, String> {
    match (before, after) {
        (Some(_), Some(_)) => Err(format!("`{name}` is given before the `?` and after it")),
        (before, after) => Ok(before.or(after)),
    }
}

/// Hosts, with the lists of the parameters `host`, `hostaddr` and `port`.
fn hosts(
    mut named: Vec<(String, Option<u16>)>,
    names: Option<String>,
    addresses: Option<String>,
    ports: Option<String>,
) -> Result<Vec<Host>, String> {
    if let Some(names) = &names {
        if !named.is_empty() {
            return Err("`host` is given before the `?` and after it".into());
        }
        named = names.split(',').map(|name| (name.to_owned(), None)).collect();
    }
    let addresses: Vec<IpAddr> = addresses
        .iter()
        .flat_map(|list| list.split(','))
        .map(|ip| ip.parse().map_err(|_| "`hostaddr` is no list of IP addresses".to_owned()))
        .collect::<Result<_, _>>()?;
    if named.is_empty() {
        named = addresses.iter().map(|ip| (ip.to_string(), None)).collect();
    }
    if named.iter().any(|(name, _)| name.is_empty()) {
        return Err("a host has no name".into());
    }
    if named.is_empty() {
        return Err("it names no host: `postgres://user@host/database`, or \
                    `postgres://user@/database?host=/run/postgresql` for a socket"
            .into());
    }
    if !addresses.is_empty() && addresses.len() != named.len() {
        return Err("`hostaddr` has another number of addresses than there are hosts".into());
    }
    let ports: Vec<u16> = ports
        .iter()
        .flat_map(|list| list.split(','))
        .map(|port| if port.is_empty() { Ok(5432) } else { port_number(port) })
        .collect::<Result<_, _>>()?;
    if ports.len() > 1 && ports.len() != named.len() {
        return Err("`port` has another number of ports than there are hosts".into());
    }
    let of_all = ports.first().copied().filter(|_| ports.len() == 1);
    named
        .into_iter()
        .enumerate()
        .map(|(at, (name, beside))| {
            let listed = of_all.or_else(|| ports.get(at).copied());
            if beside.is_some() && listed.is_some() {
                return Err("`port` is given before the `?` and after it".into());
            }
            let port = beside.or(listed).unwrap_or(5432);
            Ok(Host { name, at: addresses.get(at).copied(), port, encrypted: false })
        })
        .collect()
}

/// All other parameters; what is left over then is unknown. Also how long connecting may take.
///
/// A dead machine is noticed within half a minute: one that owes an answer by
/// `tcp_user_timeout`, and one that owes none since it is probed after ten seconds of silence.
fn settings(address: &mut Address) -> Result<(Config, Duration), String> {
    let mut settings = Config::new();
    settings
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .tcp_user_timeout(Duration::from_secs(30))
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(5))
        .keepalives_retries(4);
    let mut patience = Duration::from_secs(5);
    for (name, value) in mem::take(&mut address.parameters) {
        let number = || {
            let number: Option<u32> = value.parse().ok();
            number.ok_or_else(|| format!("`{name}` is no whole number"))
        };
        let seconds = || match number() {
            Ok(0) => Err(format!("`{name}` may not be 0")),
            number => number.map(|seconds| Duration::from_secs(seconds.into())),
        };
        let none_of = |known: &str| Err(format!("`{name}` is none of {known}"));
        match name.as_str() {
            "connect_timeout" => patience = seconds()?,
            "options" => {
                settings.options(&value);
            }
            // In milliseconds, as PostgreSQL's own programs take it.
            "tcp_user_timeout" => {
                settings.tcp_user_timeout(Duration::from_millis(number()?.into()));
            }
            "keepalives" => {
                settings.keepalives(number()? != 0);
            }
            "keepalives_idle" => {
                settings.keepalives_idle(seconds()?);
            }
            "keepalives_interval" => {
                settings.keepalives_interval(seconds()?);
            }
            "keepalives_count" => {
                settings.keepalives_retries(number()?);
            }
            "target_session_attrs" => {
                settings.target_session_attrs(match value.as_str() {
                    "any" => TargetSessionAttrs::Any,
                    "read-write" => TargetSessionAttrs::ReadWrite,
                    "read-only" => TargetSessionAttrs::ReadOnly,
                    _ => return none_of("any, read-write and read-only"),
                });
            }
            "channel_binding" => {
                settings.channel_binding(match value.as_str() {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return none_of("disable, prefer and require"),
                });
            }
            "sslnegotiation" => {
                settings.ssl_negotiation(match value.as_str() {
                    "postgres" => SslNegotiation::Postgres,
                    "direct" => SslNegotiation::Direct,
                    _ => return none_of("postgres and direct"),
                });
            }
            "application_name" => {
                return Err("`application_name` may not be given: connections are named by what \
                            they are for"
                    .into());
            }
            unknown => {
                return Err(format!("there is no parameter `{}`", unknown.escape_debug()));
            }
        }
    }
    Ok((settings, patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target, StoreError> {
        Target::new(url, &Passwords::default())
    }

    /// A file that holds a root, so that no test depends on the system's.
    fn root() -> (tempfile::TempDir, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut root = rcgen::CertificateParams::default();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.pem");
        std::fs::write(&path, root.self_signed(&key).unwrap().pem()).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (folder, path)
    }

    #[test]
    fn tls_is_spoken_with_all_that_is_not_this_machine() {
        let (_folder, root) = root();
        for (hosts, mode, expected) in [
            ("localhost", "", "postgres://u@localhost:5432/x without TLS"),
            ("LocalHost", "", "postgres://u@LocalHost:5432/x without TLS"),
            ("127.8.0.1:1", "", "postgres://u@127.8.0.1:1/x without TLS"),
            ("[::1]:2", "", "postgres://u@[::1]:2/x without TLS"),
            ("%2Frun%2Fpg", "", "postgres://u@/run/pg:5432/x without TLS"),
            ("db", "", "postgres://u@db:5432/x over TLS"),
            ("localhost.example", "", "postgres://u@localhost.example:5432/x over TLS"),
            ("10.0.0.1", "", "postgres://u@10.0.0.1:5432/x over TLS"),
            ("db", "disable", "postgres://u@db:5432/x without TLS"),
            ("localhost", "verify-full", "postgres://u@localhost:5432/x over TLS"),
            ("localhost", "verify-ca", "postgres://u@localhost:5432/x over TLS"),
            ("localhost", "require", "postgres://u@localhost:5432/x over TLS"),
            // A socket has no TLS, whatever is asked of the other hosts.
            (
                "%2Fpg,db",
                "require",
                "postgres://u@/pg:5432,db:5432/x over TLS where it leaves the \
              machine",
            ),
            (
                "localhost,db",
                "",
                "postgres://u@localhost:5432,db:5432/x over TLS where it leaves \
              the machine",
            ),
        ] {
            let mode = if mode.is_empty() { String::new() } else { format!("&sslmode={mode}") };
            let url = format!("postgres://u:hush@{hosts}/x?sslrootcert={root}{mode}");
            let target = target(&url).unwrap();
            assert_eq!(target.to_string(), expected, "{url}");
            assert_eq!(format!("{target:?}"), format!("Target({expected})"));
        }
        // A name of this machine that is sent elsewhere.
        let url = format!("postgres://localhost/x?hostaddr=10.0.0.1&sslrootcert={root}");
        assert!(target(&url).unwrap().hosts[0].encrypted);
    }

    #[test]
    fn hosts_and_ports_may_stand_before_or_after_the_question_mark() {
        for (url, expected) in [
            ("postgres://a:1,b:2/x?sslmode=disable", "a:1,b:2/x"),
            ("postgres://a,b:2/x?sslmode=disable", "a:5432,b:2/x"),
            ("postgres://a,b/x?sslmode=disable&port=7", "a:7,b:7/x"),
            ("postgres:///x?sslmode=disable&host=a,b&port=7,", "a:7,b:5432/x"),
            ("postgres:///x?sslmode=disable&hostaddr=10.0.0.1", "10.0.0.1:5432/x"),
            ("postgres://?host=/run/pg&dbname=x&user=u", "u@/run/pg:5432/x"),
        ] {
            let expected = format!("postgres://{expected} without TLS");
            assert_eq!(target(url).unwrap().to_string(), expected, "{url}");
        }
        let target = target("postgres:///x?host=db&hostaddr=127.0.0.1&sslmode=disable").unwrap();
        assert_eq!(target.hosts[0].name, "db");
        assert_eq!(target.hosts[0].at, Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn the_settings_of_a_connection_have_defaults_and_can_be_changed() {
        let plain = target("postgres://localhost/x").unwrap();
        let seconds = |duration: &Duration| duration.as_secs();
        assert_eq!(plain.patience.as_secs(), 5);
        assert_eq!(plain.settings.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(plain.settings.get_tcp_user_timeout().map(seconds), Some(30));
        assert!(plain.settings.get_keepalives());
        assert_eq!(plain.settings.get_keepalives_idle().as_secs(), 10);
        assert_eq!(plain.settings.get_keepalives_interval().as_ref().map(seconds), Some(5));
        assert_eq!(plain.settings.get_keepalives_retries(), Some(4));
        let other = target(
            "postgres://localhost/x?connect_timeout=2&target_session_attrs=any\
             &tcp_user_timeout=1500&keepalives=0&keepalives_idle=3&keepalives_interval=4\
             &keepalives_count=6&channel_binding=require&sslnegotiation=direct&options=-c%20a=b",
        )
        .unwrap();
        assert_eq!(other.patience.as_secs(), 2);
        assert_eq!(other.settings.get_target_session_attrs(), TargetSessionAttrs::Any);
        assert_eq!(other.settings.get_tcp_user_timeout(), Some(&Duration::from_millis(1500)));
        assert!(!other.settings.get_keepalives());
        assert_eq!(other.settings.get_keepalives_idle().as_secs(), 3);
        assert_eq!(other.settings.get_keepalives_interval().as_ref().map(seconds), Some(4));
        assert_eq!(other.settings.get_keepalives_retries(), Some(6));
        assert_eq!(other.settings.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(other.settings.get_ssl_negotiation(), SslNegotiation::Direct);
        assert_eq!(other.settings.get_options(), Some("-c a=b"));
    }

    #[test]
    fn what_is_wrong_in_a_url_is_told_without_the_password() {
        for (rest, expected) in [
            ("h/x?sslmode=prefer", "anybody on the way"),
            ("h/x?sslmode=allow", "anybody on the way"),
            ("h/x?sslmode=hush", "`sslmode` is none of"),
            ("h/x?sslmod=disable", "there is no parameter `sslmod`"),
            ("h/x?ssl%0Amode=disable", "there is no parameter `ssl\\nmode`"),
            ("h/x?application_name=hush", "`application_name` may not be given"),
            ("h/x?sslmode=disable&connect_timeout=hush", "`connect_timeout` is no whole number"),
            ("h/x?sslmode=disable&connect_timeout=0", "`connect_timeout` may not be 0"),
            ("h/x?target_session_attrs=primary", "`target_session_attrs` is none of any,"),
            ("h/x?channel_binding=on", "`channel_binding` is none of"),
            ("h/x?sslnegotiation=on", "`sslnegotiation` is none of"),
            ("h/x?password=hush", "`password` is given before the `?` and after it"),
            ("h/x?user=hush", "`user` is given before"),
            ("h/x?dbname=hush", "`dbname` is given before"),
            ("h/x?host=hush", "`host` is given before"),
            ("h:1/x?port=2", "`port` is given before"),
            ("h/x?port=1,2", "another number of ports"),
            ("h/x?port=hush", "a port is no number"),
            ("h/x?hostaddr=127.0.0.1,127.0.0.2", "another number of addresses"),
            ("h/x?hostaddr=hush", "`hostaddr` is no list"),
            ("/x?host=", "a host has no name"),
            ("/x", "it names no host"),
            ("h?sslmode=disable", "it names no database"),
            ("h/x?sslrootcert=/nowhere.pem", "cannot read the certificates in /nowhere.pem"),
        ] {
            let url = format!("postgres://u:hush@{rest}");
            let error = target(&url).expect_err(&url);
            let told = error.to_string();
            assert!(told.contains(expected), "{url}: {told}");
            assert!(!format!("{error:?}{told}").contains("hush"), "{url}: {told}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_and_half_a_client_certificate_are_refused() {
        let (folder, root) = root();
        let other = folder.path().join("other");
        std::fs::write(&other, "hush").unwrap();
        let other = other.to_str().unwrap();
        for (files, expected) in [
            (format!("sslrootcert={other}"), format!("{other} holds no PEM")),
            (format!("sslrootcert={root}&sslcert={root}"), "both are needed".into()),
            (format!("sslrootcert={root}&sslkey={root}"), "both are needed".into()),
            (format!("sslrootcert={root}&sslcert={root}&sslkey={root}"), "holds no PEM".into()),
        ] {
            let told = target(&format!("postgres://h/x?{files}")).unwrap_err().to_string();
            assert!(told.contains(&expected) && !told.contains("hush"), "{told}");
        }
    }
}
