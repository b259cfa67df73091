//! Many commands at once: as one document that is answered whole, or as lines without an end that
//! are answered while they come.
//!
//! `lines` cuts a body into lines, `fast` and `command` read them, `chunk` makes requests of them,
//! the teller decides a chunk as one bundle, and `outcome` writes what came of it.

mod chunk;
mod command;
mod fast;
mod lines;
mod outcome;
mod shapes;
mod stream;
mod whole;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::chunk::Clerk;
use self::outcome::Manner;
use self::shapes::{BatchBody, BatchCommand, BatchOutcome, BatchOutcomes, BatchParams, Extent};
use self::stream::Stream;
use crate::app::AppState;
use crate::auth::Caller;
use crate::extract::{Query, media_type, read};
use crate::problem::{Code, Language, Problem, Text};

/// The most commands of a document.
const MOST_COMMANDS: usize = 10_000;

/// The most bytes of a document.
const DOCUMENT_LIMIT: usize = 32 << 20;

const NDJSON: &str = "application/x-ndjson";

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(batch))
}

/// Book many commands at once
///
/// As `application/json`, 1 to 10,000 commands in at most 32 MiB are answered together; with
/// `atomic`, all are booked or none: if one is refused, its outcome says why, and the others are
/// refused with `conflict`. As `application/x-ndjson`, any number of commands, each on a line of
/// at most 64 KiB, is answered line by line while they come: read while you write, since a stream
/// whose outcomes are not read is not read any further. A line that is refused leaves the others
/// as they are; empty lines count and have no outcome.
///
/// Commands are booked in their order, each sees what those before it did, and an outcome is
/// given when it is durable. Give each command an `idempotency_key`, so that all that was not
/// answered can be sent again: what is there already is answered with `replayed`. A caller uses
/// his own accounts; an operator who logged in, or his key with the scope `operate`, any account.
/// An account that an earlier line opened can be paid to by its bank and number, except within an
/// atomic batch.
#[utoipa::path(
    post,
    path = "/v1/batches",
    operation_id = "batch",
    tag = "money",
    security(("bearer" = [])),
    params(BatchParams),
    request_body(content(
        (BatchBody = "application/json"),
        (BatchCommand = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "What came of each command", content(
            (BatchOutcomes = "application/json"),
            (BatchOutcome = "application/x-ndjson"),
        )),
    ),
    extensions(("x-problems" = json!([
        "invalid-idempotency-key", "account-number-taken", "limit-exceeded", "overloaded",
        "shutting-down"
    ]))),
)]
async fn batch(
    State(app): State<AppState>,
    caller: Caller,
    Query(params): Query<BatchParams>,
    language: Language,
    request: Request,
) -> Result<Response, Problem> {
    no_key(request.headers())?;
    let full = params.answer == Some(Extent::Full);
    let clerk = Clerk::new(app, caller);
    let name = media_type(request.headers()).unwrap_or_default();
    if name.eq_ignore_ascii_case("application/json") {
        let body = read(request, DOCUMENT_LIMIT).await.map_err(of_documents)?;
        let manner = Manner { language, full, end: b',' };
        let outcomes = whole::book(clerk, body, manner).await?;
        return Ok(answered("application/json", enclosed(&outcomes).into()));
    }
    if !name.eq_ignore_ascii_case(NDJSON) {
        return Err(Problem::new(Code::UnsupportedMediaType).detail(Text::fixed(
            "Send a batch as `application/json` or, line by line, as `application/x-ndjson`.",
            "묶음은 `application/json`으로, 또는 한 줄씩 `application/x-ndjson`으로 보내세요.",
        )));
    }
    let manner = Manner { language, full, end: b'\n' };
    let (out, outcomes) = mpsc::channel(1);
    let stream = Stream::new(clerk, request.into_body(), manner, out);
    // On its own, so that it reads and writes while the connection does.
    tokio::spawn(stream.run());
    Ok(answered(NDJSON, Body::new(Outcomes(outcomes))))
}

/// A key for the whole call would be ignored, and whoever sends one relies on it.
fn no_key(headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(crate::extract::IDEMPOTENCY_KEY) {
        return Ok(());
    }
    let detail = Text::fixed(
        "is not for a batch: give each command its own `idempotency_key`",
        "묶음에는 쓸 수 없습니다. 명령마다 `idempotency_key`를 적으세요",
    );
    Err(Problem::new(Code::InvalidIdempotencyKey).error("/idempotency-key", detail))
}

fn of_documents(problem: Problem) -> Problem {
    match problem.code() {
        Code::BodyTooLarge => problem.detail(Text::fixed(
            "A batch in one document may have up to 32 MiB; send more line by line, as \
             `application/x-ndjson`.",
            "한 문서로 보내는 묶음은 최대 32 MiB입니다. 더 많으면 `application/x-ndjson`으로 한 \
             줄씩 보내세요.",
        )),
        _ => problem,
    }
}

fn answered(media_type: &'static str, body: Body) -> Response {
    let mut response = (StatusCode::OK, body).into_response();
    let value = HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// The document around `outcomes`, the last of which has a comma after it.
fn enclosed(outcomes: &[u8]) -> Vec<u8> {
    let outcomes = outcomes.strip_suffix(b",").unwrap_or(outcomes);
    [b"{\"outcomes\":[", outcomes, b"]}"].concat()
}

/// Outcomes on their way out, as fast as the caller takes them.
struct Outcomes(mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for Outcomes {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
