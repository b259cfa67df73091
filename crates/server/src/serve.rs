//! The running server: it opens the data, listens, and stops without losing an answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tongjang_store::disk::{Disk, RealDisk};
use tongjang_store::journal::log::LogConfig;
use tongjang_store::journal::{Journal, JournalConfig, Opening};
use tongjang_store::{Messenger, StoreError, Teller, TellerLimits, TellerThread};

use crate::api::{BatchLimits, Bounds};
use crate::app::{App, AppState, Clock, Random};
use crate::auth::Auth;
use crate::config::Config;
use crate::database::{Database, DatabaseError};
use crate::directory::{Directory, DirectoryError};
use crate::edge::Edge;
use crate::ledger::{Ledger, LedgerReader};
use crate::telemetry::Telemetry;

/// How long a caller may take, and a stop; and how a new journal is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// For the header of a connection's first request.
    pub header: Duration,
    /// For a connection to be idle, and for the header of its next request to arrive.
    pub idle: Duration,
    /// For a whole request, from its header to that of its answer.
    pub request: Duration,
    /// For the requests in flight when the server stops.
    pub stop: Duration,
    /// How long the segments of a new journal are.
    pub segment_bytes: u64,
    /// How much the teller takes on.
    pub teller: TellerLimits,
    /// How many batches there may be at once.
    pub batches: BatchLimits,
    /// How many connections there may be at once, unless the process may open too few files for so
    /// many; others wait until one of them is closed.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            header: seconds(10),
            // Longer than the minute for which proxies keep their connections, so that it is them
            // who close one, and never while a request is on its way.
            idle: seconds(75),
            request: seconds(30),
            stop: seconds(30),
            segment_bytes: LogConfig::default().segment_bytes,
            teller: TellerLimits::default(),
            batches: BatchLimits::default(),
            connections: 16_384,
        }
    }
}

/// What the server finds around itself. The default is the machine; a test brings its own.
#[derive(Clone)]
pub struct Surroundings {
    /// The time of day.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// The disk that the journal is on.
    pub disk: Arc<dyn Disk>,
    /// How much of everything.
    pub limits: Limits,
}

impl Default for Surroundings {
    fn default() -> Self {
        let (clock, random) = (Clock::system(), Random::system());
        Self { clock, random, disk: Arc::new(RealDisk::default()), limits: Limits::default() }
    }
}

/// So many connections wait to be taken.
const BACKLOG: u32 = 1024;
/// How long a peer may be silent until he is asked whether he is there.
const PEER_SILENT: Duration = Duration::from_secs(60);
/// How long after that he is asked again.
const PEER_ASKED_EVERY: Duration = Duration::from_secs(10);
/// How often he is asked in vain until he is taken for gone.
const PEER_ASKED_TIMES: u32 = 6;

/// The most bytes of a request's header.
const HEADER_BYTES: usize = 64 * 1024;
/// The most header fields of a request.
const HEADER_FIELDS: usize = 64;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made.
    #[error("cannot make {path}: {source}")]
    Data {
        /// The folder.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another ledger was only copied into it in part.
    #[error(
        "the copy into {path} is not finished; run the same `tongjang copy` again, which goes on \
         with it"
    )]
    Unfinished {
        /// The folder.
        path: String,
    },
    /// The directory of users cannot be opened.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The ledger cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A server that runs. Dropping it abandons it; [`stop`](Self::stop) ends it in order.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    app: AppState,
    teller: TellerThread,
    stopping: watch::Sender<bool>,
    listening: JoinHandle<()>,
}

