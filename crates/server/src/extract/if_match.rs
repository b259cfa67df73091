//! The `If-Match` header (RFC 9110, 13.1.1) against an account's version.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::problem::{Problem, Text};

/// The version that the account must have; `None` if the caller does not care.
///
/// `*` asks only that the account exists, which every call does. A weak tag never matches, and
/// neither does one that we did not hand out: both are version 0, which no account ever has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IfMatch(pub Option<u64>);

const NEVER: u64 = 0;

impl IfMatch {
    /// The entity tag of an account at `version`.
    pub fn tag(version: u64) -> String {
        format!("\"{version}\"")
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

fn read(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let one = value.to_str().ok().filter(|_| values.next().is_none()).map(str::trim);
    match one {
        Some("*") => Ok(None),
        Some(tag) if is_tag(tag.strip_prefix("W/").unwrap_or(tag)) => {
            let version = tag.trim_matches('"');
            let canonical = version.parse().ok().filter(|read: &u64| read.to_string() == version);
            Ok(Some(canonical.unwrap_or(NEVER)))
        }
        _ => Err(Problem::invalid(
            "/if-match",
            Text::fixed(
                "must be one entity tag as it stood in ETag, e.g. \"7\", or *",
                "ETag에 적힌 태그 하나(예: \"7\") 또는 *여야 합니다",
            ),
        )),
    }
}

fn is_tag(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_tag_names_a_version_and_nothing_else_does() {
        for (value, expected) in [
            ("\"7\"", Some(Some(7))),
            ("*", Some(None)),
            ("W/\"7\"", Some(Some(NEVER))),
            ("\"07\"", Some(Some(NEVER))),
            ("\"abc\"", Some(Some(NEVER))),
            ("7", None),
            ("\"7\", \"8\"", None),
            ("\"", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value.parse().unwrap());
            assert_eq!(read(&headers).ok(), expected, "{value}");
        }
        assert_eq!(read(&HeaderMap::new()), Ok(None));
    }
}
