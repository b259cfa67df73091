//! A chunk of a batch: lines that go to the teller as one bundle, and what became of each.

use std::collections::HashSet;

use tokio::sync::oneshot;
use tongjang_core::{AccountId, Command, Fingerprint, IdempotencyKey, Request, Timestamp, UserId};

use super::command::{self, Movement, Opening, Order, To, Transfer, What};
use super::fast;
use super::lines::{LONGEST_LINE, Line};
use super::named::Named;
use crate::api::opening::made_up;
use crate::api::transfers::unknown;
use crate::app::AppState;
use crate::auth::{Caller, SecretHash, still};
use crate::config::Deposits;
use crate::ledger::{Answers, Place};
use crate::problem::{Code, Problem, Text};

/// A refused line counts for so many bytes more than it has: what it was refused for is kept until
/// it is told.
const REFUSED_BYTES: usize = 512;

/// So many users are remembered to exist.
const KNOWN_USERS: usize = 10_000;

/// A line as far as it has come.
pub(super) enum Fate {
    /// It was asked of the teller.
    Asked(Op, AccountId),
    /// There is nothing in it, so nothing is answered.
    Empty,
    /// It was refused before.
    Refused(Problem),
}

/// The family of a command, from which it is told where in the line an account is named that the
/// rules do not find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Open,
    Movement,
    Transfer,
}

/// An account to be opened, and what is to be seen to before and after it.
pub(super) struct Asked {
    /// Its place among the requests.
    pub(super) index: usize,
    pub(super) owner: UserId,
    pub(super) nonce: u64,
    /// Its label.
    pub(super) name: Option<String>,
    /// The request, if its number was made up, and another one is made where that is taken.
    pub(super) request: Option<Request>,
}

/// Lines that go to the teller as one bundle.
#[derive(Default)]
pub(super) struct Chunk {
    pub(super) fates: Vec<Fate>,
    pub(super) requests: Vec<Request>,
    pub(super) opens: Vec<Asked>,
    /// About how many bytes it takes: those of the lines, and more for what was refused.
    pub(super) bytes: usize,
}

impl Chunk {
    /// An empty chunk that takes so many lines without growing.
    pub(super) fn with_room_for(lines: usize) -> Self {
        let (fates, requests) = (Vec::with_capacity(lines), Vec::with_capacity(lines));
        Self { fates, requests, ..Self::default() }
    }

    /// How many lines are in it.
    pub(super) fn lines(&self) -> usize {
        self.fates.len()
    }

    /// Takes a line in as refused.
    pub(super) fn refuse(&mut self, problem: Problem) {
        self.bytes += REFUSED_BYTES;
        self.fates.push(Fate::Refused(problem));
    }

    /// Refuses all that has not been asked yet.
    pub(super) fn refuse_all(&mut self, problem: &Problem) {
        for fate in &mut self.fates {
            if let Fate::Asked(..) = fate {
                *fate = Fate::Refused(problem.clone());
            }
        }
        self.requests.clear();
        self.opens.clear();
    }

    /// Settles what is not deterministic: one time for all, and 64 random bits for each.
    pub(super) fn stamp(&mut self, app: &AppState) {
        let (at, nonces) = (app.clock.now(), app.random.nonces(self.requests.len()));
        for (request, nonce) in self.requests.iter_mut().zip(nonces) {
            (request.at, request.nonce) = (at, nonce);
        }
        for asked in &mut self.opens {
            let request = &self.requests[asked.index];
            asked.nonce = request.nonce;
            let made = matches!(request.command, Command::Open { number_made: true, .. });
            asked.request = made.then(|| request.clone());
        }
    }
}

/// Why an order cannot be taken in yet.
pub(super) enum Held {
    /// It is to be asked whether there is this user.
    Owner(UserId),
    /// It pays to a number that no account has, but one may be opened by a line before it.
    Place,
    /// The store was not asked yet for the accounts that it names.
    Unasked,
}

/// An order that cannot be taken in yet.
pub(super) struct Waits {
    pub(super) why: Held,
    pub(super) order: Order,
}

/// The account that a transfer goes to.
enum Found {
    Account(AccountId),
    /// There is none.
    None,
    /// It, or the one that pays, is to be asked for first.
    Unasked,
}

/// Turns lines into requests, for one caller.
pub(super) struct Clerk {
    pub(super) app: AppState,
    pub(super) caller: Caller,
    /// The token or key by which the caller is known.
    shown: SecretHash,
    /// Who pays and opens.
    own: tongjang_core::Caller,
    /// Who deposits and withdraws, if the caller may.
    movements: Option<tongjang_core::Caller>,
    users: HashSet<UserId>,
    /// What the store said of the accounts that lines name, where they are not in memory.
    pub(super) named: Named,
}

