//! A JSON body. It is parsed once and fast; only one that is refused is looked at again, to say
//! exactly where it is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::Segment;

use crate::problem::{Code, Problem, Text};

/// The most bytes of a body.
pub const BODY_LIMIT: usize = 1 << 20;

/// A JSON body read into a `T`, which should have `#[serde(deny_unknown_fields)]`.
///
/// Refuses with `unsupported-media-type`, `body-too-large`, `malformed-json` or `invalid-request`.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        let bytes = read(request, BODY_LIMIT).await?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|name| name.eq_ignore_ascii_case("application/json"))
}

/// The media type of the body, unless it is one of a text that is not in UTF-8.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (name, parameters) = value.split_once(';').unwrap_or((value, ""));
    // JSON is UTF-8 and has no other charset (RFC 8259, 8.1).
    let charset = parameters.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    charset.is_none_or(|name| name.eq_ignore_ascii_case("utf-8")).then(|| name.trim())
}

/// The whole body, if it has at most `limit` bytes.
///
/// # Errors
/// 413 `body-too-large`, or 400 `malformed-json` if it broke off.
pub(crate) async fn read(request: Request, limit: usize) -> Result<Bytes, Problem> {
    announced_within(request.headers(), limit)?;
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(Code::BodyTooLarge)),
        Err(_) => Err(broken_off()),
    }
}

/// Refuses a body that says itself that it has more bytes than `limit`.
///
/// # Errors
/// 413 `body-too-large`.
pub(crate) fn announced_within(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > limit as u64 => Err(Problem::new(Code::BodyTooLarge)),
        _ => Ok(()),
    }
}

/// The body ended before it was over.
pub(crate) fn broken_off() -> Problem {
    Problem::new(Code::MalformedJson)
        .detail(Text::fixed("The body broke off.", "본문이 도중에 끊겼습니다."))
}

/// Reads a `T` from a JSON object, or says what is wrong with it and where.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
    // serde also takes an array for a struct, by the order of its fields; that order is nobody's
    // business, and `[1, "lunch"]` says nowhere what is which.
    if is_array(json) {
        return Err(explain::<T>(json));
    }
    serde_json::from_slice(json).map_err(|_| explain::<T>(json))
}

fn is_array(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'[')
}

