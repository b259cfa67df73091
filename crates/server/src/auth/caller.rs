//! The caller of a request, from its `Authorization` header (RFC 6750).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use serde::{Deserialize, Serialize};
use tongjang_core::UserId;
use utoipa::ToSchema;

use super::{KeyId, SecretHash};
use crate::app::AppState;
use crate::problem::{Code, Problem, Text};

/// What a user is to the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Has accounts of his own, and no say over others.
    #[default]
    Customer,
    /// Works for the ledger: reads all, uses the operators' calls, and books on any account in
    /// batches.
    Operator,
}

impl Role {
    /// `customer` or `operator`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Operator => "operator",
        }
    }
}

/// What a credential is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scopes {
    /// Calls that change something, money calls too. It includes reading.
    pub write: bool,
    /// Booking on the accounts of others, in batches and, where the server leaves that to
    /// operators, by deposits and withdrawals, as long as the user is one. It includes writing.
    pub operate: bool,
}

impl Scopes {
    /// Those of a token, with which its user may do all that he may.
    pub const ALL: Self = Self { write: true, operate: true };
}

/// How the caller showed who he is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// With a token that his password got him.
    Session,
    /// With one of his API keys.
    Key(KeyId),
}

/// Who is calling. As an extractor it refuses with 401, or with 403 `not-permitted` where the key
/// is only good for reading and the call is no reading one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// What the user is.
    pub role: Role,
    /// What the token or key is good for.
    pub scopes: Scopes,
    /// How it is known.
    pub via: Via,
}

impl Caller {
    /// Whether an operator is calling.
    pub fn is_operator(&self) -> bool {
        self.role == Role::Operator
    }

    /// Whether the caller may book on the accounts of others: an operator who logged in, or his
    /// key with the scope for it.
    pub fn operates(&self) -> bool {
        self.is_operator() && self.scopes.operate
    }

    /// Lets only operators pass.
    ///
    /// # Errors
    /// 403 `not-permitted`.
    pub fn operator_only(&self) -> Result<(), Problem> {
        if self.is_operator() {
            return Ok(());
        }
        Err(Problem::new(Code::NotPermitted)
            .detail(Text::fixed("Only an operator may do this.", "운영자만 할 수 있습니다.")))
    }

    /// Lets only a caller pass who logged in, and no key.
    ///
    /// # Errors
    /// 403 `not-permitted`.
    pub fn session_only(&self) -> Result<(), Problem> {
        match self.via {
            Via::Session => Ok(()),
            Via::Key(_) => Err(Problem::new(Code::NotPermitted).detail(Text::fixed(
                "API keys are managed with an access token from `POST /v1/tokens`, not with a key.",
                "API 키는 `POST /v1/tokens`로 받은 액세스 토큰으로만 관리할 수 있습니다.",
            ))),
        }
    }

    /// The caller as the rules know him, who may only touch his own accounts.
    pub fn as_owner(&self) -> tongjang_core::Caller {
        tongjang_core::Caller::owner(self.user)
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let hash = given(&parts.headers).ok_or_else(|| Problem::new(Code::Unauthenticated))?;
        let caller = known(app, hash).await?.ok_or_else(Problem::bad_token)?;
        if !caller.scopes.write && !reads(&parts.method) {
            return Err(Problem::new(Code::NotPermitted)
                .detail(Text::fixed("This API key may only read.", "조회 전용 API 키입니다.")));
        }
        Ok(caller)
    }
}

/// A caller who may be nobody; a token or key that is given must hold all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaybeCaller(pub Option<Caller>);

impl FromRequestParts<AppState> for MaybeCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            Caller::from_request_parts(parts, app).await.map(|caller| Self(Some(caller)))
        } else {
            Ok(Self(None))
        }
    }
}

/// The hash of the token or key that is given, if there is one and no more.
pub(crate) fn given(headers: &HeaderMap) -> Option<SecretHash> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    let token = value.to_str().ok().filter(|_| values.next().is_none()).and_then(bearer);
    token.map(SecretHash::of)
}

/// Lets `caller` go on, if what he showed at first still stands for the same.
///
/// # Errors
/// 401, or 503 if the directory fails.
pub(crate) async fn still(
    app: &AppState,
    hash: SecretHash,
    caller: &Caller,
) -> Result<(), Problem> {
    match known(app, hash).await? {
        Some(now) if now == *caller => Ok(()),
        _ => Err(Problem::bad_token()),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

async fn known(app: &AppState, hash: SecretHash) -> Result<Option<Caller>, Problem> {
    app.auth.known(&app.directory, hash, app.clock.now()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_is_taken() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for value in ["", "Bearer", "Bearer ", "Basic abc", "abc"] {
            assert_eq!(bearer(value), None, "{value}");
        }
    }
}
