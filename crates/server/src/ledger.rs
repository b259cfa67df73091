//! The way from a handler to the ledger: commands go to the teller, queries to the reader.

mod ledger_reader;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tongjang_core::{Account, AccountId, AccountNumber, Bank, Command, Opened, Request, UserId};
use tongjang_store::{Answer, Brief, BundleReply, Reader as _, StoreError, Teller, Together};

pub use self::ledger_reader::LedgerReader;
use crate::database::Database;
use crate::problem::{Code, Problem, Text};
use crate::telemetry::Telemetry;

/// How many queries may be under way at once for each core, which may each wait for the disk; more
/// of them wait for their turn. Many more would take the cores from those who book.
const QUERIES_A_CORE: usize = 4;

/// How long a batch waits for its place at the teller's before it is sent away.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a call waits for what the database says of itself, of which others may be waiting too.
const PROBED: Duration = Duration::from_secs(4);

/// The ledger, for the handlers. Cloning it is cheap.
#[derive(Clone)]
pub struct Ledger {
    teller: Teller,
    reader: LedgerReader,
    queries: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    /// A permit for each request that may be with the teller in a bundle.
    bundles: Arc<Semaphore>,
    room: u32,
    telemetry: Arc<Telemetry>,
    database: Option<Database>,
}

impl Ledger {
    /// The ledger behind `teller`, read through `reader`, and the database that it is in, if it is
    /// in one.
    pub(crate) fn new(
        teller: Teller,
        reader: LedgerReader,
        telemetry: Arc<Telemetry>,
        database: Option<Database>,
    ) -> Self {
        let room = u32::try_from(teller.room_for_bundles()).unwrap_or(u32::MAX).max(1);
        let bundles = Arc::new(Semaphore::new(room as usize));
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // A database has cores of its own, and only so many connections.
        let at_once = match &database {
            Some(database) => database.postgres.pool_status().max_size,
            None => cores * QUERIES_A_CORE,
        };
        let queries = Arc::new(Semaphore::new(at_once));
        let probes = Arc::new(Semaphore::new(1));
        Self { teller, reader, queries, probes, bundles, room, telemetry, database }
    }