#[cold]
fn explain<T: DeserializeOwned>(json: &[u8]) -> Problem {
    if let Err(error) = std::str::from_utf8(json) {
        let at = error.valid_up_to();
        return Problem::new(Code::MalformedJson).detail(Text::new(
            format!("The body is not UTF-8 at byte {at}."),
            format!("본문의 {at}번째 바이트가 UTF-8이 아닙니다."),
        ));
    }
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(json) {
        return malformed(&error);
    }
    if is_array(json) {
        let text = Text::fixed("must be an object, not an array", "배열이 아니라 객체여야 합니다");
        return Problem::invalid("", text);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => Problem::new(Code::InvalidRequest),
        Err(error) => {
            let (pointer, message) = (pointer(error.path()), error.inner().to_string());
            // A string may hold what only its reader finds wrong, e.g. half a surrogate pair.
            if error.inner().is_syntax() || error.inner().is_eof() {
                return malformed(error.inner());
            }
            wrong_field(pointer, &message)
        }
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    Problem::new(Code::MalformedJson).detail(Text::new(
        format!("The body stops being JSON at line {line}, column {column}."),
        format!("본문의 {line}번째 줄 {column}번째 글자에서 JSON 문법이 어긋납니다."),
    ))
}

/// The JSON pointer (RFC 6901) of a place in a document.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => step(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

fn step(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// Turns what serde says into a problem in both languages. The texts are serde's own, see
/// `serde::de::Error`; one that is not known is given as it stands.
pub(super) fn wrong_field(mut pointer: String, message: &str) -> Problem {
    let message = message.split(" at line ").next().unwrap_or(message);
    let named = |start: &str| message.strip_prefix(start)?.split('`').next();
    // serde names these fields in its text and points at the object around them.
    let mut inside = |field: &str| {
        let mut last = String::new();
        step(&mut last, field);
        if !pointer.ends_with(&last) {
            pointer.push_str(&last);
        }
        std::mem::take(&mut pointer)
    };
    if let Some(field) = named("unknown field `") {
        let text = Text::fixed("is not known here", "알 수 없는 항목입니다");
        Problem::invalid(inside(field), text)
    } else if let Some(field) = named("missing field `") {
        Problem::invalid(inside(field), Text::fixed("is missing", "필수 항목이 없습니다"))
    } else if let Some(field) = named("duplicate field `") {
        Problem::invalid(inside(field), Text::fixed("is given twice", "두 번 쓰였습니다"))
    } else if let Some((found, expected)) =
        message.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    {
        // What was found stays out: it may be a password in the wrong place.
        let kind = found.split([' ', '`']).next().unwrap_or_default();
        Problem::invalid(
            pointer,
            Text::new(
                format!("has the wrong type ({kind}); expected {expected}"),
                format!("자료형이 잘못되었습니다({kind}). 필요한 것: {expected}"),
            ),
        )
    } else if let Some((_, expected)) = message.split_once(", expected ") {
        Problem::invalid(
            pointer,
            Text::new(
                format!("has a wrong value; expected {expected}"),
                format!("값이 잘못되었습니다. 필요한 것: {expected}"),
            ),
        )
    } else {
        Problem::invalid(pointer, Text::new(message.to_owned(), message.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::{AmountField, MetadataField};
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read is looked at")]
    struct Sample {
        name: String,
        #[serde(default)]
        amount: AmountField,
        #[serde(default)]
        metadata: MetadataField,
        inner: Option<Inner>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read is looked at")]
    struct Inner {
        list: Vec<u32>,
    }

    fn refused(json: &[u8]) -> (Code, String, String) {
        let problem = parse::<Sample>(json).unwrap_err();
        let error = problem.errors().first();
        (
            problem.code(),
            error.map(|error| error.pointer.clone()).unwrap_or_default(),
            error.map(|error| error.detail.en.to_string()).unwrap_or_default(),
        )
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for json in [
            &b""[..],
            b"{",
            b"{\"name\": \"a\",}",
            b"{\"name\": 'a'}",
            b"{\"name\": \"a\"} x",
            b"\xef\xbb\xbf{\"name\": \"a\"}",
            b"{\"name\": \"\xff\"}",
            b"{\"name\": \"\\ud800\"}",
            b"{\"name\": NaN}",
            b"{\"name\": 01}",
            // Wrong in its type first, but no JSON at all.
            b"{\"name\": 1, ",
        ] {
            let shown = String::from_utf8_lossy(json);
            assert_eq!(refused(json).0, Code::MalformedJson, "{shown}");
        }
    }

    #[test]
    fn a_wrong_field_is_pointed_at() {
        for (json, pointer, detail) in [
            (r#"{}"#, "/name", "is missing"),
            (r#"{"name": "a", "nmae": 1}"#, "/nmae", "is not known here"),
            (r#"{"name": "a", "a/b~c": 1}"#, "/a~1b~0c", "is not known here"),
            (r#"{"name": "a", "name": "b"}"#, "/name", "is given twice"),
            (r#"{"name": 7}"#, "/name", "has the wrong type (integer); expected a string"),
            (r#"{"name": "a", "inner": {}}"#, "/inner/list", "is missing"),
            (
                r#"{"name": "a", "inner": {"list": [1, "x"]}}"#,
                "/inner/list/1",
                "has the wrong type (string); expected u32",
            ),
            (
                r#"{"name": "a", "metadata": {"k": 1}}"#,
                "/metadata/k",
                "has the wrong type (integer); expected a string",
            ),
        ] {
            let expected = (Code::InvalidRequest, pointer.to_owned(), detail.to_owned());
            assert_eq!(refused(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn an_array_is_no_object_with_its_names_left_out() {
        let array = br#" ["a", 5, {"k": "v"}, {"list": [1]}]"#;
        let said = "must be an object, not an array";
        assert_eq!(refused(array), (Code::InvalidRequest, String::new(), said.to_owned()));
        assert_eq!(refused(b"[1").0, Code::MalformedJson);
        assert_eq!(refused(b"[\"\xff\"]").0, Code::MalformedJson);
    }

    #[test]
    fn a_body_that_goes_deep_without_end_is_refused() {
        let deep = [b"{\"inner\":".repeat(100_000), b"1".to_vec(), b"}".repeat(100_000)].concat();
        assert_eq!(refused(&deep).1, "/inner/inner");
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_echoed() {
        let (_, _, detail) = refused(br#"{"name": "a", "inner": "hunter2-hunter2"}"#);
        assert!(!detail.contains("hunter2"), "{detail}");
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=euc-kr", false),
            ("text/json", false),
            ("application/jsonp", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{content_type}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
