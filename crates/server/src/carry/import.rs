//! Lines into a ledger: each is given a key, decided, and made durable with thousands of others.
//!
//! The import stands where otherwise the teller stands: it owns the store and decides by the
//! teller's own code. For it has to know the id of an account as soon as the account is opened,
//! and not only once that is durable, as the next line may book on it.

use std::collections::{HashMap, HashSet};

use tongjang_core::{
    AccountId, Bank, Book, Caller, Command, Event, Fingerprint, IdempotencyKey, Rejection, Request,
    UserId,
};
use tongjang_store::teller::answer;
use tongjang_store::{Answer, Store, StoreError};

use super::fields::{Fields, MADE_KEY};
use super::line::{Called, Line, Named, Order};
use crate::api::opening::{ATTEMPTS, HOUSE_BANK, made_up};
use crate::app::{Clock, Random};
use crate::problem::{Code, Problem, Text};

/// So many lines are made durable together.
const BATCH: usize = 8_192;

/// Whose keys the keys of imports are. No caller over HTTP is ever this user, so none of his keys
/// stands for a line, and none of theirs is in a line's way.
pub(super) const SCOPE: UserId = UserId::LEDGER;

/// The name under which the lines of a file are known again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// One that somebody chose. All lines go by it, also those that an export named.
    Named(String),
    /// The hash of the file. Lines that an export named go by that name, whatever file they are
    /// in.
    File(String),
    /// None: only lines that are named go by a name.
    None,
}

impl Job {
    /// The most characters of a job's name.
    pub(crate) const MAX_CHARS: usize = 100;

    /// The job of this name, or `None` if it is empty, too long or not visible ASCII.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let sound = (1..=Self::MAX_CHARS).contains(&name.len())
            && name.bytes().all(|letter| letter.is_ascii_graphic());
        sound.then(|| Self::Named(name.to_owned()))
    }

    /// The key of the `nth` row, which may be named by `identity`. A job may have slashes in it;
    /// neither of these has one, so that what is after the last slash tells rows of a job apart.
    fn key(&self, nth: u64, identity: Option<&str>) -> Option<IdempotencyKey> {
        let key = match (self, identity) {
            (Self::Named(job), Some(identity)) => format!("{MADE_KEY}{job}/{identity}"),
            (Self::Named(job) | Self::File(job), None) => format!("{MADE_KEY}{job}/{nth}"),
            (Self::File(_) | Self::None, Some(identity)) => format!("{MADE_KEY}{identity}"),
            (Self::None, None) => return None,
        };
        Some(IdempotencyKey::new(&key).expect("a job's name is visible ASCII, and not long"))
    }
}

/// What was made of the rows so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// All that were read.
    pub(crate) rows: u64,
    /// Those that booked, opened or changed something.
    pub(crate) booked: u64,
    /// Those that an earlier run had done.
    pub(crate) there: u64,
    /// Those that were refused.
    pub(crate) refused: u64,
}

/// A row as it was read.
pub(crate) struct Row {
    /// The accounts that it calls as earlier runs knew them.
    known: Vec<(String, AccountId)>,
    opens: Option<Called>,
    calls: Vec<String>,
    line: Result<Line, Problem>,
}

impl Row {
    /// The row that has these fields.
    pub(crate) fn of(fields: Result<Fields, Problem>) -> Self {
        let (mut known, mut opens, mut calls) = (Vec::new(), None, Vec::new());
        if let Ok(fields) = &fields {
            known.clone_from(&fields.known);
            opens = fields.opens();
            calls.extend(fields.calls().map(str::to_owned));
        }
        Self { known, opens, calls, line: fields.and_then(Fields::read) }
    }

    /// What it says.
    pub(super) fn line(&self) -> Option<&Line> {
        self.line.as_ref().ok()
    }
}

/// Where rows are imported to.
pub(crate) trait Importing {
    /// How many rows are best given at once.
    const ROWS: usize;

