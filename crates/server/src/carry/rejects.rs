//! The file of refused rows: a JSON object a line, with the row as it stood. An import reads it
//! itself, so that no other program comes between the row and what is booked.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tongjang_core::AccountId;

use super::cells::Header;
use super::fields::Fields;
use crate::extract::parse;
use crate::problem::{Language, Problem, Text};

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reject {
    /// In which line of its file the row began.
    line: u64,
    /// Why it was refused.
    problem: Box<RawValue>,
    /// A line of NDJSON, byte by byte; or a text, if it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<Box<RawValue>>,
    /// The cells of a table's row, by their columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cells: Option<Cells>,
    /// The ids of accounts that lines before opened, by what the row calls them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accounts: Option<Cells>,
}

/// A refused row as it stood.
pub(crate) enum Kept {
    /// A JSON value; a text, if the row was none.
    Json(Box<RawValue>),
    /// The cells of a table's row.
    Cells(Cells),
}

/// Names and texts in their order. A name may stand twice, which is for others to refuse: the last
/// one of two amounts is not the one that was meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cells(pub(crate) Vec<(String, String)>);

impl Kept {
    /// A row that is neither JSON nor fits its table.
    pub(super) fn text(row: &[u8]) -> Self {
        let text = String::from_utf8_lossy(row);
        Self::Json(serde_json::value::to_raw_value(&*text).expect("a text can be written as JSON"))
    }
}

impl Reject {
    /// The line for a row that was refused.
    pub(crate) fn new(
        line: u64,
        problem: &Problem,
        kept: Kept,
        accounts: Vec<(String, AccountId)>,
    ) -> Self {
        let problem = serde_json::value::to_raw_value(&problem.in_language(Language::En));
        let problem = problem.expect("problems can be written");
        let (row, cells) = match kept {
            Kept::Json(row) => (Some(row), None),
            Kept::Cells(cells) => (None, Some(cells)),
        };
        let accounts = accounts.into_iter().map(|(name, id)| (name, id.to_string())).collect();
        let accounts = Some(Cells(accounts)).filter(|some| !some.0.is_empty());
        Self { line, problem, row, cells, accounts }
    }

    /// The line that `json` is; `None`, if it is none of such a file.
    pub(super) fn read(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// What the row that was refused says.
    ///
    /// # Errors
    /// 400, if it still cannot be read.
    pub(super) fn fields(self) -> Result<Fields, Problem> {
        let unreadable = || {
            let text = Text::fixed(
                "is kept as a text, as it could not be read; mend it where it comes from",
                "읽을 수 없어 글자 그대로 남긴 행입니다. 원본에서 고쳐야 합니다",
            );
            Problem::invalid("/row", text)
        };
        let mut fields = match (&self.row, &self.cells) {
            (Some(row), None) if !row.get().starts_with('"') => {
                parse::<Fields>(row.get().as_bytes())
            }
            (None, Some(Cells(cells))) => {
                let names = cells.iter().map(|(name, _)| name.as_str());
                let header = Header::read(names).map_err(|_| unreadable())?;
                let cells: Vec<&str> = cells.iter().map(|(_, cell)| cell.as_str()).collect();
                header.fields(cells.into_iter())
            }
            _ => Err(unreadable()),
        }?;
        let accounts = self.accounts.into_iter().flat_map(|accounts| accounts.0);
        let known = accounts.map(|(name, id)| Ok((name, id.parse().map_err(|_| unreadable())?)));
        fields.known = known.collect::<Result<_, Problem>>()?;
        Ok(fields)
    }

    /// The row as it stood.
    pub(super) fn kept(self) -> Option<Kept> {
        self.row.map(Kept::Json).or(self.cells.map(Kept::Cells))
    }
}

impl Serialize for Cells {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, text)))
    }
}

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Cells;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cells, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Cells(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}
