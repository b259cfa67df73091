//! How the server is: alive, ready, and what it counted.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;
use crate::problem::Problem;

/// The calls of this file.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(metrics))
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`; otherwise the answer is a problem.
    status: &'static str,
    /// The server's version.
    version: &'static str,
}

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// Whether the process answers at all. It does not look at the store.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "alive",
    tag = "service",
    responses((status = 200, description = "It is alive", body = Health))
)]
async fn alive() -> Json<Health> {
    Json(OK)
}

/// Whether a booking can be expected to succeed.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "service",
    responses((status = 200, description = "It can commit", body = Health)),
    extensions(("x-problems" = json!(["store-unavailable", "shutting-down"])))
)]
async fn ready(State(app): State<AppState>) -> Result<Json<Health>, Problem> {
    app.ledger.ready().await.map(|()| Json(OK))
}

/// Counters in the text format of Prometheus. Keep them from strangers: they tell how busy it is.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses((status = 200, description = "Counters", content_type = "text/plain", body = String))
)]
async fn metrics(State(app): State<AppState>) -> Response {
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([kind], app.telemetry.render(&app.ledger)).into_response()
}