impl Clerk {
    /// The clerk who serves `caller`.
    pub(super) fn new(app: AppState, caller: Caller, shown: SecretHash) -> Self {
        let user = caller.user;
        let own = tongjang_core::Caller { user, any_account: caller.operates() };
        let movements = match app.config.deposits {
            Deposits::Owner => Some(own),
            Deposits::Operator => caller.is_operator().then_some(own),
        };
        let (users, named) = (HashSet::new(), Named::default());
        Self { app, caller, shown, own, movements, users, named }
    }

    /// Lets the caller go on, as long as his token or key holds and he is what he was.
    ///
    /// # Errors
    /// 401 if not, or 503 if that cannot be found out.
    pub(super) async fn still(&self) -> Result<(), Problem> {
        still(&self.app, self.shown, &self.caller).await
    }

    /// Takes a line into `chunk`; an order that must wait is given back.
    pub(super) fn take(&self, line: Line<'_>, chunk: &mut Chunk) -> Result<(), Box<Waits>> {
        let Line::Whole(line) = line else {
            chunk.refuse(too_long());
            return Ok(());
        };
        chunk.bytes += line.len();
        match fast::read(line) {
            Some(order) => self.plan(order, false, chunk),
            None if line.trim_ascii().is_empty() => {
                chunk.fates.push(Fate::Empty);
                Ok(())
            }
            None => match command::read(line) {
                Ok(order) => self.plan(order, false, chunk),
                Err(problem) => {
                    chunk.refuse(problem);
                    Ok(())
                }
            },
        }
    }

    /// Takes an order into `chunk`. It is `settled` if nothing of the same batch is under way that
    /// it could depend on.
    fn plan(&self, order: Order, settled: bool, chunk: &mut Chunk) -> Result<(), Box<Waits>> {
        let Order { what, key } = order;
        match what {
            What::Transfer(transfer) => self.transfer(transfer, key, settled, chunk),
            What::Deposit(Movement { account, amount, memo, metadata }) => {
                let command = Command::Deposit { account, amount, memo, metadata };
                self.movement(account, command, key, chunk);
                Ok(())
            }
            What::Withdrawal(Movement { account, amount, memo, metadata }) => {
                let command = Command::Withdraw { account, amount, memo, metadata };
                self.movement(account, command, key, chunk);
                Ok(())
            }
            What::Open(opening) => self.open(opening, key, chunk),
        }
    }

    /// Takes an order into `chunk` when nothing of the same batch is under way.
    pub(super) async fn plan_settled(
        &mut self,
        order: Order,
        chunk: &mut Chunk,
    ) -> Result<(), Box<Waits>> {
        // An account that it names may have been opened since it was asked for.
        self.plan_asked(order, true, chunk).await
    }

    /// Takes an order into `chunk` once the store was asked for the accounts that it names.
    pub(super) async fn plan_asked(
        &mut self,
        order: Order,
        settled: bool,
        chunk: &mut Chunk,
    ) -> Result<(), Box<Waits>> {
        match self.look_up(std::slice::from_ref(&order)).await {
            Ok(()) => self.plan(order, settled, chunk),
            Err(problem) => {
                chunk.refuse(problem);
                Ok(())
            }
        }
    }

    fn movement(
        &self,
        account: AccountId,
        command: Command,
        key: Option<IdempotencyKey>,
        chunk: &mut Chunk,
    ) {
        match self.movements {
            Some(caller) => ask(chunk, caller, Op::Movement, account, command, key),
            None => chunk.refuse(Problem::new(Code::NotPermitted)),
        }
    }

    fn transfer(
        &self,
        transfer: Transfer,
        key: Option<IdempotencyKey>,
        settled: bool,
        chunk: &mut Chunk,
    ) -> Result<(), Box<Waits>> {
        let to = match &transfer.to {
            To::Id(to) => *to,
            To::Nowhere | To::Place(..) => match self.find(&transfer) {
                Ok(Found::Account(to)) => to,
                Ok(Found::Unasked) => {
                    let order = Order { what: What::Transfer(transfer), key };
                    return Err(Box::new(Waits { why: Held::Unasked, order }));
                }
                Ok(Found::None) if !settled && matches!(transfer.to, To::Place(..)) => {
                    let order = Order { what: What::Transfer(transfer), key };
                    return Err(Box::new(Waits { why: Held::Place, order }));
                }
                Ok(Found::None) => {
                    chunk.refuse(unknown("/to_account"));
                    return Ok(());
                }
                Err(problem) => {
                    chunk.refuse(problem);
                    return Ok(());
                }
            },
        };
        let Transfer { from, amount, memo, to_memo, metadata, .. } = transfer;
        let command = Command::Transfer { from, to, amount, memo, to_memo, metadata };
        ask(chunk, self.own, Op::Transfer, from, command, key);
        Ok(())
    }

