//! How a database is reached: host after host, and of each host address after address.
//!
//! The driver could try several by itself. But it limits only the first step of a connection in
//! time, so that a server that hangs would be waited for without end, and of several that fail it
//! tells only the last.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};

use futures_util::future::{Either, select};
use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket};

use super::failure::{Failure, words};
use super::session::{self, Profile};
use super::target::{Host, Target};
use crate::StoreError;

/// What drives a connection; it ends when the connection does. Nothing goes on unless it is
/// polled.
pub type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

impl Target {
    /// Connects, and sets the session up as `profile` says. The connection does nothing unless
    /// its driver is polled, by a task or beside what is asked of it.
    pub async fn connect(
        &self,
        application_name: &str,
        profile: &Profile,
    ) -> Result<(Client, Driver), StoreError> {
        let mut settings = self.settings.clone();
        settings.application_name(application_name);
        if let Some(password) = self.password.read()? {
            settings.password(password);
        }
        let mut unreached = Unreached(Vec::new());
        let first = self.last.load(Relaxed);
        let in_turn = self.hosts.iter().enumerate().cycle().skip(first);
        for (nth, host) in in_turn.take(self.hosts.len()) {
            let places = match self.places(host).await {
                Ok(places) => places,
                Err(error) => {
                    unreached.miss(host, None, Failure::of_io(&error), None, words(&error));
                    continue;
                }
            };
            for place in places {
                let reach = self.reach(&settings, host, place);
                let (client, mut driver) = match timeout(self.patience, reach).await {
                    Ok(Ok(reached)) => reached,
                    Ok(Err(error)) => {
                        let code = error.code().map(|code| code.code().to_owned());
                        let why = words(&error) + self.way_out(&error);
                        unreached.miss(host, place, Failure::of(&error), code, why);
                        continue;
                    }
                    Err(_) => {
                        unreached.miss(host, place, Failure::Unavailable, None, self.too_long());
                        continue;
                    }
                };
                let set_up = set_up(&client, &mut driver, profile);
                match timeout(self.patience, set_up).await {
                    Ok(Ok(())) => {
                        self.last.store(nth, Relaxed);
                        return Ok((client, driver));
                    }
                    Ok(Err(error)) if error.failure() == Some(Failure::Unavailable) => {
                        let why = error.to_string();
                        unreached.miss(host, place, Failure::Unavailable, None, why);
                    }
                    // The session would fare no better elsewhere.
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {
                        unreached.miss(host, place, Failure::Unavailable, None, self.too_long());
                    }
                }
            }
        }
        Err(unreached.into())
    }

    /// What is to be done about a refusal, where that is not plain from its words.
    fn way_out(&self, error: &tokio_postgres::Error) -> &'static str {
        const PASSWORDS: &str = "; it is taken from the URL, --store-password-file or PGPASSWORD";
        match error.code() {
            Some(code) if *code == SqlState::INVALID_PASSWORD => PASSWORDS,
            Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
                "; make it with `createdb`, then run `tongjang migrate`"
            }
            // The driver has no code for a password that the server asks for in vain. What else it
            // refuses by itself is what TLS or the network says.
            None if self.password.is_none()
                && Failure::of(error) == Failure::Refused
                && error.source().is_some_and(|source| !source.is::<io::Error>()) =>
            {
                PASSWORDS
            }
            _ => "",
        }
    }

    fn too_long(&self) -> String {
        format!("no answer within {} s", self.patience.as_secs())
    }

    /// The addresses of a host; one without an address for a socket.
    async fn places(&self, host: &Host) -> io::Result<Vec<Option<IpAddr>>> {
        if host.is_socket() {
            return Ok(vec![None]);
        }
        if host.at.is_some() {
            return Ok(vec![host.at]);
        }
        let found =
            timeout(self.patience, lookup_host((host.name.as_str(), host.port))).await.map_err(
                |_| io::Error::new(io::ErrorKind::TimedOut, "the name was not found in time"),
            )?;
        let places: Vec<_> = found?.map(|address| Some(address.ip())).collect();
        if places.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(places)
    }

    /// Connects to one address.
    async fn reach(
        &self,
        settings: &Config,
        host: &Host,
        place: Option<IpAddr>,
    ) -> Result<(Client, Driver), tokio_postgres::Error> {
        let mut settings = settings.clone();
        settings.host(&host.name).port(host.port).connect_timeout(self.patience);
        if let Some(ip) = place {
            settings.hostaddr(ip);
        }
        match self.tls.as_ref().filter(|_| host.encrypted) {
            Some(tls) => {
                settings.ssl_mode(SslMode::Require);
                open(&settings, tls.clone()).await
            }
            None => {
                settings.ssl_mode(SslMode::Disable);
                open(&settings, NoTls).await
            }
        }
    }
}

async fn open<T>(settings: &Config, tls: T) -> Result<(Client, Driver), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::Stream: TlsStream + Send + 'static,
    T::TlsConnect: TlsConnect<Socket>,
{
    let (client, mut connection) = settings.connect(tls).await?;
    let driver = poll_fn(move |context| {
        loop {
            match ready!(connection.poll_message(context)) {
                // A wait for a standby was cancelled, and a COMMIT would be told as done that the
                // standby has not got. Whoever hangs up has to find out what became of it.
                Some(Ok(AsyncMessage::Notice(notice)))
                    if notice.routine() == Some(WAITS_FOR_STANDBY) =>
                {
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    });
    Ok((client, Box::pin(driver)))
}

/// Which of PostgreSQL's functions says that it waits for a standby no longer. That has no code of
/// its own, and its words depend on the language.
const WAITS_FOR_STANDBY: &str = "SyncRepWaitForLSN";

/// Sets a session up while its connection is driven.
async fn set_up(client: &Client, driver: &mut Driver, profile: &Profile) -> Result<(), StoreError> {
    match select(pin!(session::set_up(client, profile)), driver).await {
        Either::Left((done, _)) => done,
        // The connection has ended, which what was asked of it is told now.
        Either::Right((_, set_up)) => set_up.await,
    }
}

/// All that was tried in vain.
#[derive(Debug)]
struct Unreached(Vec<Miss>);

#[derive(Debug)]
struct Miss {
    host: String,
    place: Option<IpAddr>,
    failure: Failure,
    code: Option<String>,
    why: String,
}

impl Unreached {
    fn miss(
        &mut self,
        host: &Host,
        place: Option<IpAddr>,
        failure: Failure,
        code: Option<String>,
        why: String,
    ) {
        self.0.push(Miss { host: host.to_string(), place, failure, code, why });
    }

    /// Refused if every host refused, by one of its addresses: the others may come back.
    fn failure(&self) -> Failure {
        let refused = |host: &[Miss]| host.iter().any(|miss| miss.failure == Failure::Refused);
        let all = self.0.chunk_by(|a, b| a.host == b.host).all(refused);
        if all { Failure::Refused } else { Failure::Unavailable }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, miss) in self.0.iter().enumerate() {
            let apart = if at == 0 { "" } else { "; " };
            write!(f, "{apart}{}", miss.host)?;
            if let Some(place) = miss.place.filter(|ip| !miss.host.contains(&ip.to_string())) {
                write!(f, " ({place})")?;
            }
            write!(f, ": {}", miss.why)?;
        }
        Ok(())
    }
}

impl Error for Unreached {}

impl From<Unreached> for StoreError {
    fn from(unreached: Unreached) -> Self {
        Self::Database {
            attempt: "connect to the database",
            failure: unreached.failure(),
            code: unreached.0.iter().rev().find_map(|miss| miss.code.clone()),
            cause: Arc::new(unreached),
        }
    }
}