    /// Does what the rows say, each or not, and tells why not; a row that was refused changed
    /// nothing. With `stop`, nothing is done after the first that is refused, and no more is told.
    ///
    /// # Errors
    /// What the store failed at; nothing more is taken in then.
    fn rows(&mut self, rows: &[Row], stop: bool) -> Result<Vec<Result<(), Problem>>, StoreError>;

    /// Whether each of the rows, which come next, is known again by a key if it was done.
    fn all_have_keys(&self, rows: &[Row]) -> bool;

    /// What was made of the rows so far. It is durable once [`finish`](Self::finish) returns.
    fn tally(&self) -> Tally;

    /// Who was made the owner of something.
    fn owners(&self) -> &HashSet<UserId>;

    /// The accounts that the row calls as earlier lines did which opened them.
    fn known(&self, row: &Row) -> Vec<(String, AccountId)>;

    /// Makes durable what is not so yet, and closes the store.
    ///
    /// # Errors
    /// What the store failed at, now or earlier.
    fn finish(self) -> Result<Tally, StoreError>;
}

/// An import into `store`: the real one, or one that only rehearses.
pub(crate) struct Import<S> {
    pub(super) store: S,
    /// Whether what rows touch is loaded before they are done, many at once.
    pub(super) is_shared: bool,
    /// Accounts by bank and bare number, where the store has them at hand only during a batch.
    pub(super) places: HashMap<(Bank, String), AccountId>,
    /// What is to be put back if rows must be done again.
    pub(super) before: Vec<Before>,
    job: Job,
    owner: Option<UserId>,
    clock: Clock,
    random: Random,
    /// From what the file calls accounts to the ids of those that its lines opened.
    accounts: HashMap<Called, AccountId>,
    /// What the file calls accounts that its lines were to open and did not.
    opened_not: HashSet<Called>,
    /// Who was made the owner of something.
    owners: HashSet<UserId>,
    waiting: usize,
    pub(super) tally: Tally,
}

/// What was before something was changed.
pub(super) enum Before {
    Account(Called, Option<AccountId>),
    OpenedNot(Called),
    Owner(UserId),
}

impl<S: Store> Importing for Import<S> {
    const ROWS: usize = 1;

    fn rows(&mut self, rows: &[Row], stop: bool) -> Result<Vec<Result<(), Problem>>, StoreError> {
        let mut done = Vec::with_capacity(rows.len());
        for row in rows {
            done.push(self.row(row)?);
            if stop && done.last().is_some_and(Result::is_err) {
                break;
            }
        }
        if !self.is_shared {
            self.before.clear();
        }
        Ok(done)
    }

    fn all_have_keys(&self, rows: &[Row]) -> bool {
        let mut numbered = rows.iter().zip(self.tally.rows + 1..);
        numbered.all(|(row, nth)| row.line().is_none_or(|line| self.key(nth, line).is_some()))
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn owners(&self) -> &HashSet<UserId> {
        &self.owners
    }

    fn known(&self, row: &Row) -> Vec<(String, AccountId)> {
        let known = row.calls.iter().filter_map(|name| {
            let id = self.accounts.get(&Called::read(name)?)?;
            Some((name.clone(), *id))
        });
        known.collect()
    }

    fn finish(self) -> Result<Tally, StoreError> {
        self.store.close()?;
        Ok(self.tally)
    }
}

impl<S: Store> Import<S> {
    /// An import that gives accounts whose line names no owner to `owner`.
    pub(crate) fn new(store: S, job: Job, owner: Option<UserId>) -> Self {
        let (clock, random) = (Clock::system(), Random::system());
        Self {
            store,
            is_shared: false,
            places: HashMap::new(),
            before: Vec::new(),
            job,
            owner,
            clock,
            random,
            accounts: HashMap::new(),
            opened_not: HashSet::new(),
            owners: HashSet::new(),
            waiting: 0,
            tally: Tally::default(),
        }
    }

