//! A batch as one JSON document: the handler gives its body to [`book`], and answers with the
//! outcomes when all of it is booked.

use std::fmt;

use axum::body::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tongjang_core::{AccountId, Rejection};
use tongjang_store::Together;

use super::MOST_COMMANDS;
use super::chunk::{Chunk, Clerk, Fate, Held, Op, Waits};
use super::command::Order;
use super::lines::Line;
use super::outcome::{Manner, changed_nothing, other_name, problem_of, renumber};
use crate::api::opening::ATTEMPTS;
use crate::extract::parse;
use crate::ledger::Answers;
use crate::problem::{Code, Problem, Text};

/// A document of so many bytes is read on a thread of its own.
const LARGE: usize = 1 << 20;

/// The document, its commands not looked into.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    atomic: bool,
    commands: Commands,
}

/// The commands as they stand, and no more of them than may be.
struct Commands {
    texts: Vec<Box<RawValue>>,
    /// Whether there were more.
    too_many: bool,
}

impl<'de> Deserialize<'de> for Commands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Commands;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Commands, A::Error> {
                let mut texts = Vec::new();
                while texts.len() < MOST_COMMANDS {
                    match array.next_element()? {
                        Some(text) => texts.push(text),
                        None => return Ok(Commands { texts, too_many: false }),
                    }
                }
                let mut too_many = false;
                while array.next_element::<IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(Commands { texts, too_many })
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

/// Has the batch in `body` booked: the outcomes, one behind the other with a comma after each.
///
/// # Errors
/// 400 if the document is none, 422 `limit-exceeded` if a batch that is all or nothing is larger
/// than a commit, 503 if it was not taken in or the store failed.
pub(super) async fn book(
    mut clerk: Clerk,
    body: Bytes,
    manner: Manner,
) -> Result<Vec<u8>, Problem> {
    let Document { atomic, commands } = if body.len() < LARGE {
        parse(&body)?
    } else {
        // It takes a while, and the thread has other calls to answer.
        let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
        parsed.map_err(|_| Problem::new(Code::Internal))??
    };
    if commands.too_many || commands.texts.is_empty() {
        return Err(Problem::invalid(
            "/commands",
            Text::new(
                format!("must have 1 to {MOST_COMMANDS} commands"),
                format!("명령이 1~{MOST_COMMANDS}개여야 합니다"),
            ),
        ));
    }
    if clerk.looks_ahead() {
        let lines = commands.texts.iter().map(|text| Line::Whole(text.get().as_bytes()));
        let orders: Vec<_> = lines.filter_map(Clerk::naming).collect();
        clerk.look_ahead(&orders).await?;
    }
    let mut out = Vec::new();
    if atomic {
        book_together(&mut clerk, &commands.texts, manner, &mut out).await?;
    } else {
        book_each(&mut clerk, &commands.texts, manner, &mut out).await?;
    }
    Ok(out)
}

/// Once a part of the document is booked no failure is the answer to all of it: it is told line by
/// line what was booked, and that the rest was not.
async fn book_each(
    clerk: &mut Clerk,
    commands: &[Box<RawValue>],
    manner: Manner,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let (mut chunk, mut line) = (Chunk::default(), 1);
    let mut failed: Option<Problem> = None;
    for text in commands {
        if let Some(problem) = &failed {
            chunk.refuse(problem.clone());
            continue;
        }
        if let Some(order) = take(clerk, text, &mut chunk).await {
            // It pays to an account that may be opened by a command before it.
            let done = std::mem::take(&mut chunk);
            let lines = done.lines() as u64;
            failed = finish(clerk, done, line, manner, out).await?;
            line += lines;
            match &failed {
                Some(problem) => chunk.refuse(problem.clone()),
                None if clerk.plan_settled(order, &mut chunk).await.is_ok() => {}
                None => unreachable!("nothing is under way"),
            }
        }
    }
    finish(clerk, chunk, line, manner, out).await.map(|_| ())
}

/// Takes a command into `chunk`, or gives its order back if it must wait for those before it.
async fn take(clerk: &mut Clerk, text: &RawValue, chunk: &mut Chunk) -> Option<Order> {
    let line = Line::Whole(text.get().as_bytes());
    let Waits { why, order } = match clerk.take(line, chunk) {
        Ok(()) => return None,
        Err(waits) => *waits,
    };
    match why {
        Held::Place => Some(order),
        Held::Owner(user) => {
            clerk.open_for(user, order, chunk).await;
            None
        }
        Held::Unasked => clerk.plan_asked(order, false, chunk).await.err().map(|waits| waits.order),
    }
}

/// Has the chunk booked and writes its outcomes. Where lines before it were answered already, a
/// failure is written as theirs and returned, so that nothing after them is tried.
async fn finish(
    clerk: &Clerk,
    mut chunk: Chunk,
    line: u64,
    manner: Manner,
    out: &mut Vec<u8>,
) -> Result<Option<Problem>, Problem> {
    let begin = out.len();
    let failed = match try_to_finish(clerk, &mut chunk, line, manner, out).await {
        Ok(()) => return Ok(None),
        Err(problem) if line == 1 => return Err(problem),
        Err(problem) => problem,
    };
    out.truncate(begin);
    chunk.refuse_all(&failed);
    clerk.write(&chunk, line, Answers::none(), manner, out).await?;
    Ok(Some(failed))
}

async fn try_to_finish(
    clerk: &Clerk,
    chunk: &mut Chunk,
    line: u64,
    manner: Manner,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    // Whatever fails once the teller has the chunk, what came of it is not known.
    let unknown = || Problem::new(Code::StoreUnavailable);
    let answers = if chunk.requests.is_empty() {
        Answers::none()
    } else {
        let place = clerk.app.ledger.place_for_now(chunk.requests.len()).await?;
        let answered = clerk.submit(chunk, manner.full, place).await?;
        answered.await.map_err(|_| unknown())?
    };
    clerk.write(chunk, line, answers, manner, out).await.map_err(|_| unknown())
}

async fn book_together(
    clerk: &mut Clerk,
    commands: &[Box<RawValue>],
    manner: Manner,
    out: &mut Vec<u8>,
) -> Result<(), Problem> {
    let mut chunk = Chunk::default();
    for text in commands {
        if let Some(order) = take(clerk, text, &mut chunk).await
            && clerk.plan_settled(order, &mut chunk).await.is_err()
        {
            unreachable!("nothing is under way");
        }
    }
    let refused = chunk.fates.iter().position(|fate| !matches!(fate, Fate::Asked(..)));
    if let Some(refused) = refused {
        give_up(&mut chunk, refused);
        return clerk.write(&chunk, 1, Answers::none(), manner, out).await;
    }
    // Looked up before, as nothing can be taken back. Who uses the key at this very moment for an
    // opening of another name is told so afterwards.
    if let Some(at) = clerk.named_otherwise(&chunk).await? {
        chunk.fates[at] = Fate::Refused(other_name());
        give_up(&mut chunk, at);
        return clerk.write(&chunk, 1, Answers::none(), manner, out).await;
    }
    let ledger = &clerk.app.ledger;
    chunk.stamp(&clerk.app);
    for _ in 0..ATTEMPTS {
        let place = ledger.place_for_now(chunk.requests.len()).await?;
        clerk.label(&chunk.opens).await?;
        let together = ledger.perform_together(chunk.requests.clone(), place).await;
        match together {
            Ok(Together::All(answers)) => {
                let answers = Answers::Whole(answers.into_iter().map(Ok).collect());
                return clerk.write(&chunk, 1, answers, manner, out).await;
            }
            Ok(Together::None { at, rejection, replayed }) => {
                clerk.unlabel(&chunk.opens).await?;
                let made = chunk.opens.iter().find(|asked| asked.index == at);
                if rejection == Rejection::AccountNumberTaken
                    && made.is_some_and(|asked| asked.request.is_some())
                {
                    renumber(&clerk.app, &mut chunk.requests[at]);
                    continue;
                }
                let (op, first) = match &chunk.fates[at] {
                    Fate::Asked(op, first) => (*op, *first),
                    Fate::Empty | Fate::Refused(_) => (Op::Open, AccountId::from_bits(0)),
                };
                let problem = problem_of(rejection, op, first).replayed(replayed);
                chunk.fates[at] = Fate::Refused(problem);
                give_up(&mut chunk, at);
                return clerk.write(&chunk, 1, Answers::none(), manner, out).await;
            }
            Ok(Together::TooLarge) => {
                clerk.unlabel(&chunk.opens).await?;
                return Err(too_large());
            }
            Err(problem) => {
                // After any other failure the accounts may be there.
                if changed_nothing(&problem) {
                    clerk.unlabel(&chunk.opens).await?;
                }
                return Err(problem);
            }
        }
    }
    Err(Problem::new(Code::AccountNumberTaken))
}

/// Refuses all but those that are refused already, since the one at `at` is.
fn give_up(chunk: &mut Chunk, at: usize) {
    let number = at + 1;
    chunk.refuse_all(&Problem::new(Code::Conflict).detail(Text::new(
        format!("Not booked, because command {number} was refused and the batch is atomic."),
        format!(
            "묶음 전체를 함께 처리해야 하는데 {number}번째 명령이 거부되어 기록하지 않았습니다."
        ),
    )));
}

fn too_large() -> Problem {
    Problem::new(Code::LimitExceeded).detail(Text::fixed(
        "The batch is too large to be booked as a whole by this ledger. Nothing was booked.",
        "묶음이 너무 커서 이 원장에 한 번에 기록할 수 없습니다. 기록된 것은 없습니다.",
    ))
}
