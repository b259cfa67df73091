//! A line between a client and a server that a test can cut at the worst moment.
//!
//! What it is for: a commit whose answer never arrives, of which the client must not guess whether
//! it was done.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::cluster::Cluster;
use crate::database::Database;

/// What the server says last when it has answered all and no transaction is open:
/// `ReadyForQuery`, idle.
const IDLE: &[u8] = b"Z\0\0\0\x05I";

/// Forwards every connection to its port to the server's, until it is told otherwise. Dropped, it
/// cuts all and listens no more.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
}

/// One of the two ways.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From clients to the server: what is asked.
    ToServer,
    /// From the server to clients: what is answered.
    ToClient,
}

/// What all its threads share.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    /// Wakes whoever is held.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    ended: bool,
    held: Vec<Direction>,
    trap: Option<Trap>,
    caught: u64,
    connections: Vec<Arc<Connection>>,
}

/// What to look for among the bytes to the server.
#[derive(Debug)]
struct Trap {
    pattern: Vec<u8>,
    then: Then,
}

/// What becomes of the connection that sends the pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// It is cut: when the server has answered, or before the server has got it. Whether the line
    /// is closed then, too.
    Cut { delivered: bool, closed: bool },
    /// From then on nothing goes either way.
    Hold,
}

/// A client and its connection to the server.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    flow: Mutex<Flow>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flow {
    Open,
    /// The trap has caught it: the client hears nothing any more, and as soon as the server has
    /// answered it is cut. Whether the line is closed then, too.
    Caught {
        closed: bool,
    },
    Cut,
}

impl Proxy {
    /// A line to the server on this port of 127.0.0.1, which need not be there yet.
    pub fn to(server_port: u16) -> Self {
        Self::between(("127.0.0.1".to_owned(), server_port))
    }

    /// A line to the server of `cluster`, whoever's it is.
    #[track_caller]
    pub fn before(cluster: &Cluster) -> Self {
        Self::between(cluster.address())
    }

