//! The calls of the API: a file a resource, with its handlers, bodies and documentation.
//!
//! A call documents the problems of its own as
//! `extensions(("x-problems" = json!(["insufficient-funds"])))`. Those that its shape implies (its
//! security, parameters and body) are added to the document for all calls alike.

pub mod accounts;
pub mod api_keys;
pub mod balance;
pub mod batches;
pub mod booking;
pub mod deposits;
mod document;
pub mod history;
pub mod ledger;
pub mod listing;
pub mod me;
pub mod opening;
pub mod page;
pub mod params;
pub mod service;
pub mod tokens;
pub mod transactions;
pub mod transfers;
pub mod users;
pub mod view;
pub mod withdrawals;

pub use self::batches::BatchLimits;
pub(crate) use self::batches::Bounds;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;
use crate::{edge, web};

/// All calls. A resource's file has a `router()` of its own, merged here.
fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(document::frame())
        .merge(users::router())
        .merge(tokens::router())
        .merge(me::router())
        .merge(api_keys::router())
        .merge(accounts::router())
        .merge(balance::router())
        .merge(deposits::router())
        .merge(withdrawals::router())
        .merge(transfers::router())
        .merge(transactions::router())
        .merge(batches::router())
        .merge(history::router())
        .merge(ledger::router())
        .merge(service::router())
}

/// The OpenAPI document of all calls.
pub fn document() -> utoipa::openapi::OpenApi {
    document::finished(router().into_openapi())
}

/// All that the server answers, and the routes by which requests are counted.
pub(crate) fn service(app: AppState) -> (Router, Vec<String>) {
    let (calls, document) = router().split_for_parts();
    let document = document::finished(document);
    let mut routes: Vec<String> = document.paths.paths.keys().cloned().collect();
    let (pages, more) = web::router(&document);
    routes.extend(more);
    let router = calls
        .merge(pages)
        .fallback(edge::no_such_address)
        .method_not_allowed_fallback(edge::no_such_method)
        .with_state(app);
    (router, routes)
}

/// An answer in JSON, written straight into its bytes.
fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("texts and whole numbers can be written as JSON");
    let mut response = (status, body).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// An instant as the API writes it: RFC 3339 in UTC with microseconds.
pub fn time(at: tongjang_core::Timestamp) -> String {
    crate::when::Utc(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_microseconds() {
        let at = tongjang_core::Timestamp::from_micros(1_763_856_000_000_001);
        assert_eq!(time(at), "2025-11-23T00:00:00.000001Z");
        let whole = tongjang_core::Timestamp::from_micros(1_763_856_000_000_000);
        assert_eq!(time(whole), "2025-11-23T00:00:00.000000Z");
    }
}
