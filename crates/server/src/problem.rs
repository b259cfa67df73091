//! Problems: every answer that is no success (RFC 9457). The only place that maps rejections of
//! the rules and failures of the store to HTTP.

mod code;
pub(crate) mod language;
mod rejection;

use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

pub use code::Code;
pub use language::{Language, Text};

/// A problem to answer with. Handlers return it as their error; the language is chosen when it is
/// written out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Inner {
    code: Code,
    detail: Option<Text>,
    errors: Vec<FieldError>,
    members: Vec<(&'static str, Member)>,
    retry_after: Option<u32>,
    challenge: Option<&'static str>,
    replayed: bool,
}

/// One thing that is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// Where: a JSON pointer (RFC 6901) into the body, or `/name` for a parameter or header.
    pub pointer: String,
    /// What is wrong there.
    pub detail: Text,
}

/// A further member of a problem's object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Member {
    /// A whole number, e.g. an amount.
    Integer(i128),
    /// A text, e.g. an id.
    Text(String),
    /// A list of names.
    Names(Vec<&'static str>),
}

/// What `WWW-Authenticate` says where there was no token at all (RFC 6750, 3).
const NO_TOKEN: &str = r#"Bearer realm="tongjang""#;
/// What it says where the token does not hold.
const BAD_TOKEN: &str = r#"Bearer realm="tongjang", error="invalid_token""#;

/// The answer is the one that the Idempotency-Key already stood for.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

impl Problem {
    /// A problem with this code and its general detail.
    pub fn new(code: Code) -> Self {
        let retry_after = match code {
            Code::Overloaded | Code::StoreUnavailable => Some(1),
            Code::ShuttingDown => Some(5),
            _ => None,
        };
        let challenge = (code == Code::Unauthenticated).then_some(NO_TOKEN);
        let (detail, errors, members) = (None, Vec::new(), Vec::new());
        Self(Box::new(Inner {
            code,
            detail,
            errors,
            members,
            retry_after,
            challenge,
            replayed: false,
        }))
    }

    /// One thing wrong with the request: 400 `invalid-request`. `pointer` is a JSON pointer into
    /// the body, or `/name` for a query parameter or header.
    pub fn invalid(pointer: impl Into<String>, detail: Text) -> Self {
        Self::new(Code::InvalidRequest).error(pointer, detail)
    }

    /// The token or key given does not hold: 401.
    pub fn bad_token() -> Self {
        let mut problem = Self::new(Code::Unauthenticated);
        problem.0.challenge = Some(BAD_TOKEN);
        problem.detail(Text::fixed(
            "The access token or API key is unknown, expired or deleted.",
            "액세스 토큰이나 API 키를 알 수 없거나, 만료되었거나, 삭제되었습니다.",
        ))
    }

    /// Says more exactly what happened.
    pub fn detail(mut self, detail: Text) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// For what books nothing, or was not begun: a store that is not available leaves no outcome
    /// open then, which its general detail would say.
    pub(crate) fn nothing_changed(self) -> Self {
        if self.0.code != Code::StoreUnavailable || self.0.detail.is_some() {
            return self;
        }
        self.detail(Text::fixed(
            "Nothing was changed. Try again after `Retry-After` seconds.",
            "바뀐 것은 없습니다. `Retry-After`초 뒤에 다시 시도하세요.",
        ))
    }

    /// Adds one thing that is wrong with the request.
    pub fn error(mut self, pointer: impl Into<String>, detail: Text) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), detail });
        self
    }

    /// Adds a further member.
    pub fn member(mut self, name: &'static str, value: Member) -> Self {
        self.0.members.push((name, value));
        self
    }

    /// Says when to try again.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Says whether an Idempotency-Key already stood for this refusal.
    pub fn replayed(mut self, replayed: bool) -> Self {
        self.0.replayed = replayed;
        self
    }

    /// Whether an Idempotency-Key already stood for this refusal.
    pub(crate) fn is_replayed(&self) -> bool {
        self.0.replayed
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What is wrong with the request, one by one.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// Its object in `language`, to be put into an answer.
    pub fn in_language(&self, language: Language) -> InLanguage<'_> {
        InLanguage { problem: self, language }
    }

    /// The answer's headers and body in `language`.
    pub(crate) fn respond(&self, language: Language) -> Response {
        let body = serde_json::to_vec(&self.in_language(language))
            .expect("texts and numbers can be written as JSON");
        let mut response = (self.0.code.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.0.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some(challenge) = self.0.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// A problem on its way out: the edge writes it in the caller's language.
#[derive(Clone)]
pub(crate) struct Unwritten(pub(crate) Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        response.extensions_mut().insert(Unwritten(Arc::new(self)));
        response
    }
}

/// A problem's object in one language.
pub struct InLanguage<'a> {
    problem: &'a Problem,
    language: Language,
}

impl Serialize for InLanguage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (inner, language) = (&self.problem.0, self.language);
        let code = inner.code;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("/problems/{}", code.as_str()))?;
        map.serialize_entry("title", code.title().get(language))?;
        map.serialize_entry("status", &code.status().as_u16())?;
        let general = code.meaning();
        map.serialize_entry("detail", inner.detail.as_ref().unwrap_or(&general).get(language))?;
        map.serialize_entry("code", code.as_str())?;
        if !inner.errors.is_empty() {
            let errors: Vec<_> = inner
                .errors
                .iter()
                .map(|error| Located {
                    pointer: &error.pointer,
                    detail: error.detail.get(language),
                })
                .collect();
            map.serialize_entry("errors", &errors)?;
        }
        for (name, value) in &inner.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Located<'a> {
    pointer: &'a str,
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_written_in_the_callers_language() {
        let problem = Problem::new(Code::InsufficientFunds)
            .member("available", Member::Integer(1 << 96))
            .error("/amount", Text::fixed("too much", "너무 많음"));
        assert_eq!(
            serde_json::to_string(&problem.in_language(Language::Ko)).unwrap(),
            "{\"type\":\"/problems/insufficient-funds\",\"title\":\"잔액이 부족합니다\",\
             \"status\":422,\"detail\":\"출금 가능 금액보다 많은 금액을 요청했습니다.\",\
             \"code\":\"insufficient-funds\",\
             \"errors\":[{\"pointer\":\"/amount\",\"detail\":\"너무 많음\"}],\
             \"available\":79228162514264337593543950336}"
        );
    }

    #[test]
    fn every_code_is_its_own_and_of_its_status_group() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{code:?}");
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
        assert!(Code::ALL.is_sorted_by_key(|code| code.status()), "the table is in order");
    }
}