    fn between(server: (String, u16)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("127.0.0.1 has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let line = Arc::new(Line::default());
        let accepting = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.state().ended {
                    break;
                }
                // Without a server, or while it is closed, the client is let go at once.
                let _ = connect(&accepting, client, &server);
            }
        });
        Self { port, line }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of `database` by this line.
    pub fn url(&self, database: &Database) -> String {
        by_way_of(database.url(), &format!("127.0.0.1:{}", self.port))
    }

    /// Cuts all connections at once. New ones are taken.
    pub fn cut(&self) {
        self.line.state().cut();
        self.line.changed.notify_all();
    }

    /// Cuts all connections and takes no new one until [`Proxy::open`].
    pub fn close(&self) {
        self.line.state().closed = true;
        self.cut();
    }

    /// Takes connections again.
    pub fn open(&self) {
        self.line.state().closed = false;
    }

    /// From now on nothing goes this way; it is kept, and goes on by [`Proxy::release`]. Nobody is
    /// told: it is what a network looks like that has lost a cable.
    pub fn hold(&self, direction: Direction) {
        self.line.state().hold(direction);
    }

    /// Lets everything go on.
    pub fn release(&self) {
        self.line.state().held.clear();
        self.line.changed.notify_all();
    }

    /// The next time that a client sends `pattern`, the server gets and answers it, the client
    /// hears nothing of that, and its connection is cut.
    ///
    /// The server counts as having answered when it is idle outside of a transaction, so this is
    /// for what ends one. What a client has sent before the pattern should be answered by then.
    pub fn cut_after(&self, pattern: &[u8]) {
        self.trap(pattern, Then::Cut { delivered: true, closed: false });
    }

    /// The next time that a client sends `pattern`, its connection is cut before the server has
    /// got it whole. The client cannot tell this from [`Proxy::cut_after`].
    pub fn cut_before(&self, pattern: &[u8]) {
        self.trap(pattern, Then::Cut { delivered: false, closed: false });
    }

    /// As [`Proxy::cut_after`], and by then the line is closed as by [`Proxy::close`].
    pub fn close_after(&self, pattern: &[u8]) {
        self.trap(pattern, Then::Cut { delivered: true, closed: true });
    }

    /// As [`Proxy::cut_before`], and by then the line is closed as by [`Proxy::close`].
    pub fn close_before(&self, pattern: &[u8]) {
        self.trap(pattern, Then::Cut { delivered: false, closed: true });
    }

    /// The next time that a client sends `pattern`, everything is held both ways, with that.
    pub fn hold_before(&self, pattern: &[u8]) {
        self.trap(pattern, Then::Hold);
    }

    fn trap(&self, pattern: &[u8], then: Then) {
        self.line.state().trap = Some(Trap { pattern: pattern.to_vec(), then });
    }

    /// How often something was cut or held because of what a client sent.
    pub fn caught(&self) -> u64 {
        self.line.state().caught
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.state().ended = true;
        self.cut();
        // Wakes the thread that accepts, so that it sees the end.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when bytes may go this way, or the connection is cut.
    fn wait(&self, direction: Direction, connection: &Connection) {
        let mut state = self.state();
        while state.held.contains(&direction) && connection.flow() != Flow::Cut {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Cuts one connection because of what it sent, and all if the line is `closed` as well.
    fn catch(&self, connection: &Connection, closed: bool) {
        let mut state = self.state();
        state.caught += 1;
        if closed {
            state.closed = true;
            state.cut();
        }
        connection.cut();
        self.changed.notify_all();
    }
}

impl Connection {
    fn flow(&self) -> Flow {
        *self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, flow: Flow) {
        *self.flow.lock().unwrap_or_else(PoisonError::into_inner) = flow;
    }

    fn cut(&self) {
        self.set(Flow::Cut);
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

/// `url` with another host and port.
fn by_way_of(url: &str, place: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let end = url[begin..].find(['/', '?']).map_or(url.len(), |at| begin + at);
    // Who comes there, and how he proves it.
    let host = url[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    format!("{}{place}{}", &url[..host], &url[end..])
}

fn connect(line: &Arc<Line>, client: TcpStream, (host, port): &(String, u16)) -> io::Result<()> {
    let server = TcpStream::connect((host.as_str(), *port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let connection = Arc::new(Connection { client, server, flow: Mutex::new(Flow::Open) });
    {
        let mut state = line.state();
        if state.closed || state.ended {
            return Ok(());
        }
        state.connections.retain(|connection| connection.flow() != Flow::Cut);
        state.connections.push(Arc::clone(&connection));
    }
    for pump in [questions, answers] {
        let (line, connection) = (Arc::clone(line), Arc::clone(&connection));
        thread::spawn(move || {
            // An end of one side is the end of both.
            let _ = pump(&line, &connection);
            connection.cut();
        });
    }
    Ok(())
}

/// From the client to the server.
fn questions(line: &Line, connection: &Connection) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    // The last bytes that went, in case a pattern begins in them.
    let mut seen = Vec::new();
    loop {
        let length = (&connection.client).read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&buffer[..length]);
        let sprung = line.state().sprung(&mut seen);
        match sprung {
            Some(Then::Cut { delivered: true, closed }) => connection.set(Flow::Caught { closed }),
            Some(Then::Cut { delivered: false, closed }) => {
                line.catch(connection, closed);
                return Ok(());
            }
            Some(Then::Hold) | None => {}
        }
        line.wait(Direction::ToServer, connection);
        (&connection.server).write_all(&buffer[..length])?;
    }
}

/// From the server to the client.
fn answers(line: &Line, connection: &Connection) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut unheard = Vec::new();
    loop {
        let length = (&connection.server).read(&mut buffer)?;
        if let Flow::Caught { closed } = connection.flow() {
            unheard.extend_from_slice(&buffer[..length]);
            if length == 0 || unheard.ends_with(IDLE) {
                line.catch(connection, closed);
                return Ok(());
            }
            continue;
        }
        if length == 0 {
            return Ok(());
        }
        line.wait(Direction::ToClient, connection);
        (&connection.client).write_all(&buffer[..length])?;
    }
}

impl State {
    fn cut(&mut self) {
        self.connections.drain(..).for_each(|connection| connection.cut());
    }

    fn hold(&mut self, direction: Direction) {
        if !self.held.contains(&direction) {
            self.held.push(direction);
        }
    }

    /// What to do if the pattern is among the bytes `seen`, of which only as many are kept as may
    /// be its beginning. The trap then is used up; one that holds does so at once.
    fn sprung(&mut self, seen: &mut Vec<u8>) -> Option<Then> {
        let longest = self.trap.as_ref().map_or(0, |trap| trap.pattern.len().saturating_sub(1));
        let found = |trap: &Trap| seen.windows(trap.pattern.len()).any(|part| part == trap.pattern);
        let sprung = self.trap.take_if(|trap| found(trap)).map(|trap| trap.then);
        seen.drain(..seen.len().saturating_sub(longest));
        if sprung == Some(Then::Hold) {
            self.caught += 1;
            self.hold(Direction::ToServer);
            self.hold(Direction::ToClient);
        }
        sprung
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_wherever_the_bytes_are_split() {
        let bytes = b"BEGIN;COMMIT;";
        for at in 0..bytes.len() {
            let then = Then::Cut { delivered: true, closed: false };
            let trap = Some(Trap { pattern: b"COMMIT".to_vec(), then });
            let mut state = State { trap, ..State::default() };
            let mut seen = Vec::new();
            let mut sprung = Vec::new();
            for part in [&bytes[..at], &bytes[at..], b"COMMIT"] {
                seen.extend_from_slice(part);
                sprung.extend(state.sprung(&mut seen));
                assert!(seen.len() < 6, "{at}: {seen:?}");
            }
            assert_eq!(sprung, [then], "{at}");
        }
    }

    #[test]
    fn an_address_keeps_all_but_its_place() {
        for (url, expected) in [
            ("postgres://a:b@host:26257/t?x=/y@z", "postgres://a:b@127.0.0.1:7/t?x=/y@z"),
            ("postgresql://host/t", "postgresql://127.0.0.1:7/t"),
        ] {
            assert_eq!(by_way_of(url, "127.0.0.1:7"), expected);
        }
    }
}
