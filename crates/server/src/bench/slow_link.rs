//! A database that is far away, for measurements on one machine: a forwarder that holds what it
//! passes on. The wait is made, not real; nothing is lost and no bandwidth is taken away.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

use super::figures::now;
use crate::database::runtime;

/// A way to a database that takes a while in each direction; closed when dropped.
pub(crate) struct SlowLink {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl SlowLink {
    /// Listens on a free port and holds each chunk for `delay` on its way to `place` or back.
    /// Chunks overlap on the way, as on a long cable.
    pub(crate) fn to(place: String, delay: Duration) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let listening = runtime.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let place = place.clone();
                tokio::spawn(async move {
                    // A database that refuses hangs up on whoever asked.
                    let Ok(far) = TcpStream::connect(place).await else { return };
                    // Without it small chunks only wait longer.
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let ((from_near, to_near), (from_far, to_far)) =
                        (near.into_split(), far.into_split());
                    tokio::join!(pass(from_near, to_far, delay), pass(from_far, to_near, delay));
                });
            }
        });
        Ok(Self { address, listening })
    }

    /// The address of a database with this way in place of its host.
    pub(crate) fn instead_of_host(&self, url: &str) -> anyhow::Result<String> {
        let (before, _, after) = split(url)?;
        Ok(format!("{before}{}{after}", self.address))
    }
}

/// The host and port in the address of a database.
pub(crate) fn host(url: &str) -> anyhow::Result<String> {
    let (_, host, _) = split(url)?;
    let has_port = host.rsplit_once(':').is_some_and(|(name, _)| !name.ends_with(':'));
    Ok(if has_port && !host.ends_with(']') { host.to_owned() } else { format!("{host}:5432") })
}

/// What stands before the host, the host with its port, and what stands after it.
fn split(url: &str) -> anyhow::Result<(&str, &str, &str)> {
    let scheme = url.find("://").context("an address has a scheme")? + 3;
    let end = url[scheme..].find(['/', '?']).map_or(url.len(), |at| scheme + at);
    let begin = url[scheme..end].rfind('@').map_or(scheme, |at| scheme + at + 1);
    let host = &url[begin..end];
    let one = !host.is_empty() && !host.contains(',') && !url[end..].contains("host");
    anyhow::ensure!(one, "a slow way leads to one host, which stands before the database's name");
    Ok((&url[..begin], host, &url[end..]))
}

/// Passes all of `from` on, each chunk `delay` after it came.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, delay: Duration) {
    let (send, mut due) = unbounded_channel::<(std::time::Instant, Vec<u8>)>();
    let take = async move {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            if send.send((now() + delay, chunk[..length].to_vec())).is_err() {
                break;
            }
        }
    };
    let give = async move {
        while let Some((at, chunk)) = due.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        // Who is gone already needs no end.
        let _ = to.shutdown().await;
    };
    tokio::join!(take, give);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn the_host_is_found_and_replaced() {
        for (url, expected) in [
            ("postgres://a:b@h:1/x", "h:1"),
            ("postgres://h", "h:5432"),
            ("postgres://a@[::1]/x?sslmode=disable", "[::1]:5432"),
        ] {
            assert_eq!(host(url).unwrap(), expected);
        }
        assert!(host("postgres://h,i/x").is_err());
        let link = SlowLink::to("127.0.0.1:9".to_owned(), Duration::ZERO).unwrap();
        let through = link.instead_of_host("postgres://a:b@h:1/x?sslmode=disable").unwrap();
        let expected = format!("postgres://a:b@{}/x?sslmode=disable", link.address);
        assert_eq!(through, expected);
    }

    #[test]
    fn all_bytes_come_through() {
        let echo = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = echo.local_addr().unwrap().to_string();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = echo.accept().unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let link = SlowLink::to(place, Duration::from_millis(20)).unwrap();
        let mut stream = std::net::TcpStream::connect(link.address).unwrap();
        let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        stream.write_all(&sent).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert_eq!(back, sent);
        echo.join().unwrap();
    }
}
