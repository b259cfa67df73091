//! `GET /v1/me`: who the caller is.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::time;
use crate::app::AppState;
use crate::auth::{Caller, Role};
use crate::directory::User;
use crate::extract::NoQuery;
use crate::problem::Problem;

/// The calls of this file.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(me))
}

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserBody {
    /// The user's id.
    #[schema(example = "usr_01jq3k7r00e8n5w2h4x6y9zabc")]
    pub id: String,
    /// The username, as its owner wrote it.
    pub username: String,
    /// What to call the user.
    pub name: Option<String>,
    /// What the user is to the ledger.
    pub role: Role,
    /// Since when the user is here.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        let User { id, username, name, role, created_at } = user;
        Self { id: id.to_string(), username, name, role, created_at: time(created_at) }
    }
}

/// Who is calling.
#[utoipa::path(
    get,
    path = "/v1/me",
    operation_id = "getMe",
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 200, description = "The caller", body = UserBody)),
    extensions(("x-problems" = json!(["unauthenticated"])))
)]
async fn me(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
) -> Result<Json<UserBody>, Problem> {
    let user = app.directory.user(caller.user).await?;
    user.map(|user| Json(user.into())).ok_or_else(Problem::bad_token)
}
