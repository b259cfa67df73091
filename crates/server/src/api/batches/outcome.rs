//! Outcomes: what became of each line of a chunk, written straight into the answer's bytes.

use std::collections::HashMap;
use std::io::Write as _;

use serde::Serialize;
use tongjang_core::{Account, AccountId, Command, Event, Rejection, Request, TransactionId};
use tongjang_store::{Answer, Made, StoreError};

use super::chunk::{Asked, Chunk, Clerk, Fate, Op};
use crate::api::booking::{counterparties, parties, viewers};
use crate::api::opening::{ATTEMPTS, made_up};
use crate::api::transfers::unknown;
use crate::api::view::{AccountView, Parties, TransactionView, Viewer};
use crate::app::App;
use crate::ledger::Answers;
use crate::problem::{Code, Language, Member, Problem};

/// How outcomes are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Manner {
    pub(super) language: Language,
    /// Whether each outcome has the whole transaction or account.
    pub(super) full: bool,
    /// What stands after each outcome.
    pub(super) end: u8,
}

/// What came of a request.
struct Seen<'a> {
    outcome: Result<Made, &'a Rejection>,
    replayed: bool,
    /// The whole of it, if it was asked for.
    event: Option<&'a Event>,
}

impl Answers {
    /// Those to a chunk of which nothing was asked.
    pub(super) fn none() -> Self {
        Self::Brief(Vec::new())
    }

    fn at(&self, index: usize) -> Result<Seen<'_>, &StoreError> {
        match self {
            Self::Brief(answers) => answers[index].as_ref().map(|brief| Seen {
                outcome: brief.outcome.as_ref().copied(),
                replayed: brief.replayed,
                event: None,
            }),
            Self::Whole(answers) => answers[index].as_ref().map(|answer| Seen {
                outcome: answer.outcome.as_ref().map(made),
                replayed: answer.replayed,
                event: answer.outcome.as_ref().ok(),
            }),
        }
    }

    /// Whether the outcome of a request is not known, or could not be found out.
    pub(super) fn has_failed(&self) -> bool {
        match self {
            Self::Brief(answers) => answers.iter().any(Result::is_err),
            Self::Whole(answers) => answers.iter().any(Result::is_err),
        }
    }

    fn put(&mut self, index: usize, answer: Answer) {
        match self {
            Self::Brief(answers) => answers[index] = Ok(answer.into()),
            Self::Whole(answers) => answers[index] = Ok(answer),
        }
    }
}

fn made(event: &Event) -> Made {
    Made::by(event).expect("a refusal is no success")
}

/// What is told instead of the teller's answer, by its place among the requests.
type Instead = HashMap<usize, Problem>;

impl Clerk {
    /// Writes the labels of accounts that are to be opened. They come first, so that an account
    /// that was answered has its name.
    pub(super) async fn label(&self, opens: &[Asked]) -> Result<(), Problem> {
        let labels = opens.iter().filter(|asked| asked.name.is_some());
        let labels = labels.map(|asked| (asked.owner, asked.nonce, asked.name.clone()));
        self.app.directory.set_labels(labels.collect()).await
    }

    /// Takes the labels back of accounts that were not opened.
    pub(super) async fn unlabel(&self, opens: &[Asked]) -> Result<(), Problem> {
        let labels = opens.iter().filter(|asked| asked.name.is_some());
        let labels = labels.map(|asked| (asked.owner, asked.nonce, None));
        self.app.directory.set_labels(labels.collect()).await
    }

    /// Writes the outcomes of `chunk`, whose first line has the number `line`.
    pub(super) async fn write(
        &self,
        chunk: &Chunk,
        line: u64,
        mut answers: Answers,
        manner: Manner,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let instead = match chunk.opens.is_empty() {
            true => Instead::new(),
            false => self.settle(&chunk.opens, &mut answers).await?,
        };
        let details = match manner.full {
            true => Some(Details::of(self, &answers).await?),
            false => None,
        };
        out.reserve(chunk.fates.len() * 80);
        let (mut next, mut failed) = (0.., None);
        for (number, fate) in (line..).zip(&chunk.fates) {
            let (op, account) = match fate {
                Fate::Empty => continue,
                Fate::Refused(problem) => {
                    put_problem(out, number, problem, problem.is_replayed(), manner);
                    continue;
                }
                Fate::Asked(op, account) => (*op, *account),
            };
            let index = next.next().expect("it has no end");
            if let Some(problem) = instead.get(&index) {
                put_problem(out, number, problem, false, manner);
                continue;
            }
            match answers.at(index) {
                Ok(Seen { outcome: Ok(made), replayed, event }) => {
                    put_id(out, number, made, replayed, manner.end);
                    if let (Some(details), Some(event)) = (&details, event) {
                        let name = chunk.opens.binary_search_by_key(&index, |asked| asked.index);
                        let name = name.ok().and_then(|at| chunk.opens[at].name.as_deref());
                        details.put(out, event, name, manner.end);
                    }
                }
                Ok(Seen { outcome: Err(rejection), replayed, .. }) => {
                    let problem = problem_of(rejection.clone(), op, account);
                    put_problem(out, number, &problem, replayed, manner);
                }
                Err(error) => {
                    // They mostly fail together, and once is enough for the log.
                    let problem = failed.get_or_insert_with(|| Problem::from(error.clone()));
                    put_problem(out, number, problem, false, manner);
                }
            }
        }
        Ok(())
    }

