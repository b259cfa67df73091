//! Many commands at once: as one document that is answered whole, or as lines without an end that
//! are answered while they come.
//!
//! `lines` cuts a body into lines, `fast` and `command` read them, `chunk` makes requests of them,
//! the teller decides a chunk as one bundle, and `outcome` writes what came of it.

mod bounds;
mod chunk;
mod command;
mod fast;
mod lines;
mod named;
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
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use self::bounds::BatchLimits;
pub(crate) use self::bounds::Bounds;
use self::bounds::DocumentTurn;
use self::chunk::Clerk;
use self::outcome::Manner;
use self::shapes::{BatchBody, BatchCommand, BatchOutcome, BatchOutcomes, BatchParams, Extent};
use self::stream::{Part, Stream};
use crate::app::AppState;
use crate::auth::{Caller, given};
use crate::extract::{Query, accepts_json, announced_within, broken_off, media_type};
use crate::problem::{Code, Language, Problem, Text};

/// The most commands of a document.
const MOST_COMMANDS: usize = 10_000;

/// The most bytes of a document.
const DOCUMENT_LIMIT: usize = 32 << 20;

const NDJSON: &str = "application/x-ndjson";

/// What `Expect` says where the caller sends his body only when he is told to (RFC 9110, 10.1.1).
const CONTINUE: &[u8] = b"100-continue";

/// The calls of this file.
pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(batch))
}

/// Book many commands at once
///
/// As `application/json`, 1 to 10,000 commands in at most 32 MiB are answered together; with
/// `atomic`, all are booked or none: if one is refused, its outcome says why, and each other one
/// has the status 409 and the problem `conflict`, whose `detail` names the command to mend. As
/// `application/x-ndjson`, any number of commands, each on a line of at most 64 KiB, is answered
/// line by line while they come: read while you write, since a stream whose outcomes are not read
/// is not read any further. A line that is refused leaves the others as they are; empty lines
/// count and have no outcome.
///
/// The call is answered with 200 even if every command was refused: look at the `status` of each
/// outcome. Where it is 503, the command can be sent again after a second. A stream ends before
/// its body does when the server stops, or when the caller's token or key no longer holds: the
/// outcome of the first line that was not read says so. An answer that breaks off does not tell
/// all that was booked.
///
/// Commands are booked in their order, each sees what those before it did, and an outcome is
/// given when it is durable. Give each command an `idempotency_key`, so that all that was not
/// answered can be sent again: what is there already is answered with `replayed`. A caller uses
/// his own accounts; an operator who logged in, or his key with the scope `operate`, any account.
/// An account that an earlier line opened can be paid to by its bank and number, except within an
/// atomic batch. A user has at most 16 streams and 32 MiB of documents at once.
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
        "rate-limited", "shutting-down"
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
    // The caller was known by it.
    let shown = given(request.headers()).ok_or_else(Problem::bad_token)?;
    let clerk = Clerk::new(app.clone(), caller, shown);
    let name = media_type(request.headers()).unwrap_or_default();
    if name.eq_ignore_ascii_case("application/json") {
        if !accepts_json(request.headers()) {
            return Err(Problem::new(Code::NotAcceptable));
        }
        let mut turn = app.batches.document(caller.user);
        let body = document(request, &mut turn).await?;
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
    let turn = app.batches.stream(caller.user)?;
    let waits = request.headers().get(header::EXPECT);
    let waits = waits.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(CONTINUE));
    let mut stream = Stream::new(clerk, request.into_body(), manner, out, turn);
    if waits {
        stream.ask_for_body().await;
    }
    // On its own, so that it reads and writes while the connection does.
    tokio::spawn(stream.run());
    Ok(answered(NDJSON, Body::new(Outcomes { parts: outcomes, over: false })))
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

/// The whole of a document, as far as there is room for it.
async fn document(request: Request, turn: &mut DocumentTurn<'_>) -> Result<Bytes, Problem> {
    announced_within(request.headers(), DOCUMENT_LIMIT).map_err(|_| too_large())?;
    let (mut body, mut bytes) = (request.into_body(), Vec::new());
    turn.take_in(0).await?;
    while let Some(frame) = body.frame().await {
        // Trailers are of no interest.
        let Ok(piece) = frame.map_err(|_| broken_off())?.into_data() else { continue };
        if bytes.len() + piece.len() > DOCUMENT_LIMIT {
            return Err(too_large());
        }
        turn.take_in(piece.len()).await?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge).detail(Text::fixed(
        "A batch in one document may have up to 32 MiB; send more line by line, as \
         `application/x-ndjson`.",
        "한 문서로 보내는 묶음은 최대 32 MiB입니다. 더 많으면 `application/x-ndjson`으로 한 줄씩 \
         보내세요.",
    ))
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
struct Outcomes {
    parts: mpsc::Receiver<Part>,
    over: bool,
}

impl HttpBody for Outcomes {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(part) = self.parts.poll_recv(context) else { return Poll::Pending };
        self.over = !matches!(part, Some(Part::Outcomes(_)));
        Poll::Ready(match part {
            Some(Part::Outcomes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Part::End) => None,
            Some(Part::Broken(code)) => Some(Err(io::Error::other(code.as_str()))),
            // The stream is gone without having said that this was all.
            None => Some(Err(io::Error::other("the stream came to no end"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(parts: Vec<Part>) -> Option<Bytes> {
        let (out, outcomes) = mpsc::channel(parts.len());
        for part in parts {
            out.send(part).await.unwrap();
        }
        drop(out);
        let body = Outcomes { parts: outcomes, over: false };
        body.collect().await.ok().map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn only_an_answer_with_an_end_is_whole() {
        let some = || Part::Outcomes(Bytes::from_static(b"{}"));
        assert_eq!(read(vec![some(), some(), Part::End]).await.as_deref(), Some(&b"{}{}"[..]));
        assert_eq!(read(vec![some(), some()]).await, None);
        assert_eq!(read(vec![some(), Part::Broken(Code::StoreUnavailable)]).await, None);
    }
}
