//! What people write, brought into Unicode's composed form (NFC) before the core checks it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use tongjang_core::text::TextError;
use tongjang_core::{AccountNumber, Bank, Memo, Metadata};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Problem, Text};

/// `text` in NFC; without a copy where it is already.
pub fn nfc(text: &str) -> Cow<'_, str> {
    // ASCII is composed as it stands, and most texts of a batch are ASCII.
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// The memo that `text` says; none, if there is no text.
///
/// # Errors
/// 400 `invalid-request` at `pointer`.
pub fn memo(text: Option<&str>, pointer: &str) -> Result<Memo, Problem> {
    let Some(text) = text else { return Ok(Memo::EMPTY) };
    Memo::new(&nfc(text)).map_err(|error| refused(error, pointer))
}

/// The bank of this code or name, white space around it aside.
///
/// # Errors
/// 400 `invalid-request` at `pointer`.
pub fn bank(text: &str, pointer: &str) -> Result<Bank, Problem> {
    Bank::new(nfc(text).trim()).map_err(|error| refused(error, pointer))
}

/// The account number that `text` spells, white space around it aside.
///
/// # Errors
/// 400 `invalid-request` at `pointer`.
pub fn account_number(text: &str, pointer: &str) -> Result<AccountNumber, Problem> {
    AccountNumber::new(nfc(text).trim()).map_err(|error| refused(error, pointer))
}

pub(crate) fn refused(error: TextError, pointer: &str) -> Problem {
    let ko = match error {
        TextError::Empty => "비어 있을 수 없습니다".to_owned(),
        TextError::TooLong(most) => format!("{most}보다 길 수 없습니다"),
        TextError::TooMany(most) => format!("항목은 {most}개까지입니다"),
        TextError::Forbidden(letter) => format!("{letter:?} 문자는 쓸 수 없습니다"),
        TextError::Twice => "같은 키가 두 번 쓰였습니다".to_owned(),
    };
    Problem::invalid(pointer, Text::new(error.to_string(), ko))
}

/// A flat object of texts, as it stands in a body. Null counts as none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MetadataField(Vec<(Box<str>, Box<str>)>);

impl MetadataField {
    /// The metadata.
    ///
    /// # Errors
    /// 400 `invalid-request` at `pointer`, if there is too much of it or a key stands twice.
    pub fn metadata(self, pointer: &str) -> Result<Metadata, Problem> {
        let composed = |text: Box<str>| match nfc(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(composed) => composed.into(),
        };
        let pairs = self.0.into_iter().map(|(key, value)| (composed(key), composed(value)));
        Metadata::new(pairs.collect()).map_err(|error| refused(error, pointer))
    }
}

impl<'de> Deserialize<'de> for MetadataField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = MetadataField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_unit<E>(self) -> Result<MetadataField, E> {
                Ok(MetadataField::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetadataField, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(MetadataField(pairs))
            }
        }

        deserializer.deserialize_any(Pairs)
    }
}

impl PartialSchema for MetadataField {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Object))
            .description(Some("At most 16 pairs of texts, 1 KiB together."))
            .additional_properties(Some(AdditionalProperties::RefOr(text.into())))
            .into()
    }
}

impl ToSchema for MetadataField {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Metadata")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hangul_typed_in_jamo_is_composed() {
        let jamo = "\u{1112}\u{1161}\u{11ab}";
        assert_eq!(memo(Some(jamo), "/memo").unwrap().as_str(), "한");
        let long = jamo.repeat(140);
        assert!(memo(Some(&long), "/memo").is_ok(), "140 syllables, though 420 code points");
    }

    #[test]
    fn a_text_that_is_too_long_is_pointed_at() {
        let problem = memo(Some(&"가".repeat(141)), "/to_memo").unwrap_err();
        assert_eq!(problem.errors()[0].pointer, "/to_memo");
        assert!(bank(" \t ", "/bank").is_err());
        assert_eq!(bank(" 004 ", "/bank").unwrap().as_str(), "004");
    }

    #[test]
    fn two_keys_that_are_one_after_composing_are_one_too_many() {
        let pairs = vec![("é".into(), "1".into()), ("e\u{301}".into(), "2".into())];
        assert!(MetadataField(pairs).metadata("/metadata").is_err());
    }
}