    /// Has `request` decided and made durable. A refusal by the rules is an answer too.
    ///
    /// # Errors
    /// 503, if it was not taken in, or if the store failed and its outcome is unknown.
    pub async fn perform(&self, request: Request) -> Result<Answer, Problem> {
        let (answered, answer) = oneshot::channel();
        let telemetry = self.telemetry.clone();
        let reply = move |outcome: Result<Answer, StoreError>| {
            // Here and not by the caller, who may be gone though the money has moved.
            if let Ok(answer) = &outcome {
                telemetry.answered(answer);
            }
            // A caller who is gone finds the outcome by his key.
            let _ = answered.send(outcome);
        };
        self.teller.submit(request, Box::new(reply))?;
        match answer.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Problem::new(Code::StoreUnavailable)),
        }
    }

    /// Waits until `count` requests may be handed to the teller at once. Who comes first is served
    /// first; more than there can ever be room for go in when nobody else is there.
    pub async fn place_for(&self, count: usize) -> Place {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.room);
        let permit = self.bundles.clone().acquire_many_owned(count).await;
        Place(permit.expect("nobody closes the semaphore"))
    }

    /// The same for who is told rather than kept waiting.
    ///
    /// # Errors
    /// 503 `overloaded`, if there is no place after a moment.
    pub async fn place_for_now(&self, count: usize) -> Result<Place, Problem> {
        let place = tokio::time::timeout(PATIENCE, self.place_for(count)).await;
        place.map_err(|_| Problem::new(Code::Overloaded))
    }

    /// Hands `requests` to the teller, to be decided one after another. What is received is what
    /// came of each, `whole` or in brief, when all of it is durable; nothing is, if the teller died
    /// before.
    ///
    /// # Errors
    /// 503, and none was taken in.
    pub fn hand_in(
        &self,
        requests: Vec<Request>,
        whole: bool,
        place: Place,
    ) -> Result<oneshot::Receiver<Answers>, Problem> {
        let (answered, answers) = oneshot::channel();
        let telemetry = self.telemetry.clone();
        // In both cases, a caller who is gone finds the outcomes by his keys.
        let reply = match whole {
            false => BundleReply::Brief(Box::new(move |outcomes| {
                telemetry.answered_all(&outcomes);
                drop(place);
                let _ = answered.send(Answers::Brief(outcomes));
            })),
            true => BundleReply::Whole(Box::new(move |outcomes| {
                outcomes.iter().flatten().for_each(|answer| telemetry.answered(answer));
                drop(place);
                let _ = answered.send(Answers::Whole(outcomes));
            })),
        };
        self.teller.submit_bundle(requests, reply)?;
        Ok(answers)
    }

    /// What the keys of `openings` stand for already, asked without anything being opened: an
    /// account, or a refusal where a key is new or stands for another command.
    ///
    /// # Errors
    /// As [`perform`](Self::perform).
    pub async fn opened_before(
        &self,
        mut openings: Vec<Request>,
        place: Place,
    ) -> Result<Vec<Answer>, Problem> {
        for request in &mut openings {
            // A key is looked up, with its fingerprint, before any rule is asked. The rules open
            // nothing in the ledger's own name, and such a refusal is kept under no key.
            if let Command::Open { owner, .. } = &mut request.command {
                *owner = UserId::LEDGER;
            }
        }
        let (answered, answers) = oneshot::channel();
        let reply = BundleReply::Whole(Box::new(move |outcomes| {
            drop(place);
            let _ = answered.send(outcomes);
        }));
        self.teller.submit_bundle(openings, reply)?;
        let answers = answers.await.map_err(|_| Problem::new(Code::StoreUnavailable))?;
        Ok(answers.into_iter().collect::<Result<_, StoreError>>()?)
    }

    /// Has all of `requests` booked, or none of them.
    ///
    /// # Errors
    /// As [`perform`](Self::perform).
    pub async fn perform_together(
        &self,
        requests: Vec<Request>,
        place: Place,
    ) -> Result<Together, Problem> {
        let (answered, answer) = oneshot::channel();
        let telemetry = self.telemetry.clone();
        let reply = move |outcome: Result<Together, StoreError>| {
            match &outcome {
                Ok(Together::All(answers)) => {
                    answers.iter().for_each(|answer| telemetry.answered(answer));
                }
                Ok(Together::None { rejection, replayed, .. }) => {
                    let outcome = Err(rejection.clone());
                    telemetry.answered(&Answer { outcome, replayed: *replayed });
                }
                Ok(Together::TooLarge) | Err(_) => {}
            }
            drop(place);
            let _ = answered.send(outcome);
        };
        self.teller.submit_together(requests, Box::new(reply))?;
        match answer.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Problem::new(Code::StoreUnavailable)),
        }
    }

    /// The reader, if it has every account and number in memory and may be asked for those on an
    /// async thread.
    pub(crate) fn at_once(&self) -> Option<&LedgerReader> {
        self.reader.has_accounts_in_memory().then_some(&self.reader)
    }

    /// The account `id`, where it stands now.
    ///
    /// # Errors
    /// 503, if the store fails.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, Problem> {
        match self.at_once() {
            Some(reader) => Ok(reader.account(id)?),
            None => self.query(move |reader| reader.account(id)).await,
        }
    }

    /// What the accounts `ids` were opened as, each in its place. It is asked of a database once.
    ///
    /// # Errors
    /// 503, if the store fails.
    pub async fn openings(&self, ids: Vec<AccountId>) -> Result<Vec<Option<Arc<Opened>>>, Problem> {
        match (self.at_once(), self.reader.openings_at_hand(&ids)) {
            (Some(reader), _) => Ok(reader.openings(&ids)?),
            (None, Some(known)) => Ok(known),
            (None, None) => self.query(move |reader| reader.openings(&ids)).await,
        }
    }

    /// The account with this number in this bank, hyphens and case aside.
    ///
    /// # Errors
    /// 503, if the store fails.
    pub async fn account_by_number(
        &self,
        bank: &Bank,
        number: &AccountNumber,
    ) -> Result<Option<AccountId>, Problem> {
        if let Some(reader) = self.at_once() {
            return Ok(reader.account_by_number(bank, number)?);
        }
        let (bank, number) = (bank.clone(), number.clone());
        self.query(move |reader| reader.account_by_number(&bank, &number)).await
    }

    /// The accounts `ids`, each in its place; the store is asked once for all of them.
    ///
    /// # Errors
    /// 503, if the store fails.
    pub async fn accounts(&self, ids: Vec<AccountId>) -> Result<Vec<Option<Account>>, Problem> {
        match self.at_once() {
            Some(reader) => Ok(reader.accounts_by_id(&ids)?),
            None if ids.is_empty() => Ok(Vec::new()),
            None => self.query(move |reader| reader.accounts_by_id(&ids)).await,
        }
    }

    /// Asks the reader what may take a disk, off the async threads.
    ///
    /// # Errors
    /// What the store failed at.
    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&LedgerReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        Self::apart(&self.queries, &self.reader, ask).await
    }

    /// Asks the reader on a thread that may wait, when there is a permit.
    async fn apart<T: Send + 'static>(
        permits: &Arc<Semaphore>,
        reader: &LedgerReader,
        ask: impl FnOnce(&LedgerReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = permits.clone().acquire_owned().await;
        let permit = permit.expect("nobody closes the semaphore");
        let reader = reader.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            ask(&reader)
        });
        match answer.await {
            Ok(answer) => Ok(answer?),
            // The edge catches a panic of a handler and answers 500; this one ran elsewhere.
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Problem::new(Code::ShuttingDown)),
            },
        }
    }

    /// The database that it is in, if it is in one.
    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// How many requests wait for the teller.
    pub fn waiting(&self) -> usize {
        self.teller.waiting()
    }

    /// How many batches the teller took in.
    pub fn batches(&self) -> u64 {
        self.teller.batches()
    }

    /// Whether a commit can be expected to succeed.
    ///
    /// # Errors
    /// 503, with the store's reason in the log.
    pub async fn ready(&self) -> Result<(), Problem> {
        self.teller.ready()?;
        let ready = match self.at_once() {
            Some(reader) => reader.ready().map_err(Problem::from),
            None => self.probe().await,
        };
        ready.map_err(|problem| {
            problem.detail(Text::fixed(
                "The store does not take bookings; the log says why.",
                "저장소가 거래를 받지 않습니다. 이유는 로그에 있습니다.",
            ))
        })
    }

    /// Asks the database, one call after another and apart from the queries.
    async fn probe(&self) -> Result<(), Problem> {
        let asked = Self::apart(&self.probes, &self.reader, |reader| reader.ready());
        tokio::time::timeout(PROBED, asked).await.unwrap_or_else(|_| {
            tracing::error!("the database does not say in time whether it is ready");
            Err(Problem::new(Code::StoreUnavailable))
        })
    }
}

/// What came of each request of a bundle, in their order.
#[derive(Debug)]
pub enum Answers {
    /// All of it.
    Whole(Vec<Result<Answer, StoreError>>),
    /// What was made.
    Brief(Vec<Result<Brief, StoreError>>),
}

/// A place at the teller's for some requests; dropped, it is free again.
#[derive(Debug)]
pub struct Place(
    #[expect(dead_code, reason = "it is held, and never looked at")] OwnedSemaphorePermit,
);

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
