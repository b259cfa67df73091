//! A batch without an end: lines come in and outcomes go out at once. The handler spawns
//! [`Stream::run`] and answers with what it sends.
//!
//! Lines are read into a chunk; a chunk that is full goes to the teller, and so does one that is
//! not if the caller pauses and nothing of his is under way. A few chunks at most are under way,
//! and while their outcomes wait to be taken nothing more is read, so a caller who reads slowly
//! slows himself and nobody else.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot, watch};

use super::bounds::StreamTurn;
use super::chunk::{Chunk, Clerk, Held, Waits};
use super::command::Order;
use super::lines::Lines;
use super::outcome::{Manner, put_problem};
use crate::extract::broken_off;
use crate::ledger::Answers;
use crate::problem::{Code, Problem};

/// How many chunks of a stream may be under way.
const CHUNKS: usize = 4;
/// The most lines of a chunk.
const LINES: usize = 8_192;
/// The most lines of a chunk whose outcomes have whole transactions.
const FULL_LINES: usize = 1_024;
/// A chunk of so many bytes has no more lines.
const BYTES: usize = 1 << 20;

/// Where outcomes go.
pub(super) type Out = mpsc::Sender<Part>;

/// A part of the answer to a stream.
#[derive(Debug)]
pub(super) enum Part {
    /// Some outcomes.
    Outcomes(Bytes),
    /// No more can be told, though there is more.
    Broken(Code),
    /// That was all. An answer without this end is broken off, so that nobody takes it for whole.
    End,
}

/// A stream of commands and of their outcomes.
pub(super) struct Stream {
    clerk: Clerk,
    manner: Manner,
    out: Out,
    _turn: StreamTurn,
    /// The caller's body; none after its end.
    body: Option<Body>,
    lines: Lines,
    /// The piece of the body that is being read, and how far.
    piece: Bytes,
    at: usize,
    /// Whether the accounts that the piece names were asked for, where that is done ahead.
    looked_ahead: bool,
    chunk: Chunk,
    /// An order that waits until nothing is under way.
    held: Option<Order>,
    under_way: VecDeque<UnderWay>,
    /// The number of the first line of `chunk`.
    line: u64,
    /// Why nothing more is read, though the body goes on.
    ended: Option<Problem>,
}

/// A chunk that was handed over, and the number of its first line.
struct UnderWay {
    chunk: Chunk,
    line: u64,
    answers: oneshot::Receiver<Answers>,
}

/// The caller is gone, or cannot be answered. What was handed over is booked all the same.
struct Gone;

impl Stream {
    /// The stream of `body`, whose outcomes go to `out`.
    pub(super) fn new(
        clerk: Clerk,
        body: Body,
        manner: Manner,
        out: Out,
        turn: StreamTurn,
    ) -> Self {
        Self {
            clerk,
            manner,
            out,
            _turn: turn,
            body: Some(body),
            lines: Lines::default(),
            piece: Bytes::new(),
            at: 0,
            looked_ahead: false,
            chunk: Chunk::default(),
            held: None,
            under_way: VecDeque::new(),
            line: 1,
            ended: None,
        }
    }

    /// Asks for the body before the answer begins, so that a caller who waits for `100 Continue`
    /// gets it: it is sent when the body is first asked for, and not after the head of an answer.
    pub(super) async fn ask_for_body(&mut self) {
        let asked = {
            let mut piece = pin!(next_piece(&mut self.body));
            poll_fn(|context| Poll::Ready(piece.as_mut().poll(context))).await
        };
        match asked {
            Poll::Ready(piece) => self.take(piece),
            // The connection writes it before it comes back here.
            Poll::Pending => tokio::task::yield_now().await,
        }
    }

    /// Reads and answers until the body is over and all of it is answered.
    pub(super) async fn run(mut self) {
        if self.flow().await.is_ok() {
            // A caller who is gone needs no end.
            let _ = self.out.send(Part::End).await;
        }
    }

