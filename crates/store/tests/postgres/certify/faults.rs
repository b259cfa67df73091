//! Connections that break and backends that are ended: what was answered is there once, what was
//! not is there once or not at all, and nothing needs a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::time::Duration;

use tongjang_cluster::{Cluster, Proxy};
use tongjang_core::{
    AccountId, AccountNumber, Amount, Bank, Caller, Command, Currency, Event, Fingerprint,
    IdempotencyKey, Memo, Metadata, Rejection, Request, Status, Timestamp, UserId,
};
use tongjang_store::postgres::{Counts, Passwords, PoolLimits, Postgres, Target, verify};
use tongjang_store::{
    Answer, Chance, Messenger, Reader, StoreError, Teller, TellerLimits, TellerThread,
};

use crate::certify::tellers::{RUNTIME, new_ledger, open};

const ALICE: UserId = UserId::from_bits(0xa11ce << 64 | 5);

/// How often something is asked for, or looked at, that has to be so in the end.
pub(crate) const TRIES: u32 = 12_000;

/// Tellers on the ledger at an address, and a clock.
pub(crate) struct Desk {
    postgres: Postgres,
    teller: Teller,
    thread: Option<TellerThread>,
    ticks: AtomicU64,
}

impl Desk {
    pub(crate) fn at(url: &str, tellers: usize, first_tick: u64) -> Self {
        let target = Target::new(url, &Passwords::default()).unwrap();
        let postgres = RUNTIME.block_on(Postgres::open(target, PoolLimits::default())).unwrap();
        let stores = (0..tellers).map(|_| postgres.teller().unwrap()).collect();
        let messenger: Messenger = Arc::new(|deliver| deliver());
        let started = Teller::start_shared(stores, TellerLimits::default(), &messenger);
        let (teller, thread) = started.unwrap();
        Self { postgres, teller, thread: Some(thread), ticks: AtomicU64::new(first_tick) }
    }

    fn request(&self, key: Option<&str>, command: Command) -> Request {
        let tick = self.ticks.fetch_add(1, SeqCst);
        let key = key.map(|key| (IdempotencyKey::new(key).unwrap(), Fingerprint::of(&command)));
        Request {
            caller: Caller::owner(ALICE),
            at: Timestamp::from_micros(1_795_338_000_000_000 + i64::try_from(tick).unwrap()),
            nonce: tick.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            key,
            expected_version: None,
            command,
        }
    }

    pub(crate) fn ask(&self, key: Option<&str>, command: Command) -> Result<Answer, StoreError> {
        let request = self.request(key, command);
        let (tell, told) = channel();
        let reply = Box::new(move |answer| tell.send(answer).unwrap());
        self.teller.submit(request, reply).unwrap();
        told.recv().unwrap()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.postgres.counters().counts()
    }

    /// The balance of an account that is there.
    pub(crate) fn look(&self, account: AccountId) -> Result<i128, StoreError> {
        let found = self.postgres.reader().account(account)?;
        Ok(found.expect("it was opened").balance().minor())
    }

    /// Asks until there is an answer, but not for ever.
    pub(crate) fn insist(&self, key: &str, command: &Command) -> Answer {
        for _ in 0..TRIES {
            match self.ask(Some(key), command.clone()) {
                Ok(answer) => return answer,
                Err(error) => assert!(error.chance() != Chance::Never, "{error}"),
            }
        }
        panic!("{key} is not answered");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.close();
        }
    }
}

pub(crate) fn opening(number: &str) -> Command {
    Command::Open {
        owner: ALICE,
        currency: Currency::KRW,
        bank: Bank::new("088").unwrap(),
        number: AccountNumber::new(number).unwrap(),
        number_made: false,
    }
}

pub(crate) fn deposit(account: AccountId, minor: i128) -> Command {
    let (memo, metadata) = (Memo::new("급여").unwrap(), Metadata::EMPTY);
    Command::Deposit { account, amount: Amount::new(minor).unwrap(), memo, metadata }
}

fn withdraw(account: AccountId, minor: i128) -> Command {
    let (memo, metadata) = (Memo::new("월세").unwrap(), Metadata::EMPTY);
    Command::Withdraw { account, amount: Amount::new(minor).unwrap(), memo, metadata }
}

pub(crate) fn opened(answer: &Answer) -> AccountId {
    match &answer.outcome {
        Ok(Event::Opened(opening)) => opening.account.id,
        other => panic!("not opened: {other:?}"),
    }
}