    fn row(&mut self, row: &Row) -> Result<Result<(), Problem>, StoreError> {
        self.tally.rows += 1;
        self.take_known(row);
        let done = match &row.line {
            Ok(line) => self.line(line)?,
            Err(problem) => Err(problem.clone()),
        };
        match &done {
            Ok(true) => self.tally.there += 1,
            Ok(false) => self.tally.booked += 1,
            Err(_) => {
                self.tally.refused += 1;
                if let Some(opens) = &row.opens
                    && self.opened_not.insert(opens.clone())
                {
                    self.before.push(Before::OpenedNot(opens.clone()));
                }
            }
        }
        Ok(done.map(|_| ()))
    }

    /// Takes in what the row knows of accounts.
    pub(super) fn take_known(&mut self, row: &Row) {
        for (name, id) in &row.known {
            if let Some(called) = Called::read(name)
                && !self.accounts.contains_key(&called)
            {
                self.call(called, *id);
            }
        }
    }

    fn call(&mut self, called: Called, id: AccountId) {
        let before = self.accounts.insert(called.clone(), id);
        self.before.push(Before::Account(called, before));
    }

    /// Puts back what the rows changed that were not committed.
    pub(super) fn undo(&mut self, tally: Tally) {
        self.tally = tally;
        while let Some(before) = self.before.pop() {
            match before {
                Before::Account(called, Some(id)) => _ = self.accounts.insert(called, id),
                Before::Account(called, None) => _ = self.accounts.remove(&called),
                Before::OpenedNot(called) => _ = self.opened_not.remove(&called),
                Before::Owner(owner) => _ = self.owners.remove(&owner),
            }
        }
    }

    /// The key of the `nth` row.
    pub(super) fn key(&self, nth: u64, line: &Line) -> Option<IdempotencyKey> {
        line.key.clone().or_else(|| self.job.key(nth, line.identity.as_deref()))
    }