    async fn flow(&mut self) -> Result<(), Gone> {
        let mut stopping = self.clerk.app.stopping.clone();
        loop {
            self.read_lines().await;
            let may = self.under_way.len() < CHUNKS;
            let over = self.body.is_none() || self.held.is_some();
            if self.chunk.lines() > 0 && may && (over || self.is_full()) {
                self.hand_over().await;
                continue;
            }
            if self.chunk.lines() == 0 && self.under_way.is_empty() {
                if let Some(order) = self.held.take() {
                    self.plan_settled(order).await;
                    continue;
                }
                if self.body.is_none() {
                    return self.last_word().await;
                }
            }
            let reads = !over && !self.is_full();
            if self.chunk.lines() == 0 && self.under_way.is_empty() {
                // It may be a long time until there is more.
                self.chunk = Chunk::default();
            }
            let pauses = self.under_way.is_empty() && self.chunk.lines() > 0;
            tokio::select! {
                biased;
                () = self.out.closed() => return Err(Gone),
                () = stopped(&mut stopping), if self.body.is_some() => {
                    self.end(Problem::new(Code::ShuttingDown));
                }
                answers = first(&mut self.under_way), if !self.under_way.is_empty() => {
                    self.answer(answers).await?;
                }
                piece = next_piece(&mut self.body), if reads => self.take(piece),
                () = std::future::ready(()), if pauses => self.hand_over().await,
            }
        }
    }

    fn is_full(&self) -> bool {
        let most = if self.manner.full { FULL_LINES } else { LINES };
        self.chunk.lines() >= most || self.chunk.bytes >= BYTES
    }

    /// Reads no more.
    fn end(&mut self, why: Problem) {
        if self.body.is_some() || self.held.is_some() || self.at < self.piece.len() {
            self.ended.get_or_insert(why);
        }
        self.body = None;
        self.held = None;
        self.piece = Bytes::new();
        self.at = 0;
        self.lines = Lines::default();
    }

    /// Reads no more, and takes what was read and not handed over as not read.
    fn cut(&mut self, why: Problem) {
        self.chunk = Chunk::default();
        self.end(why.clone());
        self.ended.get_or_insert(why);
    }

    fn take(&mut self, piece: Option<Result<Bytes, axum::Error>>) {
        match piece {
            Some(Ok(piece)) => {
                (self.piece, self.at) = (piece, 0);
                self.looked_ahead = !self.clerk.looks_ahead();
            }
            // What was whole of a body that broke off is booked; its last line is not.
            Some(Err(_)) => self.end(broken_off()),
            None => {
                self.body = None;
                let taken = self.lines.last().map(|line| self.clerk.take(line, &mut self.chunk));
                self.held = taken.and_then(Result::err).map(|waits| waits.order);
            }
        }
    }

    /// Takes in the lines of the piece at hand, until the chunk is full or one of them must wait.
    async fn read_lines(&mut self) {
        if !self.looked_ahead {
            self.look_ahead().await;
        }
        while self.held.is_none() && !self.is_full() {
            let Some(line) = self.lines.next(&self.piece, &mut self.at) else { break };
            if let Err(waits) = self.clerk.take(line, &mut self.chunk) {
                self.hold(*waits).await;
            }
        }
    }

    /// Asks at once for the accounts that the lines of the piece at hand name.
    async fn look_ahead(&mut self) {
        self.looked_ahead = true;
        let (mut lines, mut at, mut orders) = (self.lines.clone(), self.at, Vec::new());
        while let Some(line) = lines.next(&self.piece, &mut at) {
            orders.extend(Clerk::naming(line));
        }
        // If this fails, each line asks for itself, and is told.
        let _ = self.clerk.look_ahead(&orders).await;
    }

    async fn plan_settled(&mut self, order: Order) {
        if let Err(waits) = self.clerk.plan_settled(order, &mut self.chunk).await {
            self.hold(*waits).await;
        }
    }