pub(crate) fn balance(desk: &Desk, account: AccountId) -> i128 {
    desk.look(account).unwrap()
}

#[test]
fn a_lost_answer_to_a_commit_is_found_whatever_was_committed() {
    let database = new_ledger(2);
    let proxy = Proxy::before(Cluster::shared());
    let desk = Desk::at(&proxy.url(&database), 1, 1);

    // The first account of a currency locks nothing, so nobody can wait for the lost commit's end.
    proxy.cut_after(b"COMMIT");
    let first = desk.ask(Some("open"), opening("1"));
    assert!(matches!(first, Err(StoreError::Unknown { .. })), "{first:?}");
    let first = desk.insist("open", &opening("1"));
    assert!(first.replayed, "it had been committed");
    let account = opened(&first);

    let frozen = |status| Command::ChangeStatus { account, status };
    let steps = [
        (None, opening("2")),
        (None, deposit(account, 100)),
        (Some("paid"), withdraw(account, 30)),
        (Some("refused"), withdraw(account, 1000)),
        (None, frozen(Status::Frozen)),
        (None, frozen(Status::Open)),
    ];
    for (nth, (key, command)) in steps.into_iter().enumerate() {
        // The COMMIT arrives and its answer does not; and then the other way round.
        let again = match &command {
            Command::Open { .. } => opening("3"),
            other => other.clone(),
        };
        let again_key = key.map(|key| format!("{key}-again"));
        for (key, command, arrives) in
            [(key.map(str::to_owned), command, true), (again_key, again, false)]
        {
            let caught = proxy.caught();
            if arrives {
                proxy.cut_after(b"COMMIT")
            } else {
                proxy.cut_before(b"COMMIT")
            }
            let answer = desk.ask(key.as_deref(), command.clone()).unwrap();
            assert_eq!(proxy.caught(), caught + 1, "step {nth}: a connection was cut");
            assert!(!answer.replayed, "step {nth}: {answer:?}");
            match (&command, &answer.outcome) {
                (Command::Withdraw { .. }, Err(Rejection::InsufficientFunds { .. })) => {
                    assert_eq!(nth, 3);
                }
                (_, outcome) => assert!(outcome.is_ok(), "step {nth}: {outcome:?}"),
            }
            if let Some(key) = key {
                let replayed = desk.ask(Some(&key), command).unwrap();
                assert_eq!(replayed, Answer { replayed: true, ..answer });
            }
        }
    }
    assert_eq!(balance(&desk, account), 200 - 60);
    let counts = desk.counts();
    assert_eq!((counts.broken, counts.unknown), (13, 1));
    verify::verify(&desk.postgres, |_| ()).unwrap();
}