    /// Sees to the accounts that were to be opened: other numbers where one that was made up was
    /// taken, the labels of those that were not opened, and whether a key stood for another label.
    async fn settle(&self, opens: &[Asked], answers: &mut Answers) -> Result<Instead, Problem> {
        let (mut gone, mut instead) = (Vec::new(), Instead::new());
        for asked in opens {
            if let Some(request) = &asked.request
                && is_taken(answers.at(asked.index))
            {
                match self.open_elsewhere(request.clone()).await {
                    Ok(answer) => answers.put(asked.index, answer),
                    // The rest of the chunk is booked, and is told.
                    Err(problem) => {
                        if asked.name.is_some() && changed_nothing(&problem) {
                            gone.push((asked.owner, asked.nonce, None));
                        }
                        instead.insert(asked.index, problem);
                        continue;
                    }
                }
            }
            let opened = match answers.at(asked.index) {
                Ok(Seen { outcome: Ok(Made::Account(account)), replayed, .. }) => {
                    Some((account, replayed))
                }
                Ok(_) => None,
                // The account may be there.
                Err(_) => continue,
            };
            if asked.name.is_some() && !matches!(opened, Some((_, false))) {
                gone.push((asked.owner, asked.nonce, None));
            }
            if let Some((account, true)) = opened
                && self.app.directory.label(asked.owner, account).await? != asked.name
            {
                instead.insert(asked.index, other_name());
            }
        }
        self.app.directory.set_labels(gone).await?;
        Ok(instead)
    }

    /// The first opening of `chunk` whose key stands for an account of another name, which the
    /// rules do not see: by its place among the requests.
    ///
    /// # Errors
    /// 503.
    pub(super) async fn named_otherwise(&self, chunk: &Chunk) -> Result<Option<usize>, Problem> {
        let (mut names, mut keyed, mut requests) = (HashMap::new(), Vec::new(), Vec::new());
        for asked in &chunk.opens {
            let request = &chunk.requests[asked.index];
            let Some((key, _)) = &request.key else { continue };
            if *names.entry(key).or_insert(&asked.name) != &asked.name {
                return Ok(Some(asked.index));
            }
            keyed.push(asked);
            requests.push(request.clone());
        }
        if keyed.is_empty() {
            return Ok(None);
        }
        let ledger = &self.app.ledger;
        let place = ledger.place_for_now(keyed.len()).await?;
        for (asked, answer) in keyed.iter().zip(ledger.opened_before(requests, place).await?) {
            if let Ok(Event::Opened(opening)) = &answer.outcome
                && self.app.directory.label(asked.owner, opening.account.id).await? != asked.name
            {
                return Ok(Some(asked.index));
            }
        }
        Ok(None)
    }

    async fn open_elsewhere(&self, mut request: Request) -> Result<Answer, Problem> {
        for _ in 0..ATTEMPTS {
            renumber(&self.app, &mut request);
            let answer = self.app.ledger.perform(request.clone()).await?;
            if answer.outcome != Err(Rejection::AccountNumberTaken) {
                return Ok(answer);
            }
        }
        Ok(Answer { outcome: Err(Rejection::AccountNumberTaken), replayed: false })
    }
}

/// Makes another number up.
pub(super) fn renumber(app: &App, request: &mut Request) {
    if let Command::Open { number, .. } = &mut request.command {
        *number = made_up(app.random.nonce());
    }
}