    async fn hold(&mut self, waits: Waits) {
        let Waits { why, order } = waits;
        match why {
            Held::Place => self.held = Some(order),
            Held::Owner(user) => self.clerk.open_for(user, order, &mut self.chunk).await,
            Held::Unasked => {
                let planned = self.clerk.plan_asked(order, false, &mut self.chunk).await;
                self.held = planned.err().map(|waits| waits.order);
            }
        }
    }

    /// Gives the chunk to the teller, as soon as he has room for it, if the caller still may.
    async fn hand_over(&mut self) {
        if let Err(problem) = self.clerk.still().await {
            return self.cut(problem);
        }
        // The next chunk is likely to be of about the same size.
        let next = Chunk::with_room_for(self.chunk.lines());
        let mut chunk = std::mem::replace(&mut self.chunk, next);
        let line = self.line;
        self.line += chunk.lines() as u64;
        let answers = match submit(&self.clerk, &mut chunk, self.manner.full).await {
            Ok(answers) => answers,
            Err(problem) => {
                chunk.refuse_all(&problem);
                if matches!(problem.code(), Code::ShuttingDown | Code::StoreUnavailable) {
                    self.end(problem);
                }
                nothing()
            }
        };
        self.under_way.push_back(UnderWay { chunk, line, answers });
    }

    /// Writes the outcomes of the first chunk under way.
    async fn answer(&mut self, answers: Option<Answers>) -> Result<(), Gone> {
        let UnderWay { mut chunk, line, .. } = self.under_way.pop_front().expect("it was awaited");
        let answers = answers.unwrap_or_else(|| {
            // The teller is gone; what became of these lines is found by their keys.
            let problem = Problem::new(Code::StoreUnavailable);
            chunk.refuse_all(&problem);
            self.end(problem);
            Answers::none()
        });
        if answers.has_failed() && self.clerk.app.ledger.ready().await.is_err() {
            self.end(Problem::new(Code::StoreUnavailable));
        }
        let mut bytes = Vec::new();
        if let Err(problem) = self.clerk.write(&chunk, line, answers, self.manner, &mut bytes).await
        {
            // Its outcomes cannot be told now, though it is booked.
            let _ = self.out.send(Part::Broken(problem.code())).await;
            return Err(Gone);
        }
        match bytes.is_empty() {
            true => Ok(()),
            false => self.out.send(Part::Outcomes(bytes.into())).await.map_err(|_| Gone),
        }
    }

    /// If not all was read, says so for the first line that was not.
    async fn last_word(&mut self) -> Result<(), Gone> {
        let Some(problem) = self.ended.take() else { return Ok(()) };
        let mut bytes = Vec::new();
        put_problem(&mut bytes, self.line, &problem, false, self.manner);
        self.out.send(Part::Outcomes(bytes.into())).await.map_err(|_| Gone)
    }
}

async fn submit(
    clerk: &Clerk,
    chunk: &mut Chunk,
    whole: bool,
) -> Result<oneshot::Receiver<Answers>, Problem> {
    if chunk.requests.is_empty() {
        return Ok(nothing());
    }
    let place = clerk.app.ledger.place_for(chunk.requests.len()).await;
    clerk.submit(chunk, whole, place).await
}

/// The answers to a chunk of which nothing is asked.
fn nothing() -> oneshot::Receiver<Answers> {
    let (none, answers) = oneshot::channel();
    // The receiver is on the line above.
    let _ = none.send(Answers::none());
    answers
}

/// Waits until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // If its sender is gone, it has stopped.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The answers to the first chunk under way; `None` if the teller is gone.
async fn first(under_way: &mut VecDeque<UnderWay>) -> Option<Answers> {
    match under_way.front_mut() {
        Some(first) => (&mut first.answers).await.ok(),
        None => std::future::pending().await,
    }
}

/// The next piece of the body; trailers are of no interest.
async fn next_piece(body: &mut Option<Body>) -> Option<Result<Bytes, axum::Error>> {
    let body = body.as_mut()?;
    loop {
        match body.frame().await? {
            Ok(frame) => match frame.into_data() {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Some(Ok(piece)),
                Err(_) => {}
            },
            Err(error) => return Some(Err(error)),
        }
    }
}
