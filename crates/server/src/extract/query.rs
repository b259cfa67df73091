//! The parameters after the `?`: each known, each at most once.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::value::MapDeserializer;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use super::body::wrong_field;
use crate::problem::{Problem, Text};

/// The parameters read into a `T`, a struct with `#[serde(deny_unknown_fields)]` of texts, whole
/// numbers, booleans and plain enums, each of which may be an `Option`.
///
/// Refuses with `invalid-request`, pointing at `/parameter`.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// For a call without parameters: one that is given is a slip, and refused as such.
#[derive(Clone, Copy, Debug)]
pub struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        match parts.uri.query() {
            None => Ok(Self),
            Some(query) => parse(query).map(|Nothing {}| Self),
        }
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
            return Err(Problem::invalid(
                format!("/{name}"),
                Text::fixed("is not percent-encoded UTF-8", "퍼센트 인코딩된 UTF-8이 아닙니다"),
            ));
        };
        pairs.push((name.clone(), Value { name, text: value }));
    }
    T::deserialize(MapDeserializer::new(pairs.into_iter())).map_err(|Failed(at, message)| {
        wrong_field(at.map(|name| format!("/{name}")).unwrap_or_default(), &message)
    })
}

/// `application/x-www-form-urlencoded`, strictly: a broken escape is no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

struct Value {
    name: String,
    text: String,
}

/// At which parameter, and serde's text.
#[derive(Debug)]
struct Failed(Option<String>, String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl std::error::Error for Failed {}

impl de::Error for Failed {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(None, message.to_string())
    }
}

impl IntoDeserializer<'_, Failed> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident => $visit:ident: $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
            // Only digits: `+5` and `5.0` are no numbers here.
            let digits = self.text.bytes().all(|byte| byte.is_ascii_digit());
            match self.text.parse::<$type>() {
                Ok(number) if digits => {
                    visitor.$visit(number).map_err(|error: Failed| error.at(self.name))
                }
                _ => Err(Failed(
                    Some(self.name),
                    "invalid value: text, expected a whole number".to_owned(),
                )),
            }
        })*
    };
}

impl Failed {
    fn at(self, name: String) -> Self {
        Self(Some(name), self.1)
    }
}

impl<'de> de::Deserializer<'de> for Value {
    type Error = Failed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_string(self.text).map_err(|error: Failed| error.at(self.name))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failed> {
        match self.text.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Failed(
                Some(self.name),
                "invalid value: text, expected true or false".to_owned(),
            )),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failed> {
        let text = self.text.into_deserializer();
        visitor.visit_enum(text).map_err(|_: Failed| {
            let known = variants.join(", ");
            Failed(Some(self.name), format!("invalid value: text, expected one of {known}"))
        })
    }

    numbers! {
        deserialize_u8 => visit_u8: u8,
        deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32,
        deserialize_u64 => visit_u64: u64
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failed> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, PartialEq, Eq, Debug, Default)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        limit: Option<u16>,
        order: Option<Order>,
        memo: Option<String>,
        full: Option<bool>,
    }

    #[derive(Deserialize, PartialEq, Eq, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Asc,
        Desc,
    }

    #[test]
    fn parameters_are_read_by_name() {
        let expected = Sample {
            limit: Some(10),
            order: Some(Order::Desc),
            memo: Some("월급 A&B".into()),
            full: Some(true),
        };
        let query = "limit=10&order=desc&memo=%EC%9B%94%EA%B8%89+A%26B&full=true";
        assert_eq!(parse::<Sample>(query), Ok(expected));
        assert_eq!(parse::<Sample>(""), Ok(Sample::default()));
        assert_eq!(parse::<Sample>("order=asc").map(|read| read.order), Ok(Some(Order::Asc)));
    }

    #[test]
    fn a_wrong_parameter_is_pointed_at() {
        for (query, pointer, detail) in [
            ("limti=10", "/limti", "is not known here"),
            ("limit=1&limit=2", "/limit", "is given twice"),
            ("limit=ten", "/limit", "has a wrong value; expected a whole number"),
            ("limit=-1", "/limit", "has a wrong value; expected a whole number"),
            ("limit=%2B1", "/limit", "has a wrong value; expected a whole number"),
            ("limit=99999999", "/limit", "has a wrong value; expected a whole number"),
            ("limit=", "/limit", "has a wrong value; expected a whole number"),
            ("order=up", "/order", "has a wrong value; expected one of asc, desc"),
            ("full=1", "/full", "has a wrong value; expected true or false"),
            ("memo=%ff", "/memo", "is not percent-encoded UTF-8"),
            ("memo=%e", "/memo", "is not percent-encoded UTF-8"),
        ] {
            let problem = parse::<Sample>(query).unwrap_err();
            assert_eq!(problem.errors()[0].pointer, pointer, "{query}");
            assert_eq!(problem.errors()[0].detail.en, detail, "{query}");
        }
    }
}
