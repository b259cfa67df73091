//! A ledger in a folder of its own, with a teller in front, for the tests of the journal.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use tempfile::TempDir;
use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Event, Fingerprint,
    IdempotencyKey, Memo, Metadata, Rejection, Request, Timestamp, Transaction, UserId,
};
use tongjang_store::journal::log::LogConfig;
use tongjang_store::journal::{Journal, JournalConfig, JournalReader, Opening};
use tongjang_store::{
    Answer, EntryFilter, EntryPage, EntryQuery, Order, Reader, Row, Teller, TellerLimits,
    TellerThread,
};

/// A teller over a journal, and a clock that steps by a millisecond.
pub(crate) struct Ledger {
    dir: TempDir,
    segment_bytes: u64,
    snapshot_every: u64,
    open: Option<Open>,
    now: i64,
    nonce: u64,
}

struct Open {
    teller: Teller,
    thread: TellerThread,
    reader: JournalReader,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self::with_segments(256 << 10)
    }

    pub(crate) fn with_segments(segment_bytes: u64) -> Self {
        Self::with(segment_bytes, u64::MAX / 2)
    }

    pub(crate) fn with_snapshots_every(snapshot_every: u64) -> Self {
        Self::with(256 << 10, snapshot_every)
    }

    fn with(segment_bytes: u64, snapshot_every: u64) -> Self {
        let dir = TempDir::new().unwrap();
        let (now, nonce) = (1_000_000, 0);
        let mut ledger = Self { dir, segment_bytes, snapshot_every, open: None, now, nonce };
        ledger.start();
        ledger
    }

    pub(crate) fn config(&self) -> JournalConfig {
        let log = LogConfig { segment_bytes: self.segment_bytes, ..LogConfig::default() };
        let snapshot_every = self.snapshot_every;
        JournalConfig { log, snapshot_every, ..JournalConfig::new(self.dir.path(), [7; 16]) }
    }

    fn start(&mut self) -> Opening {
        let (journal, reader, opening) = Journal::open(self.config()).unwrap();
        let (teller, thread) = Teller::start(journal, TellerLimits::default()).unwrap();
        self.open = Some(Open { teller, thread, reader });
        opening
    }

    /// Goes on with a copy of the files as they are now, as if the process had been killed.
    pub(crate) fn crash_and_restart(&mut self) -> Opening {
        let files = |dir: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect()
        };
        let copy = TempDir::new().unwrap();
        let from = self.dir.path();
        std::fs::create_dir(copy.path().join("journal")).unwrap();
        for path in files(from).into_iter().chain(files(&from.join("journal"))) {
            if path.is_file() {
                let to = copy.path().join(path.strip_prefix(from).unwrap());
                std::fs::copy(&path, to).unwrap();
            }
        }
        self.open.take().unwrap().thread.close().unwrap();
        self.dir = copy;
        self.start()
    }

    /// Whether a snapshot was written.
    pub(crate) fn has_snapshot(&self) -> bool {
        let mut files = std::fs::read_dir(self.dir.path()).unwrap();
        files.any(|file| file.unwrap().file_name().to_string_lossy().starts_with("snapshot-"))
    }

    /// Closes and opens the ledger again; not `clean`, the snapshots are lost in between.
    pub(crate) fn restart(&mut self, clean: bool) {
        self.open.take().unwrap().thread.close().unwrap();
        if !clean {
            for file in std::fs::read_dir(self.dir.path()).unwrap() {
                let path = file.unwrap().path();
                if path.to_string_lossy().contains("snapshot-") {
                    std::fs::remove_file(path).unwrap();
                }
            }
        }
        self.start();
    }

    pub(crate) fn reader(&self) -> &JournalReader {
        &self.open.as_ref().unwrap().reader
    }

    /// Hands in all requests at once and waits for all answers.
    pub(crate) fn perform(&mut self, requests: Vec<Request>) -> Vec<Answer> {
        let (reply, answers) = mpsc::channel();
        let count = requests.len();
        for (nth, request) in requests.into_iter().enumerate() {
            let reply = reply.clone();
            let done = Box::new(move |answer: Result<Answer, _>| {
                reply.send((nth, answer.unwrap())).unwrap();
            });
            self.open.as_ref().unwrap().teller.submit(request, done).unwrap();
        }
        let mut answers: Vec<_> = answers.iter().take(count).collect();
        answers.sort_by_key(|(nth, _)| *nth);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    pub(crate) fn request(&mut self, user: u128, key: Option<&str>, command: Command) -> Request {
        self.now += 1_000;
        self.nonce += 1;
        Request {
            caller: Caller::owner(UserId::from_bits(user)),
            at: Timestamp::from_micros(self.now),
            nonce: self.nonce,
            key: key.map(|key| (IdempotencyKey::new(key).unwrap(), Fingerprint::of(&command))),
            expected_version: None,
            command,
        }
    }

    pub(crate) fn one(&mut self, user: u128, key: Option<&str>, command: Command) -> Answer {
        let request = self.request(user, key, command);
        self.perform(vec![request]).remove(0)
    }

    pub(crate) fn open_account(&mut self, user: u128) -> AccountId {
        let command = Command::Open {
            owner: UserId::from_bits(user),
            currency: Currency::KRW,
            bank: Bank::new("088").unwrap(),
            number: AccountNumber::new(&format!("110-{}", self.nonce)).unwrap(),
            number_made: false,
        };
        match self.one(user, None, command).outcome {
            Ok(Event::Opened(opening)) => opening.account.id,
            other => panic!("the account was not opened: {other:?}"),
        }
    }

    pub(crate) fn book(&mut self, user: u128, command: Command) -> Result<Transaction, Rejection> {
        match self.one(user, None, command).outcome? {
            Event::Booked(booked) => Ok(booked.transaction),
            other => panic!("nothing was booked: {other:?}"),
        }
    }

    pub(crate) fn entries(&self, query: &EntryQuery) -> EntryPage {
        self.reader().entries(query).unwrap()
    }

    /// All rows of an account.
    pub(crate) fn rows(&self, account: AccountId, order: Order) -> Vec<Row> {
        let filter = EntryFilter::all(account);
        let (limit, scan_limit) = (usize::MAX, usize::MAX);
        self.entries(&EntryQuery { filter, order, after: None, offset: 0, limit, scan_limit }).rows
    }
}

pub(crate) fn deposit(account: AccountId, amount: i128, memo: &str) -> Command {
    let (amount, memo) = (Amount::new(amount).unwrap(), Memo::new(memo).unwrap());
    Command::Deposit { account, amount, memo, metadata: Metadata::EMPTY }
}

pub(crate) fn withdraw(account: AccountId, amount: i128, memo: &str) -> Command {
    let (amount, memo) = (Amount::new(amount).unwrap(), Memo::new(memo).unwrap());
    Command::Withdraw { account, amount, memo, metadata: Metadata::EMPTY }
}