fn is_taken(answer: Result<Seen<'_>, &StoreError>) -> bool {
    matches!(answer, Ok(Seen { outcome: Err(Rejection::AccountNumberTaken), .. }))
}

/// Whether it is known of a failure that nothing came of the request.
pub(super) fn changed_nothing(problem: &Problem) -> bool {
    matches!(problem.code(), Code::Overloaded | Code::ShuttingDown)
}

pub(super) fn other_name() -> Problem {
    Problem::new(Code::IdempotencyKeyReused).member("fields", Member::Names(vec!["name"]))
}

/// The problem of a refusal, as the single calls tell it: an account that there is not is named
/// by its place in the line.
pub(super) fn problem_of(rejection: Rejection, op: Op, first: AccountId) -> Problem {
    match rejection {
        Rejection::AccountNotFound { account } => unknown(match op {
            Op::Transfer if account == first => "/from_account",
            Op::Transfer => "/to_account",
            Op::Movement | Op::Open => "/account",
        }),
        other => Problem::from(other),
    }
}

/// How much the caller sees of whole transactions, and what they tell of those on their other side.
struct Details {
    viewers: HashMap<TransactionId, Viewer>,
    parties: Parties,
}

impl Details {
    async fn of(clerk: &Clerk, answers: &Answers) -> Result<Self, Problem> {
        let whole = match answers {
            Answers::Whole(answers) => answers.as_slice(),
            Answers::Brief(_) => &[],
        };
        let booked = whole.iter().flatten().filter_map(|answer| match &answer.outcome {
            Ok(Event::Booked(booked)) => Some(&booked.transaction),
            _ => None,
        });
        let booked: Vec<_> = booked.collect();
        let viewers = viewers(&clerk.app, &clerk.caller, &booked).await?;
        let viewers = booked.iter().map(|transaction| transaction.id).zip(viewers).collect();
        let entries = booked.iter().flat_map(|transaction| &transaction.entries);
        let parties = parties(&clerk.app, counterparties(entries)).await?;
        Ok(Self { viewers, parties })
    }

    /// Adds the whole of `event` to the outcome that was written last.
    fn put(&self, out: &mut Vec<u8>, event: &Event, name: Option<&str>, end: u8) {
        // Its brace and its end come after the body.
        out.truncate(out.len() - 2);
        out.extend_from_slice(b",\"body\":");
        match event {
            Event::Booked(booked) => {
                let transaction = &booked.transaction;
                let viewer = &self.viewers[&transaction.id];
                put_json(out, &TransactionView::new(transaction, viewer, &self.parties));
            }
            Event::Opened(opening) => {
                let account = Account::open(opening.account.clone());
                put_json(out, &AccountView::new(&account, name));
            }
            Event::StatusChanged(_) | Event::Refused(_) => {
                unreachable!("no line asks for {event:?}")
            }
        }
        out.extend_from_slice(&[b'}', end]);
    }
}

fn put_id(out: &mut Vec<u8>, line: u64, made: Made, replayed: bool, end: u8) {
    put_line(out, line);
    out.extend_from_slice(b",\"status\":201,\"id\":\"");
    match made {
        Made::Transaction(id) => {
            out.extend_from_slice(TransactionId::PREFIX.as_bytes());
            out.extend_from_slice(&id.letters());
        }
        Made::Account(id) => {
            out.extend_from_slice(AccountId::PREFIX.as_bytes());
            out.extend_from_slice(&id.letters());
        }
    }
    out.push(b'"');
    put_end(out, replayed, end);
}

pub(super) fn put_problem(
    out: &mut Vec<u8>,
    line: u64,
    problem: &Problem,
    replayed: bool,
    manner: Manner,
) {
    put_line(out, line);
    out.extend_from_slice(b",\"status\":");
    put_number(out, problem.code().status().as_u16().into());
    out.extend_from_slice(b",\"problem\":");
    put_json(out, &problem.in_language(manner.language));
    put_end(out, replayed, manner.end);
}

fn put_line(out: &mut Vec<u8>, line: u64) {
    out.extend_from_slice(b"{\"line\":");
    put_number(out, line);
}

fn put_end(out: &mut Vec<u8>, replayed: bool, end: u8) {
    if replayed {
        out.extend_from_slice(b",\"replayed\":true");
    }
    out.extend_from_slice(&[b'}', end]);
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut rest, mut begin) = ([0; 20], number, 20);
    loop {
        begin -= 1;
        digits[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

fn put_json(out: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(out.by_ref(), value).expect("texts and numbers can be written as JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_digits() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
