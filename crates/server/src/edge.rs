//! The edge: what every request passes on its way in and every answer on its way out.
//!
//! It is one plain function and no stack of layers, since a deposit should cost little more than
//! its way through the kernel.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::Service;

use crate::app::AppState;
use crate::auth::ClientAddress;
use crate::extract::{accepts_json, accepts_ndjson};
use crate::problem::{Code, Language, Problem, Unwritten};
use crate::telemetry::RouteCounters;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The call that counts wrong passwords by where they come from.
const LOGIN: &str = "/v1/tokens";
/// The call that also answers line by line.
const BATCHES: &str = "/v1/batches";

/// Everything between the connections and the handlers.
pub(crate) struct Edge {
    app: AppState,
    router: Router,
    routes: matchit::Router<RouteCounters>,
    elsewhere: RouteCounters,
    time_limit: Duration,
    ids: RequestIds,
}

impl Edge {
    /// The edge before `router`, whose routes are `routes`.
    pub(crate) fn new(
        app: AppState,
        router: Router,
        routes: &[String],
        time_limit: Duration,
    ) -> Self {
        let mut known = matchit::Router::new();
        for route in routes {
            // Two that match the same were refused by the router itself already.
            let _ = known.insert(route.clone(), app.telemetry.route(route));
        }
        let elsewhere = app.telemetry.route("other");
        let ids = RequestIds::new(app.random.nonce());
        Self { app, router, routes: known, elsewhere, time_limit, ids }
    }

    /// Answers a request that came from `peer`.
    #[expect(clippy::disallowed_methods, reason = "how long it took is told, never acted upon")]
    pub(crate) async fn answer<B>(
        &self,
        mut request: Request<B>,
        peer: IpAddr,
    ) -> Result<Response, Infallible>
    where
        B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let began = Instant::now();
        let id = self.ids.given_or_new(request.headers());
        let method = request.method().clone();
        let path = request.uri().path();
        let route = self.routes.at(path).map_or(&self.elsewhere, |found| found.value);
        let (private, batches) = (path.starts_with("/v1/"), path == BATCHES);
        // All that is needed to write a problem later, and only a problem needs it.
        let language = request.headers().get_all(header::ACCEPT_LANGUAGE);
        let language: Vec<HeaderValue> = language.into_iter().cloned().collect();
        if path == LOGIN {
            let client = client(request.headers(), peer);
            request.extensions_mut().insert(client);
        }
        let accepts = !private
            || accepts_json(request.headers())
            || (batches && accepts_ndjson(request.headers()));
        let mut response = if !accepts {
            Problem::new(Code::NotAcceptable).into_response()
        } else {
            self.handled(request.map(Body::new)).await
        };
        if let Some(Unwritten(problem)) = response.extensions_mut().remove() {
            let mut problem = Arc::unwrap_or_clone(problem);
            if method.is_safe() {
                problem = problem.nothing_changed();
            }
            write(&problem, &language, &mut response);
        }
        let status = response.status();
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if private {
            // Balances are nobody's to keep but the caller's.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let took = began.elapsed();
        self.app.telemetry.request(route, &method, status, took);
        // Neither the query nor the body: they hold memos, names and passwords.
        let (request_id, route) = (id.to_str().unwrap_or_default(), route.route.as_str());
        let (status, micros) = (status.as_u16(), took.as_micros());
        if status >= 500 {
            tracing::info!(request_id, %method, route, status, micros, "request");
        } else {
            tracing::debug!(request_id, %method, route, status, micros, "request");
        }
        response.headers_mut().insert(REQUEST_ID, id);
        Ok(response)
    }