impl Server {
    /// Opens what `config` names and listens.
    ///
    /// # Errors
    /// If the data cannot be opened or the address cannot be listened on.
    pub async fn start(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        let limits = surroundings.limits;
        // An address that is taken leaves no new folder behind; and until the ledger is open,
        // callers are turned away and do not wait.
        let listen = |source| StartError::Listen { address: config.listen, source };
        let socket = bound(config.listen).map_err(listen)?;
        let Opened { teller, thread, reader, directory, database } =
            match config.ledger.database(&config.serving).await? {
                None => open_journal(&config.ledger.data, &surroundings)?,
                Some(database) => open_database(database, limits).await?,
            };
        let Surroundings { clock, random, .. } = surroundings;
        let listener = socket.listen(BACKLOG).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let telemetry = Arc::new(Telemetry::new());
        let (stopping, stop) = watch::channel(false);
        let app = Arc::new(App {
            auth: Auth::new(&random, directory.is_shared()),
            batches: Bounds::new(limits.batches),
            ledger: Ledger::new(teller, reader, telemetry.clone(), database),
            telemetry,
            config,
            directory,
            clock,
            random,
            stopping: stop.clone(),
        });
        let (router, routes) = crate::api::service(app.clone());
        let edge = Arc::new(Edge::new(app.clone(), router, &routes, limits.request));
        let listening = tokio::spawn(listen_until(stop, listener, edge, limits));
        tokio::spawn(tidy(app.clone(), stopping.subscribe()));
        Ok(Self { address, app, teller: thread, stopping, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its parts.
    pub fn app(&self) -> &AppState {
        &self.app
    }

    /// Whether the teller is gone without having been asked to: nothing more can be booked.
    pub fn has_failed(&self) -> bool {
        self.teller.is_finished()
    }

    /// Listens no longer, answers what is in flight, makes all of it durable and closes the store.
    ///
    /// # Errors
    /// What the store failed at, now or earlier.
    pub async fn stop(self) -> Result<(), StoreError> {
        self.stopping.send_replace(true);
        if self.listening.await.is_err() {
            tracing::error!("the listener panicked");
        }
        let closed = tokio::task::spawn_blocking(move || self.teller.close()).await;
        closed.unwrap_or_else(|_| Err(StoreError::Poisoned { cause: "closing panicked".into() }))
    }
}

/// What stands behind the server: the ledger and those who use it.
struct Opened {
    teller: Teller,
    thread: TellerThread,
    reader: LedgerReader,
    directory: Directory,
    database: Option<Database>,
}

/// Opens the journal and the directory in `data`.
fn open_journal(data: &Path, surroundings: &Surroundings) -> Result<Opened, StartError> {
    make_data_directory(data)?;
    let mut config = JournalConfig::new(data, surroundings.random.bytes());
    config.disk = surroundings.disk.clone();
    config.log.segment_bytes = surroundings.limits.segment_bytes;
    let (store, reader, opening) = Journal::open(config)?;
    report(&opening, data);
    let directory = Directory::open(data)?;
    let (teller, thread) = Teller::start_with(store, surroundings.limits.teller, messenger())?;
    Ok(Opened { teller, thread, reader: LedgerReader::Journal(reader), directory, database: None })
}

/// The same for a ledger in a database.
async fn open_database(database: Database, limits: Limits) -> Result<Opened, StartError> {
    let directory = database.directory().await?;
    let (stores, reader) = (database.stores()?, database.postgres.reader());
    let tellers = stores.len();
    let (teller, thread) = Teller::start_shared(stores, limits.teller, &messenger())?;
    let (store, parts) = (database.store(), database.postgres.parts().count());
    tracing::info!(%store, parts, tellers, "the ledger is open");
    let (reader, database) = (LedgerReader::Postgres(reader), Some(database));
    Ok(Opened { teller, thread, reader, directory, database })
}

/// Gives answers out on the runtime's own threads: waking the handlers from one of these is cheaper
/// than from the store's.
fn messenger() -> Messenger {
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |deliver| {
        runtime.spawn(async move { deliver() });
    })
}

/// A socket that has the address and does not listen yet.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As `TcpListener::bind` does: a server that was just stopped may start again. Elsewhere than
    // on Unix it would let two servers have the address.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The file that is in a folder as long as a copy into it is not finished.
pub(crate) const UNFINISHED: &str = "UNFINISHED-COPY";

/// Makes the folder, unless a copy into it is to be finished first.
pub(crate) fn make_data_directory(path: &Path) -> Result<(), StartError> {
    check_whole(path)?;
    make_folder(path)
}

/// Refuses a folder into which a copy is not finished.
pub(crate) fn check_whole(path: &Path) -> Result<(), StartError> {
    match path.join(UNFINISHED).exists() {
        true => Err(StartError::Unfinished { path: path.display().to_string() }),
        false => Ok(()),
    }
}

/// Makes the folder, for its owner's eyes only.
pub(crate) fn make_folder(path: &Path) -> Result<(), StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|source| StartError::Data { path: path.display().to_string(), source })
}

