//! Counts wrong passwords, per username and per client address, and says when it is enough.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use parking_lot::Mutex;
use tongjang_core::Timestamp;

use crate::problem::{Code, Problem};

/// Wrong passwords for one username before it has to wait.
const PER_USERNAME: u32 = 10;
/// Wrong passwords from one client before it has to wait; many people may share an address.
const PER_CLIENT: u32 = 50;
/// For how long they count, from the first one on.
const WINDOW_SECONDS: i64 = 300;
/// How many usernames, and how many clients, are counted at once.
const ROOM: usize = 65_536;

/// Where a request came from, as far as it matters for counting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The client at `address`. Of an IPv6 address the first 64 bits count: that is the least
    /// that one customer of a provider gets (RFC 6177).
    pub fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(six) => {
                let network = u128::from(six) >> 64 << 64;
                Self(IpAddr::V6(network.into()))
            }
            four => Self(four),
        }
    }
}

/// Counts wrong passwords. Each server counts those that were sent to it: of a directory that
/// several servers share, so many more passwords may be tried.
#[derive(Debug, Default)]
pub struct Throttle {
    usernames: Mutex<Counts<String>>,
    clients: Mutex<Counts<ClientAddress>>,
}

impl Throttle {
    /// Takes an attempt in: it counts as a wrong one until [`succeeded`](Self::succeeded) says
    /// otherwise, so that attempts made at once are not all let through.
    ///
    /// # Errors
    /// 429 `rate-limited`, with the time to wait.
    pub fn attempt(
        &self,
        username: &str,
        client: ClientAddress,
        now: Timestamp,
    ) -> Result<(), Problem> {
        self.clients.lock().count(client, PER_CLIENT, now)?;
        self.usernames.lock().count(username.to_owned(), PER_USERNAME, now)
    }

    /// The attempt was none of the wrong ones, and the username starts afresh.
    pub fn succeeded(&self, username: &str, client: ClientAddress) {
        self.usernames.lock().0.remove(username);
        self.clients.lock().give_back(&client);
    }

    /// The attempt was never decided, so it is not counted.
    pub fn undecided(&self, username: &str, client: ClientAddress) {
        self.usernames.lock().give_back(username);
        self.clients.lock().give_back(&client);
    }
}

#[derive(Debug)]
struct Counts<K>(HashMap<K, Count>);

#[derive(Clone, Copy, Debug)]
struct Count {
    attempts: u32,
    until: Timestamp,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Counts<K> {
    fn give_back<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: std::borrow::Borrow<Q>,
    {
        if let Some(count) = self.0.get_mut(key) {
            count.attempts = count.attempts.saturating_sub(1);
        }
    }

    fn count(&mut self, key: K, most: u32, now: Timestamp) -> Result<(), Problem> {
        if self.0.len() >= ROOM {
            self.0.retain(|_, count| now < count.until);
        }
        if self.0.len() >= ROOM && !self.0.contains_key(&key) {
            return Err(Problem::new(Code::RateLimited).retry_after(60));
        }
        let until = Timestamp::from_micros(now.micros() + WINDOW_SECONDS * 1_000_000);
        let count = self.0.entry(key).or_insert(Count { attempts: 0, until });
        if now >= count.until {
            *count = Count { attempts: 0, until };
        }
        if count.attempts >= most {
            let seconds = (count.until.micros() - now.micros()) / 1_000_000 + 1;
            let seconds = u32::try_from(seconds).expect("a window is some minutes");
            return Err(Problem::new(Code::RateLimited).retry_after(seconds));
        }
        count.attempts += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientAddress {
        ClientAddress::new(text.parse().unwrap())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn a_username_waits_after_ten_wrong_passwords_and_another_does_not() {
        let throttle = Throttle::default();
        for _ in 0..PER_USERNAME {
            assert_eq!(throttle.attempt("kim", client("192.0.2.1"), at(0)), Ok(()));
        }
        let refused = throttle.attempt("kim", client("192.0.2.2"), at(1)).unwrap_err();
        assert_eq!(refused, Problem::new(Code::RateLimited).retry_after(300));
        assert_eq!(throttle.attempt("lee", client("192.0.2.1"), at(1)), Ok(()));
        assert_eq!(throttle.attempt("kim", client("192.0.2.1"), at(300)), Ok(()));
    }

    #[test]
    fn the_right_password_starts_the_count_afresh() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            assert_eq!(throttle.attempt("kim", client("192.0.2.1"), at(0)), Ok(()));
            throttle.succeeded("kim", client("192.0.2.1"));
        }
    }

    #[test]
    fn an_attempt_that_was_never_decided_does_not_count() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            assert_eq!(throttle.attempt("kim", client("192.0.2.1"), at(0)), Ok(()));
            throttle.undecided("kim", client("192.0.2.1"));
        }
    }

    #[test]
    fn a_client_that_tries_many_usernames_waits() {
        let throttle = Throttle::default();
        for number in 0..PER_CLIENT {
            let user = number.to_string();
            assert_eq!(throttle.attempt(&user, client("2001:db8::1"), at(0)), Ok(()));
        }
        assert!(throttle.attempt("x", client("2001:db8::2"), at(0)).is_err(), "the same network");
        assert!(throttle.attempt("x", client("2001:db8:0:1::1"), at(0)).is_ok());
    }
}
