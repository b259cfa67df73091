//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use tongjang_core::IdempotencyKey;

use crate::problem::{Code, Problem, Text};

/// The header's name.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The caller's key for a call, if there is one. `"abc"`, as the draft writes it, and a bare `abc`
/// are the same key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotencyKeyHeader(pub Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKeyHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused(Text::fixed("is given twice", "두 번 쓰였습니다")));
    }
    let key = value.to_str().ok().and_then(unquoted);
    key.as_deref().and_then(IdempotencyKey::new).map(Some).ok_or_else(|| {
        refused(Text::fixed(
            "must be 1 to 255 visible ASCII characters, bare or in double quotes",
            "보이는 ASCII 문자 1~255자를 그대로 또는 큰따옴표로 묶어 써야 합니다",
        ))
    })
}

/// The text of a structured field's string (RFC 8941, 3.3.3), or a bare text as it stands.
fn unquoted(value: &str) -> Option<String> {
    let value = value.trim();
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let mut text = String::with_capacity(rest.len());
    let mut letters = rest.strip_suffix('"')?.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return None,
            '\\' => text.push(letters.next().filter(|next| matches!(next, '"' | '\\'))?),
            letter => text.push(letter),
        }
    }
    Some(text)
}

fn refused(detail: Text) -> Problem {
    Problem::new(Code::InvalidIdempotencyKey).error("/idempotency-key", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, axum::http::HeaderValue::from_bytes(value).unwrap());
        }
        let key = read(&headers).map_err(|problem| problem.code())?;
        Ok(key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_key_is_bare_or_quoted() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&[b"abc-1"]), Ok(Some("abc-1".into())));
        assert_eq!(key(&[b"\"abc-1\""]), Ok(Some("abc-1".into())));
        assert_eq!(key(&[br#""a\"b\\c""#]), Ok(Some(r#"a"b\c"#.into())));
        let longest = "k".repeat(255);
        assert_eq!(key(&[longest.as_bytes()]), Ok(Some(longest.clone())));
    }

    #[test]
    fn anything_else_is_refused() {
        let too_long = "k".repeat(256);
        for values in [
            &[&b""[..]][..],
            &[b"\"\""],
            &[b"a b"],
            &[b"\"a b\""],
            &[b"\"abc"],
            &[b"abc\""],
            &[b"\""],
            &[br#""a\x""#],
            &[br#""a\"#],
            &[b"\xed\x82\xa4"],
            &[too_long.as_bytes()],
            &[b"one", b"one"],
        ] {
            assert_eq!(key(values), Err(Code::InvalidIdempotencyKey), "{values:?}");
        }
    }
}