/// Says in the log what was found, above all what was not as it should be.
fn report(opening: &Opening, data: &Path) {
    let (accounts, events_replayed) = (opening.accounts, opening.recovered.events);
    let store = data.display();
    tracing::info!(accounts, events_replayed, %store, "the ledger is open");
    for error in &opening.unusable {
        tracing::warn!(%error, "a snapshot is of no use; the journal was read from farther back");
    }
    if let Some(torn) = &opening.recovered.torn {
        let (path, offset, bytes) = (torn.path.display(), torn.offset, torn.bytes);
        tracing::warn!(%path, offset, bytes, "a write that was never answered was cut off");
    }
}

async fn tidy(app: AppState, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = ticks.tick() => app.telemetry.tidy(),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// How many connections leave the store the files that it has to open: three of eight, where it
/// takes four for its queries.
fn most_connections() -> usize {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(most / 8 * 3).unwrap_or(usize::MAX)
}

/// Lets the process open as many files as it may be allowed to. Where that fails it goes on with
/// what it has, and takes fewer connections.
pub(crate) fn open_more_files() {
    let limit = getrlimit(Resource::Nofile);
    let more = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, more) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn listen_until(
    mut stop: watch::Receiver<bool>,
    listener: TcpListener,
    edge: Arc<Edge>,
    limits: Limits,
) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_FIELDS);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES).expect("64 KiB fits"))
        .max_concurrent_streams(256)
        .keep_alive_interval(Duration::from_secs(20));
    let http = Arc::new(http);
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections.min(most_connections()).max(1)));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place.expect("nobody closes the semaphore"), listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (http, edge) = (http.clone(), edge.clone());
                let served = connection(stream, peer.ip(), http, edge, open.watcher(), limits);
                tokio::spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Most likely no file is left to open; some of them are closed soon.
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.stop, open.shutdown()).await.is_err() {
        tracing::warn!("some requests were still in flight when the time to stop was up");
    }
}

/// Has the kernel ask a peer who is silent whether he is still there: a stream of commands may
/// pause for as long as it likes, and one whose machine lost power would be kept for ever.
fn keep_asking(stream: &TcpStream) -> rustix::io::Result<()> {
    use rustix::net::sockopt;

    sockopt::set_tcp_keepidle(stream, PEER_SILENT)?;
    sockopt::set_tcp_keepintvl(stream, PEER_ASKED_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, PEER_ASKED_TIMES)?;
    sockopt::set_socket_keepalive(stream, true)
}

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    http: Arc<auto::Builder<TokioExecutor>>,
    edge: Arc<Edge>,
    watcher: hyper_util::server::graceful::Watcher,
    limits: Limits,
) {
    // An answer is one small packet: waiting to fill it only makes the caller wait.
    let _ = stream.set_nodelay(true);
    // Without it the connection is kept all the same, only longer than it should be.
    let _ = keep_asking(&stream);
    let asked = Arc::new(AtomicBool::new(false));
    let mark = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        mark.store(true, Relaxed);
        let edge = edge.clone();
        async move { edge.answer(request, peer).await }
    });
    let served = http.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut served = std::pin::pin!(watcher.watch(served));
    // hyper waits without end for the first bytes, from which it tells HTTP/1 and HTTP/2 apart.
    // `asked` is set once a whole header is there.
    let first = tokio::time::timeout(limits.header, served.as_mut()).await;
    if first.is_err() && asked.load(Relaxed) {
        // How a connection ends is the caller's affair.
        let _ = served.await;
    }
}
