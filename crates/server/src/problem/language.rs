//! The two languages that the server speaks, and which one a caller prefers.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

/// A language of the answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Language {
    /// English, for everybody who does not prefer Korean.
    #[default]
    En,
    /// Korean.
    Ko,
}

impl Language {
    /// The language's tag (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Ko => "ko",
        }
    }

    /// The language that `Accept-Language` prefers (RFC 9110, 12.5.4): Korean if it ranks before
    /// English, which is the one for everything else.
    pub fn preferred(headers: &HeaderMap) -> Self {
        let ranges = headers
            .get_all(header::ACCEPT_LANGUAGE)
            .into_iter()
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .map(weighted);
        let (mut english, mut korean) = ((0, Reverse(0)), (0, Reverse(0)));
        for (place, (tag, weight)) in ranges.enumerate() {
            let primary = tag.split('-').next().unwrap_or_default();
            // Of two with the same weight the one named first wins.
            let rank = (weight, Reverse(place));
            if primary.eq_ignore_ascii_case("ko") {
                korean = korean.max(rank);
            } else if primary.eq_ignore_ascii_case("en") {
                english = english.max(rank);
            }
        }
        if korean.0 > 0 && korean > english { Self::Ko } else { Self::En }
    }
}

/// A media or language range and its weight in thousandths; 0 for a weight that cannot be read.
pub(crate) fn weighted(range: &str) -> (&str, u16) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (name, weight.map_or(1000, thousandths))
}

fn thousandths(weight: &str) -> u16 {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let sound = decimals.len() <= 3 && decimals.bytes().all(|digit| digit.is_ascii_digit());
    let fraction = format!("{decimals:0<3}").parse::<u16>();
    match (whole, fraction) {
        ("0", Ok(fraction)) if sound => fraction,
        ("1", Ok(0)) if sound => 1000,
        _ => 0,
    }
}

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::preferred(&parts.headers))
    }
}

/// A text in both languages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// In English.
    pub en: Cow<'static, str>,
    /// In Korean.
    pub ko: Cow<'static, str>,
}

impl Text {
    /// A text known when the program was built.
    pub const fn fixed(en: &'static str, ko: &'static str) -> Self {
        Self { en: Cow::Borrowed(en), ko: Cow::Borrowed(ko) }
    }

    /// A text put together for one occasion.
    pub fn new(en: impl Into<Cow<'static, str>>, ko: impl Into<Cow<'static, str>>) -> Self {
        Self { en: en.into(), ko: ko.into() }
    }

    /// The text in `language`.
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::En => &self.en,
            Language::Ko => &self.ko,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn korean_is_spoken_to_whom_it_ranks_first() {
        for (header, expected) in [
            ("ko", Language::Ko),
            ("ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7", Language::Ko),
            ("fr, ko;q=0.5", Language::Ko),
            ("KO", Language::Ko),
            ("en;q=0.3, ko;q=0.4", Language::Ko),
            ("ko, en", Language::Ko),
            ("en, ko", Language::En),
            ("en-US,en;q=0.9,ko;q=0.8", Language::En),
            ("ko;q=0", Language::En),
            ("ko;q=0.5, en", Language::En),
            ("kok", Language::En),
            ("*", Language::En),
            ("ko;q=7", Language::En),
            ("", Language::En),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, header.parse().unwrap());
            assert_eq!(Language::preferred(&headers), expected, "{header}");
        }
        assert_eq!(Language::preferred(&HeaderMap::new()), Language::En);
    }
}