    /// Does what the line says, and tells whether that had been done before.
    fn line(&mut self, line: &Line) -> Result<Result<bool, Problem>, StoreError> {
        let key = self.key(self.tally.rows, line);
        let command = match self.command(line) {
            Ok(command) => command,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut answer = self.ask(command, key.clone())?;
        // A number that we made up may be taken; one that the line names is refused then.
        for _ in 1..ATTEMPTS {
            let taken = answer.outcome == Err(Rejection::AccountNumberTaken);
            let Order::Open { number: None, .. } = &line.order else { break };
            if !taken {
                break;
            }
            let Ok(command) = self.command(line) else { break };
            answer = self.ask(command, key.clone())?;
        }
        let replayed = answer.replayed;
        match answer.outcome {
            Err(rejection) => return Ok(Err(refused(rejection, replayed))),
            Ok(Event::Opened(opening)) => {
                let owner = opening.account.owner;
                if self.owners.insert(owner) {
                    self.before.push(Before::Owner(owner));
                }
                if let Order::Open { account: Some(named), .. } = &line.order {
                    self.call(named.clone(), opening.account.id);
                }
            }
            Ok(_) => {}
        }
        Ok(Ok(replayed))
    }

    /// Has the command decided, and what waits made durable where it is time.
    fn ask(&mut self, command: Command, key: Option<IdempotencyKey>) -> Result<Answer, StoreError> {
        let request = self.request(command, key);
        if self.is_shared {
            return answer(self.store.book(), &request);
        }
        if self.waiting == BATCH || self.store.is_full() {
            // If this fails the store is poisoned, and the next call says so.
            self.store.commit(Box::new(|_| ()))?;
            self.waiting = 0;
        }
        self.store.load(&[&request])?;
        self.waiting += 1;
        answer(self.store.book(), &request)
    }

    pub(super) fn request(&self, command: Command, key: Option<IdempotencyKey>) -> Request {
        Request {
            caller: Caller::operator(SCOPE),
            at: self.clock.now(),
            nonce: self.random.nonce(),
            key: key.map(|key| (key, Fingerprint::of(&command))),
            expected_version: None,
            command,
        }
    }

    pub(super) fn command(&mut self, line: &Line) -> Result<Command, Problem> {
        let exported = line.identity.is_some();
        Ok(match line.order.clone() {
            Order::Open { account, owner, currency, bank, number } => {
                if let Some(name @ Called::Name(_)) = &account
                    && self.accounts.contains_key(name)
                {
                    let text = Text::fixed(
                        "is what a line above calls another account",
                        "위에서 다른 계좌에 쓴 이름입니다",
                    );
                    return Err(Problem::invalid("/account", text));
                }
                let owner = owner.or(self.owner).ok_or_else(|| {
                    let text = Text::fixed(
                        "is missing, and no --owner was given",
                        "없고, --owner도 주어지지 않았습니다",
                    );
                    Problem::invalid("/owner_id", text)
                })?;
                let bank = bank.unwrap_or_else(|| {
                    Bank::new(HOUSE_BANK).expect("the house's own name is a bank's")
                });
                let number_made = number.is_none();
                let number = number.unwrap_or_else(|| made_up(self.random.nonce()));
                Command::Open { owner, currency, bank, number, number_made }
            }
            Order::Deposit { account, amount, memo, metadata } => {
                let account = self.find(&account, exported, "/account")?;
                Command::Deposit { account, amount, memo, metadata }
            }
            Order::Withdraw { account, amount, memo, metadata } => {
                let account = self.find(&account, exported, "/account")?;
                Command::Withdraw { account, amount, memo, metadata }
            }
            Order::Transfer { from, to, amount, memo, to_memo, metadata } => {
                let from = self.find(&from, exported, "/from_account")?;
                let to = self.find(&to, exported, "/to_account")?;
                Command::Transfer { from, to, amount, memo, to_memo, metadata }
            }
            Order::ChangeStatus { account, status } => {
                let account = self.find(&account, exported, "/account")?;
                Command::ChangeStatus { account, status }
            }
        })
    }

    /// The account that is meant. Whether there is one of that id is for the rules to say.
    ///
    /// An id that the file uses for an account of its own never falls through to this ledger's
    /// account of that id. Else an export that is imported into the ledger it comes from, where
    /// its openings are refused as their numbers are taken, would book everything once more.
    pub(super) fn find(
        &mut self,
        named: &Named,
        exported: bool,
        pointer: &str,
    ) -> Result<AccountId, Problem> {
        let not_found = |text| Err(Problem::new(Code::NotFound).error(pointer, text));
        match named {
            Named::Called(called) => match (self.accounts.get(called), called) {
                (Some(opened), _) => Ok(*opened),
                (None, _) if self.opened_not.contains(called) => not_found(Text::fixed(
                    "names an account whose opening was refused",
                    "개설이 거절된 계좌입니다",
                )),
                (None, Called::Name(_)) => not_found(Text::fixed(
                    "is no account's id, and no line above opens an account that is called so",
                    "계좌 id가 아니고, 위에서 그 이름으로 개설한 계좌도 없습니다",
                )),
                (None, Called::Id(_)) if exported => not_found(Text::fixed(
                    "names an account that no line above opens, and a line of an export is booked \
                     on no other",
                    "위에서 개설하지 않은 계좌입니다. 내보낸 줄은 그런 계좌에 기록하지 않습니다",
                )),
                (None, Called::Id(id)) => Ok(*id),
            },
            Named::Place(bank, number) => {
                let looked_up = || self.places.get(&(bank.clone(), number.bare())).copied();
                let found =
                    looked_up().or_else(|| self.store.book().account_by_number(bank, number));
                found.ok_or_else(|| {
                    let text = Text::fixed("names no account", "해당하는 계좌가 없습니다");
                    Problem::new(Code::NotFound).error(pointer, text)
                })
            }
        }
    }
}

fn refused(rejection: Rejection, replayed: bool) -> Problem {
    if let Rejection::IdempotencyKeyReused { fields } = &rejection {
        let fields = fields.join(", ");
        let text = Text::new(
            format!("An earlier run did this row as another one; it differs in: {fields}."),
            format!("전에 다른 내용으로 처리한 행입니다. 다른 항목: {fields}."),
        );
        return Problem::from(rejection).detail(text);
    }
    Problem::from(rejection).replayed(replayed)
}
