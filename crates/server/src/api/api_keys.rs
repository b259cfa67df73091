//! `/v1/api-keys`: keys with which a backend acts for the caller.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tongjang_core::Timestamp;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{time, users};
use crate::app::AppState;
use crate::auth::{Caller, KeyId, Scopes, Secret};
use crate::directory::{ApiKey, Directory, NewKey};
use crate::extract::{Body, NoQuery, Path};
use crate::problem::{Code, Problem, Text};

/// The calls of this file.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(make, list)).routes(routes!(delete))
}

/// What a key is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Calls that only look: `GET`.
    Read,
    /// All calls for the caller, those that move money too; it includes `read`.
    Write,
    /// Booking on the accounts of others, for as long as the caller is an operator: in batches,
    /// and where only operators deposit and withdraw, by those calls. It includes `write`. Only an
    /// operator may make such a key.
    Operate,
}

/// A key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "shop backend", "scopes": ["read"]}))]
pub struct NewKeyBody {
    /// What to call it, at most 100 characters.
    #[schema(example = "shop backend", max_length = 100)]
    name: String,
    /// What it is good for.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// From when on it is no good any more (RFC 3339); never, if left out.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key as its owner sees it later.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyBody {
    /// Its id.
    #[schema(example = "key_01jq3k7r00e8n5w2h4x6y9zabc")]
    id: String,
    /// What its owner calls it.
    name: String,
    /// What it is good for.
    scopes: Vec<Scope>,
    /// The last four characters of the secret.
    last_four: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// From when on it is no good any more.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A new key, with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKey)]
pub struct MadeKeyBody {
    #[serde(flatten)]
    key: KeyBody,
    /// Put this into `Authorization: Bearer …`. It is shown this once.
    secret: String,
}

/// All keys of the caller.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub struct KeysBody {
    /// The newest first.
    data: Vec<KeyBody>,
}

impl From<ApiKey> for KeyBody {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, scopes, last_four, created_at, expires_at } = key;
        let given =
            [(true, Scope::Read), (scopes.write, Scope::Write), (scopes.operate, Scope::Operate)];
        let scopes =
            given.into_iter().filter(|(given, _)| *given).map(|(_, scope)| scope).collect();
        let (created_at, expires_at) = (time(created_at), expires_at.map(time));
        Self { id: id.to_string(), name, scopes, last_four, created_at, expires_at }
    }
}

/// Make a key. Keys are managed with an access token, not with a key.
#[utoipa::path(
    post,
    path = "/v1/api-keys",
    operation_id = "makeApiKey",
    tag = "identity",
    security(("bearer" = [])),
    request_body = NewKeyBody,
    responses((status = 201, description = "The key and its secret", body = MadeKeyBody)),
    extensions(("x-problems" = json!(["limit-exceeded"])))
)]
async fn make(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    Body(body): Body<NewKeyBody>,
) -> Result<(StatusCode, Json<MadeKeyBody>), Problem> {
    caller.session_only()?;
    let name = users::label(&body.name, "/name")?;
    if body.scopes.is_empty() {
        return Err(Problem::invalid(
            "/scopes",
            Text::fixed("must name at least one scope", "권한 범위를 하나 이상 적어야 합니다"),
        ));
    }
    let operate = body.scopes.contains(&Scope::Operate);
    if operate {
        caller.operator_only()?;
    }
    let now = app.clock.now();
    let expires_at = body.expires_at.as_deref().map(|text| end(text, now)).transpose()?;
    let secret = Secret::key(&app.random);
    let key = ApiKey {
        id: KeyId::new(now, app.random.nonce()),
        name,
        scopes: Scopes { write: operate || body.scopes.contains(&Scope::Write), operate },
        last_four: secret.last_four().to_owned(),
        created_at: now,
        expires_at,
    };
    let new = NewKey { user: caller.user, hash: secret.hash(), key: key.clone() };
    if !app.directory.add_key(new).await? {
        let most = Directory::MAX_KEYS;
        return Err(Problem::new(Code::LimitExceeded).detail(Text::new(
            format!("A user has at most {most} keys; delete one first."),
            format!("API 키는 사용자마다 {most}개까지입니다. 먼저 하나를 삭제하세요."),
        )));
    }
    let made = MadeKeyBody { key: key.into(), secret: secret.reveal().to_owned() };
    Ok((StatusCode::CREATED, Json(made)))
}

/// The end of a key's life, which lies ahead.
fn end(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let instant: Option<jiff::Timestamp> = text.parse().ok();
    let end = instant.map(|instant| Timestamp::from_micros(instant.as_microsecond()));
    end.filter(|end| *end > now).ok_or_else(|| {
        Problem::invalid(
            "/expires_at",
            Text::fixed(
                "must be a time to come, in RFC 3339 with its offset",
                "오프셋이 있는 RFC 3339 형식의 미래 시각이어야 합니다",
            ),
        )
    })
}

/// The caller's keys, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/api-keys",
    operation_id = "listApiKeys",
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 200, description = "The keys, newest first", body = KeysBody))
)]
async fn list(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
) -> Result<Json<KeysBody>, Problem> {
    caller.session_only()?;
    let keys = app.directory.keys(caller.user).await?;
    Ok(Json(KeysBody { data: keys.into_iter().map(KeyBody::from).collect() }))
}

/// Delete a key. It stops working at once.
///
/// Where several servers share their users and keys, the others refuse it within a second.
#[utoipa::path(
    delete,
    path = "/v1/api-keys/{id}",
    operation_id = "deleteApiKey",
    tag = "identity",
    security(("bearer" = [])),
    params(("id" = String, Path, description = "The key")),
    responses((status = 204, description = "It is gone"))
)]
async fn delete(
    State(app): State<AppState>,
    caller: Caller,
    _: NoQuery,
    Path(id): Path<KeyId>,
) -> Result<StatusCode, Problem> {
    caller.session_only()?;
    // On its own, so that it comes to its end though the caller hangs up: a key that is deleted
    // and not forgotten would be taken until the server stops.
    let deleting = tokio::spawn(async move {
        let deleted = app.directory.delete_key(caller.user, id).await?;
        let hash = deleted.ok_or_else(|| Problem::new(Code::NotFound))?;
        app.auth.cache.forget(&hash);
        Ok(StatusCode::NO_CONTENT)
    });
    match deleting.await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Code::ShuttingDown)),
        },
    }
}
