//! What people write: memos, metadata, names of banks and account numbers.
//!
//! Each is checked once, here, and after that cannot be wrong. Whoever builds
//! one normalises it first (NFC); the core counts characters and forbids
//! control characters.

use std::fmt;
use std::sync::Arc;

/// Why a text was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextError {
    /// There is nothing in it.
    Empty,
    /// It is longer than what is given, in characters or, for metadata, bytes.
    TooLong(usize),
    /// It has more members than what is given.
    TooMany(usize),
    /// It has a character that is not allowed there.
    Forbidden(char),
    /// A key stands in it twice.
    Twice,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong(most) => write!(f, "must not be longer than {most}"),
            Self::TooMany(most) => write!(f, "must not have more than {most} members"),
            Self::Forbidden(letter) => write!(f, "must not contain {letter:?}"),
            Self::Twice => f.write_str("must not have a key twice"),
        }
    }
}

impl std::error::Error for TextError {}

fn checked(text: &str, most: usize) -> Result<(), TextError> {
    if let Some(control) = text.chars().find(|letter| letter.is_control()) {
        return Err(TextError::Forbidden(control));
    }
    if text.chars().nth(most).is_some() {
        return Err(TextError::TooLong(most));
    }
    Ok(())
}

/// A memo (적요) on a transaction: at most 140 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Memo(Option<Arc<str>>);

impl Memo {
    /// The most characters that a memo has.
    pub const MAX_CHARS: usize = 140;
    /// No memo.
    pub const EMPTY: Self = Self(None);

    /// The memo that says `text`, which is in NFC.
    pub fn new(text: &str) -> Result<Self, TextError> {
        checked(text, Self::MAX_CHARS)?;
        Ok(if text.is_empty() { Self::EMPTY } else { Self(Some(text.into())) })
    }

    /// What it says; the empty text if there is none.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// Pairs of texts that a caller keeps with a transaction: at most 16, 1 KiB together, without the
/// character 0, which not every store of texts can hold.
///
/// Kept in the order of their keys; the ledger never looks into them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Metadata(Option<Arc<[Pair]>>);

/// A key and its value.
pub type Pair = (Box<str>, Box<str>);

impl Metadata {
    /// The most pairs.
    pub const MAX_PAIRS: usize = 16;
    /// The most bytes of all keys and values together, in UTF-8.
    pub const MAX_BYTES: usize = 1024;
    /// No metadata.
    pub const EMPTY: Self = Self(None);

    /// The metadata of these pairs.
    pub fn new(mut pairs: Vec<Pair>) -> Result<Self, TextError> {
        if pairs.is_empty() {
            return Ok(Self::EMPTY);
        }
        if pairs.len() > Self::MAX_PAIRS {
            return Err(TextError::TooMany(Self::MAX_PAIRS));
        }
        pairs.sort();
        let mut bytes = 0usize;
        let mut before = "";
        for (key, value) in &pairs {
            if key.is_empty() {
                return Err(TextError::Empty);
            }
            if key.contains('\0') || value.contains('\0') {
                return Err(TextError::Forbidden('\0'));
            }
            if before == key.as_ref() {
                return Err(TextError::Twice);
            }
            before = key;
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        }
        if bytes > Self::MAX_BYTES {
            return Err(TextError::TooLong(Self::MAX_BYTES));
        }
        Ok(Self(Some(pairs.into())))
    }

    /// The pairs, key first.
    pub fn pairs(&self) -> &[Pair] {
        self.0.as_deref().unwrap_or_default()
    }
}

/// The bank that keeps an account: a 3-digit code of KFTC or any name, at most 40 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Bank(Box<str>);

impl Bank {
    /// The most characters of a bank's name.
    pub const MAX_CHARS: usize = 40;

    /// The bank with this code or name, which is in NFC and has no white space around it.
    pub fn new(name: &str) -> Result<Self, TextError> {
        checked(name, Self::MAX_CHARS)?;
        if name.is_empty() {
            return Err(TextError::Empty);
        }
        Ok(Self(name.into()))
    }

    /// The code or name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account's number within its bank: 1 to 34 letters, digits and hyphens, one of them a
/// letter or digit.
///
/// 34 is the longest account number of ISO 13616 (IBAN).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountNumber(Box<str>);

impl AccountNumber {
    /// The most characters of an account number.
    pub const MAX_CHARS: usize = 34;

    /// The number as written by its owner.
    pub fn new(number: &str) -> Result<Self, TextError> {
        checked(number, Self::MAX_CHARS)?;
        let odd = number.chars().find(|letter| !(letter.is_ascii_alphanumeric() || *letter == '-'));
        if let Some(letter) = odd {
            return Err(TextError::Forbidden(letter));
        }
        if number.chars().all(|letter| letter == '-') {
            return Err(TextError::Empty);
        }
        Ok(Self(number.into()))
    }

    /// The number as written by its owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number without hyphens and in capitals: two numbers that share it are the same.
    pub fn bare(&self) -> String {
        self.0.chars().filter(|letter| *letter != '-').map(|c| c.to_ascii_uppercase()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memo_counts_characters_and_not_bytes() {
        assert!(Memo::new(&"적".repeat(140)).is_ok());
        assert_eq!(Memo::new(&"적".repeat(141)), Err(TextError::TooLong(140)));
        assert_eq!(Memo::new("a\nb"), Err(TextError::Forbidden('\n')));
        assert_eq!(Memo::new(""), Ok(Memo::EMPTY));
    }

    #[test]
    fn metadata_is_bounded_in_pairs_and_bytes() {
        let pair = |key: &str, value: &str| (Box::from(key), Box::from(value));
        let many = (0..17).map(|n| pair(&n.to_string(), "")).collect();
        assert_eq!(Metadata::new(many), Err(TextError::TooMany(16)));
        assert!(Metadata::new(vec![pair("k", &"v".repeat(1023))]).is_ok());
        assert_eq!(
            Metadata::new(vec![pair("k", &"v".repeat(1024))]),
            Err(TextError::TooLong(1024))
        );
        assert_eq!(Metadata::new(vec![pair("k", "1"), pair("k", "2")]), Err(TextError::Twice));
        assert_eq!(Metadata::new(vec![pair("", "1")]), Err(TextError::Empty));
        for (key, value) in [("a\0", ""), ("a", "\0")] {
            let refused = Err(TextError::Forbidden('\0'));
            assert_eq!(Metadata::new(vec![pair(key, value)]), refused);
        }
    }

    #[test]
    fn hyphens_and_case_do_not_make_another_number() {
        let written = AccountNumber::new("110-234-a").unwrap();
        assert_eq!(written.bare(), AccountNumber::new("110234A").unwrap().bare());
        assert_eq!(AccountNumber::new("---"), Err(TextError::Empty));
        assert_eq!(AccountNumber::new(""), Err(TextError::Empty));
        assert_eq!(AccountNumber::new("1 2"), Err(TextError::Forbidden(' ')));
        assert_eq!(AccountNumber::new(&"1".repeat(35)), Err(TextError::TooLong(34)));
    }
}