    /// The account that a transfer to a number goes to. Whose the paying account is comes first,
    /// as nothing is told to who does not own it.
    fn find(&self, transfer: &Transfer) -> Result<Found, Problem> {
        let Some(from) = self.account(transfer.from)? else { return Ok(Found::Unasked) };
        let from = from.ok_or_else(|| unknown("/from_account"))?;
        let allowed = from.owner() == self.own.user || self.own.any_account;
        if !allowed || from.opened().is_settlement() {
            return Err(Problem::new(Code::NotAccountOwner));
        }
        Ok(match &transfer.to {
            To::Place(bank, number) => match self.account_by_number(bank, number)? {
                Some(to) => to.map_or(Found::None, Found::Account),
                None => Found::Unasked,
            },
            To::Id(to) => Found::Account(*to),
            To::Nowhere => Found::None,
        })
    }

    fn open(
        &self,
        opening: Opening,
        key: Option<IdempotencyKey>,
        chunk: &mut Chunk,
    ) -> Result<(), Box<Waits>> {
        let owner = opening.owner.unwrap_or(self.caller.user);
        if owner != self.caller.user {
            if !self.own.any_account {
                chunk.refuse(Problem::new(Code::NotPermitted).detail(Text::fixed(
                    "Only an operator may open an account for somebody else.",
                    "다른 사람의 계좌는 운영자만 개설할 수 있습니다.",
                )));
                return Ok(());
            }
            if !self.users.contains(&owner) {
                let order = Order { what: What::Open(opening), key };
                return Err(Box::new(Waits { why: Held::Owner(owner), order }));
            }
        }
        let Opening { currency, bank, number, name, .. } = opening;
        let number_made = number.is_none();
        let number = number.unwrap_or_else(|| made_up(self.app.random.nonce()));
        let command = Command::Open { owner, currency, bank, number, number_made };
        let index = chunk.requests.len();
        chunk.opens.push(Asked { index, owner, nonce: 0, name, request: None });
        let nobody = AccountId::from_bits(0);
        ask(chunk, self.own, Op::Open, nobody, command, key);
        Ok(())
    }

    /// Takes an order into `chunk` that opens an account for `user`, if there is such a user.
    pub(super) async fn open_for(&mut self, user: UserId, order: Order, chunk: &mut Chunk) {
        match self.knows(user).await {
            Ok(true) => {
                // He is remembered for this order at the least, and an opening pays to nobody.
                if self.plan(order, true, chunk).is_err() {
                    unreachable!("nothing is left to wait for");
                }
            }
            Ok(false) => chunk.refuse(command::nobody()),
            Err(problem) => chunk.refuse(problem),
        }
    }

    /// Labels what is to be opened and gives the requests of `chunk` to the teller.
    ///
    /// # Errors
    /// 503, and none was taken in.
    pub(super) async fn submit(
        &self,
        chunk: &mut Chunk,
        whole: bool,
        place: Place,
    ) -> Result<oneshot::Receiver<Answers>, Problem> {
        // Now that there is room, so that a time is not from before a long wait.
        chunk.stamp(&self.app);
        self.label(&chunk.opens).await?;
        match self.app.ledger.hand_in(std::mem::take(&mut chunk.requests), whole, place) {
            Ok(answers) => Ok(answers),
            Err(problem) => {
                // If this fails, which is in the log then, names are left that no account has.
                let _ = self.unlabel(&chunk.opens).await;
                Err(problem)
            }
        }
    }

    /// Asks whether there is the user, and remembers that he is. Says so.
    async fn knows(&mut self, user: UserId) -> Result<bool, Problem> {
        let known = self.app.directory.user(user).await?.is_some();
        if known {
            if self.users.len() >= KNOWN_USERS {
                self.users.clear();
            }
            self.users.insert(user);
        }
        Ok(known)
    }
}

fn ask(
    chunk: &mut Chunk,
    caller: tongjang_core::Caller,
    op: Op,
    account: AccountId,
    command: Command,
    key: Option<IdempotencyKey>,
) {
    let key = key.map(|key| (key, Fingerprint::of(&command)));
    // The time and the random bits are stamped on all of the chunk at once.
    let (at, nonce, expected_version) = (Timestamp::EPOCH, 0, None);
    chunk.fates.push(Fate::Asked(op, account));
    chunk.requests.push(Request { caller, at, nonce, key, expected_version, command });
}

fn too_long() -> Problem {
    let most = LONGEST_LINE / 1024;
    Problem::new(Code::BodyTooLarge).detail(Text::new(
        format!("A line has at most {most} KiB."),
        format!("한 줄은 최대 {most} KiB입니다."),
    ))
}
