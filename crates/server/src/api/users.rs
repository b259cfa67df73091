//! `POST /v1/users`: sign up.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tongjang_core::UserId;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::me::UserBody;
use crate::app::AppState;
use crate::auth::{Caller, MaybeCaller, Password, Role};
use crate::config::Signup;
use crate::directory::{NewUser, Username};
use crate::extract::{Body, NoQuery, nfc};
use crate::problem::{Code, Problem, Text};

/// The calls of this file.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sign_up))
}

/// Who wants to sign up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUserBody {
    /// 3 to 64 letters, digits, `.`, `_` or `-`; case does not tell names apart.
    #[schema(example = "minji", min_length = 3, max_length = 64)]
    username: String,
    /// 8 to 200 characters.
    #[schema(
        value_type = String,
        format = Password,
        example = "correct horse battery",
        min_length = 8,
        max_length = 200
    )]
    password: Password,
    /// What to call the user, at most 100 characters.
    #[schema(example = "김민지", max_length = 100)]
    name: Option<String>,
}

/// Sign up. Where sign-up is closed, only an operator may take somebody in.
#[utoipa::path(
    post,
    path = "/v1/users",
    operation_id = "signUp",
    tag = "identity",
    request_body = NewUserBody,
    responses((status = 201, description = "The user", body = UserBody)),
    extensions(("x-problems" = json!(["username-taken", "not-permitted", "overloaded"])))
)]
async fn sign_up(
    State(app): State<AppState>,
    MaybeCaller(caller): MaybeCaller,
    _: NoQuery,
    Body(body): Body<NewUserBody>,
) -> Result<(StatusCode, Json<UserBody>), Problem> {
    may_take_in(&app, caller)?;
    let username = Username::new(&body.username, "/username")?;
    body.password.check("/password")?;
    let name = body.name.as_deref().map(|name| label(name, "/name")).transpose()?;
    let password = app.auth.passwords.hash(body.password, app.random.clone()).await?;
    let created_at = app.clock.now();
    let id = UserId::new(created_at, app.random.nonce());
    let user = NewUser { id, username, password, name, role: Role::Customer, created_at };
    let user = app.directory.add_user(user).await?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

fn may_take_in(app: &AppState, caller: Option<Caller>) -> Result<(), Problem> {
    match (app.config.signup, caller) {
        (Signup::Open, _) => Ok(()),
        (Signup::Closed, Some(caller)) => caller.operator_only(),
        (Signup::Closed, None) => Err(Problem::new(Code::NotPermitted).detail(Text::fixed(
            "Sign-up is closed here; ask an operator.",
            "회원 가입이 닫혀 있습니다. 운영자에게 요청하세요.",
        ))),
    }
}

/// A name for a person or a key: 1 to 100 characters, none of them a control one.
///
/// # Errors
/// 400 `invalid-request` at `pointer`.
pub fn label(text: &str, pointer: &str) -> Result<String, Problem> {
    let composed = nfc(text);
    let name = composed.trim();
    if (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(Problem::invalid(
        pointer,
        Text::fixed(
            "must have 1 to 100 characters and no control characters",
            "제어 문자 없이 1자 이상 100자 이하여야 합니다",
        ),
    ))
}