/// Deposits by several threads over two sets of tellers while `harm` is done, and what is left.
pub(crate) fn under_load(url: &str, harm: impl FnOnce(&AtomicU64)) {
    let desks = [Desk::at(url, 2, 1 << 40), Desk::at(url, 2, 1 << 41)];
    let accounts: Vec<AccountId> = (0..3)
        .map(|n| opened(&desks[0].insist(&format!("open-{n}"), &opening(&format!("{n}")))))
        .collect();
    let answered = AtomicU64::new(0);
    const EACH: u64 = 60;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (desks, accounts, answered) = (&desks, &accounts, &answered);
            scope.spawn(move || {
                for n in 0..EACH {
                    let account = accounts[(n % 3) as usize];
                    let (key, command) = (format!("{thread}-{n}"), deposit(account, 7));
                    let answer = desks[(n % 2) as usize].insist(&key, &command);
                    // The other server says the same.
                    let same = desks[(1 - n % 2) as usize].insist(&key, &command);
                    assert_eq!(same.outcome, answer.outcome);
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        harm(&answered);
    });
    let sum: i128 = accounts.iter().map(|account| balance(&desks[0], *account)).sum();
    assert_eq!(sum, i128::from(4 * EACH * 7), "each was booked once");
    verify::verify(&desks[0].postgres, |_| ()).unwrap();
}

#[test]
fn backends_that_are_ended_under_load_lose_and_double_nothing() {
    let database = new_ledger(3);
    let cluster = Cluster::shared();
    under_load(database.url(), |answered| {
        let mut ended = 0;
        // Long enough for a new connection to come to something.
        let pause = Duration::from_millis(if database.has_citus() { 300 } else { 15 });
        for _ in 0..TRIES {
            if answered.load(SeqCst) >= 200 {
                break;
            }
            for backend in cluster.backends(&database, Some("tongjang teller")) {
                // One that was ended a moment ago may still be listed.
                ended += u32::from(cluster.terminate_backend(backend));
            }
            std::thread::sleep(pause);
        }
        assert!(ended > 5, "only {ended} were there to be ended");
    });
}

#[test]
fn what_the_database_refuses_does_no_harm_to_what_came_with_it() {
    let database = new_ledger(1);
    let postgres = open(&database).unwrap();
    let desk = Desk::at(database.url(), 1, 1);
    let accounts: Vec<AccountId> =
        (0..3).map(|n| opened(&desk.ask(None, opening(&format!("{n}"))).unwrap())).collect();
    Cluster::shared().execute(
        &database,
        "ALTER TABLE tongjang.entries ADD CONSTRAINT evil CHECK (amount <> 666)",
    );
    let (tell, told) = channel();
    for (n, (account, minor)) in accounts.iter().zip([5, 666, 7]).cycle().take(30).enumerate() {
        let request = Request {
            caller: Caller::owner(ALICE),
            at: Timestamp::from_micros(1_795_338_100_000_000 + n as i64),
            nonce: 0xbad << 32 | n as u64,
            key: None,
            expected_version: None,
            command: deposit(*account, minor),
        };
        let tell = tell.clone();
        let reply = Box::new(move |answer: Result<Answer, StoreError>| {
            tell.send((minor, answer)).unwrap();
        });
        desk.teller.submit(request, reply).unwrap();
    }
    for (minor, answer) in told.iter().take(30) {
        match answer {
            Err(error) => assert_eq!((minor, error.chance()), (666, Chance::Never), "{error}"),
            Ok(answer) => assert!(minor != 666 && answer.outcome.is_ok(), "{minor}: {answer:?}"),
        }
    }
    let left: Vec<i128> = accounts.iter().map(|account| balance(&desk, *account)).collect();
    assert_eq!(left, [50, 0, 70]);
    assert_eq!(postgres.counters().counts().broken, 0);
}

/// How long answers are waited for.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_somebody_holds_is_waited_for_once_and_not_by_everyone_who_needs_it() {
    let database = new_ledger(1);
    let desk = Desk::at(database.url(), 1, 1);
    let mut opened = (0..2).map(|n| opened(&desk.ask(None, opening(&format!("{n}"))).unwrap()));
    let (held, free) = (opened.next().unwrap(), opened.next().unwrap());
    let stranger = RUNTIME.block_on(async {
        let connected = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await;
        let (stranger, connection) = connected.unwrap();
        tokio::spawn(connection);
        let lock = "BEGIN; SELECT FROM tongjang.accounts WHERE number = '0' FOR UPDATE";
        stranger.batch_execute(lock).await.unwrap();
        stranger
    });
    // The first is booked at once, and most of the others are one batch by then.
    let (tell, told) = channel();
    for n in 0..30 {
        let account = if n % 2 == 0 { free } else { held };
        let tell = tell.clone();
        let reply = Box::new(move |answer| tell.send((account, answer)).unwrap());
        desk.teller.submit(desk.request(None, deposit(account, 1)), reply).unwrap();
    }
    for _ in 0..30 {
        let (account, answer) = told.recv_timeout(PATIENCE).expect("nobody waits for long");
        match answer {
            Ok(answer) => assert!(account == free && answer.outcome.is_ok(), "{answer:?}"),
            Err(error) => assert_eq!((account, error.chance()), (held, Chance::Held), "{error}"),
        }
    }
    // By each batch, and by the first by itself who needs the account.
    let waited = desk.counts().again;
    assert!((2..8).contains(&waited), "{waited} times it was waited for");
    // From then on hardly at all: eight times would be longer than anybody has patience for.
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..8 {
                let error = desk.ask(None, deposit(held, 1)).unwrap_err();
                assert_eq!(error.chance(), Chance::Held, "{error}");
            }
            tell.send(()).unwrap();
        });
        told.recv_timeout(PATIENCE).expect("it is not waited for each time");
    });
    desk.insist("meanwhile", &deposit(free, 1));
    drop(stranger);
    desk.insist("after", &deposit(held, 1));
    assert_eq!((balance(&desk, held), balance(&desk, free)), (1, 16));
}
