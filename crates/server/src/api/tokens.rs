//! `POST /v1/tokens`: log in.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tongjang_core::{Timestamp, UserId};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, AppState};
use crate::auth::{ClientAddress, Password, Secret, TOKEN_SECONDS};
use crate::directory::Username;
use crate::extract::{Body, NoQuery};
use crate::problem::{Code, Problem, Text};

/// The calls of this file.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(log_in))
}

/// Who wants to log in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// The username; case does not matter.
    #[schema(example = "minji")]
    username: String,
    /// The password.
    #[schema(value_type = String, format = Password, example = "correct horse battery")]
    password: Password,
}

/// A session token.
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    /// Put this into `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// For how many seconds it holds.
    #[schema(example = 43200)]
    expires_in: u32,
}

/// Log in with username and password. The token holds for 12 hours.
#[utoipa::path(
    post,
    path = "/v1/tokens",
    operation_id = "logIn",
    tag = "identity",
    request_body = LoginBody,
    responses((status = 200, description = "A token", body = TokenBody)),
    extensions(("x-problems" = json!(["unauthenticated", "rate-limited", "overloaded"])))
)]
async fn log_in(
    State(app): State<AppState>,
    Extension(client): Extension<ClientAddress>,
    _: NoQuery,
    Body(body): Body<LoginBody>,
) -> Result<Json<TokenBody>, Problem> {
    let now = app.clock.now();
    // A text that can be no username is nobody's, and not worth the memory to count it.
    let username = Username::new(&body.username, "/username").map_err(|_| wrong())?;
    app.auth.throttle.attempt(username.key(), client, now)?;
    let recognised = recognised(&app, &username, body.password).await;
    if recognised.is_err() {
        app.auth.throttle.undecided(username.key(), client);
    }
    let user = recognised?.ok_or_else(wrong)?;
    app.auth.throttle.succeeded(username.key(), client);
    let token = Secret::token(&app.random);
    let expires_at = Timestamp::from_micros(now.micros() + i64::from(TOKEN_SECONDS) * 1_000_000);
    app.directory.add_token(token.hash(), user, expires_at, now).await?;
    Ok(Json(TokenBody {
        access_token: token.reveal().to_owned(),
        token_type: "Bearer",
        expires_in: TOKEN_SECONDS,
    }))
}

fn wrong() -> Problem {
    Problem::new(Code::Unauthenticated).detail(Text::fixed(
        "The username or the password is wrong.",
        "사용자 이름 또는 비밀번호가 틀렸습니다.",
    ))
}

/// The user whose name and password these are.
async fn recognised(
    app: &App,
    username: &Username,
    password: Password,
) -> Result<Option<UserId>, Problem> {
    let found = app.directory.user_named(username).await?;
    let (user, hash) = found.unzip();
    let right = app.auth.passwords.check(password, hash).await?;
    Ok(user.filter(|_| right))
}