    async fn handled(&self, request: Request<Body>) -> Response {
        let mut router = self.router.clone();
        let answer = async move {
            match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        guarded(answer, self.time_limit).await
    }
}

/// Ends a page that panics or takes too long with a problem, and nothing but that page.
async fn guarded(answer: impl Future<Output = Response>, time_limit: Duration) -> Response {
    let mut answer = pin!(answer);
    let caught = poll_fn(|context| {
        // What a panic leaves behind is dropped right after it: nobody polls it again.
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        polled.unwrap_or_else(|_| Problem::new(Code::Internal).into_response().into())
    });
    let in_time = tokio::time::timeout(time_limit, caught).await;
    in_time.unwrap_or_else(|_| Problem::new(Code::StoreUnavailable).into_response())
}

/// Writes the problem in the caller's language, and keeps what the router said along with it.
fn write(problem: &Problem, language: &[HeaderValue], response: &mut Response) {
    let mut wishes = HeaderMap::new();
    for value in language {
        wishes.append(header::ACCEPT_LANGUAGE, value.clone());
    }
    let allow = response.headers_mut().remove(header::ALLOW);
    *response = problem.respond(Language::preferred(&wishes));
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
}

/// Where the request came from. A proxy on this machine is believed about whom it speaks for.
fn client(headers: &HeaderMap, peer: IpAddr) -> ClientAddress {
    let forwarded = headers.get_all(FORWARDED_FOR).into_iter().next_back();
    let last =
        forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    let address = last.filter(|_| peer.to_canonical().is_loopback()).unwrap_or(peer);
    ClientAddress::new(address)
}

/// Names requests, so that a line in the log can be found from an answer.
struct RequestIds {
    prefix: u32,
    next: AtomicU64,
}

impl RequestIds {
    fn new(nonce: u64) -> Self {
        let prefix = u32::try_from(nonce >> 32).expect("32 bits are left");
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// The caller's own id if it is a sound one, and a new one otherwise.
    fn given_or_new(&self, headers: &HeaderMap) -> HeaderValue {
        let sound = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
            (1..=128).contains(&bytes.len()) && bytes.iter().all(plain)
        };
        headers.get(REQUEST_ID).filter(sound).cloned().unwrap_or_else(|| {
            let id = format!("{:08x}-{:x}", self.prefix, self.next.fetch_add(1, Relaxed));
            HeaderValue::try_from(id).expect("hexadecimal digits may stand in a header")
        })
    }
}

/// For an address that no call has.
pub(crate) async fn no_such_address() -> Problem {
    Problem::new(Code::NotFound)
}

/// For a method that an address does not have. `OPTIONS` only asks which it has: the router adds
/// `Allow` to either answer.
pub(crate) async fn no_such_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Code::MethodNotAllowed).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let forwarded = headers(&[(FORWARDED_FOR, "203.0.113.9, 198.51.100.7")]);
        let at = |text: &str| ClientAddress::new(text.parse().unwrap());
        let from = |peer: &str| client(&forwarded, peer.parse().unwrap());
        assert_eq!(from("127.0.0.1"), at("198.51.100.7"));
        assert_eq!(from("::1"), at("198.51.100.7"));
        assert_eq!(from("192.0.2.1"), at("192.0.2.1"));
        assert_eq!(client(&HeaderMap::new(), "127.0.0.1".parse().unwrap()), at("127.0.0.1"));
    }

    #[tokio::test]
    async fn a_page_that_panics_or_never_ends_is_answered() {
        let long = Duration::from_secs(60);
        let panics = async { panic!("this is meant to be") };
        assert_eq!(guarded(panics, long).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let never = std::future::pending();
        let limited = guarded(never, Duration::from_millis(1)).await;
        assert_eq!(limited.status(), StatusCode::SERVICE_UNAVAILABLE);
        let fine = async { StatusCode::OK.into_response() };
        assert_eq!(guarded(fine, long).await.status(), StatusCode::OK);
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_sound() {
        let ids = RequestIds::new(0xabcd_ef01_0000_0000);
        assert_eq!(ids.given_or_new(&headers(&[(REQUEST_ID, "order-17/a")])), "order-17/a");
        assert_eq!(ids.given_or_new(&headers(&[(REQUEST_ID, "a b")])), "abcdef01-1");
        assert_eq!(ids.given_or_new(&headers(&[(REQUEST_ID, &"a".repeat(129))])), "abcdef01-2");
        assert_eq!(ids.given_or_new(&HeaderMap::new()), "abcdef01-3");
    }
}
