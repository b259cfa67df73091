//! A file's rows, one after the other, in memory that does not grow with any of them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use clap::ValueEnum;

use super::fields::Fields;
use super::intake::{BadBytes, Gauge, Intake, LONGEST_ROW};
use super::rejects::{Kept, Reject};
use super::table::Table;
use crate::extract::parse;
use crate::problem::{Problem, Text};

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Form {
    /// A JSON object a line.
    Ndjson,
    /// A table after RFC 4180, with a header.
    Csv,
}

impl Form {
    /// The form that the name of a file tells.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// The form that the first bytes tell: a header has no brace before it.
    fn of_bytes(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        if bytes.trim_ascii_start().first() == Some(&b'{') { Self::Ndjson } else { Self::Csv }
    }
}

/// The byte order mark that some programs put before UTF-8.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// So many bytes of a row that is too long are kept among the refused.
pub(super) const SHOWN: usize = 1024;

/// The rows of a file. [`advance`](Self::advance) goes to the next one, of which the others tell.
pub(crate) struct Rows<R> {
    source: Source<R>,
    gauge: Gauge,
    line: u64,
}

enum Source<R> {
    Lines(Box<Lines<R>>),
    Table(Box<Table<R>>),
}

struct Lines<R> {
    reader: BufReader<Intake<R>>,
    next: u64,
    /// The row, without its end; its beginning, if it is too long.
    row: Vec<u8>,
    too_long: bool,
}

impl<R: Read> Rows<R> {
    /// The rows of `reader`, in that form or in the one that its first bytes tell. The header of a
    /// table is read and checked.
    ///
    /// # Errors
    /// If it cannot be read, is no UTF-8, or its header is wrong.
    pub(crate) fn new(reader: R, form: Option<Form>, hash: bool) -> anyhow::Result<Self> {
        let intake = Intake::new(reader, hash);
        let gauge = intake.gauge();
        let mut reader = BufReader::with_capacity(64 * 1024, intake);
        let form = match form {
            Some(form) => form,
            None => Form::of_bytes(reader.fill_buf().map_err(told)?),
        };
        let source = match form {
            Form::Ndjson => {
                let row = Vec::new();
                Source::Lines(Box::new(Lines { reader, next: 1, row, too_long: false }))
            }
            Form::Csv => Source::Table(Box::new(Table::new(reader, &gauge)?)),
        };
        Ok(Self { source, gauge, line: 0 })
    }

    /// Goes to the next row; `false`, if there is none.
    ///
    /// # Errors
    /// What makes all that follows unreadable too.
    pub(crate) fn advance(&mut self) -> anyhow::Result<bool> {
        self.gauge.row();
        match &mut self.source {
            Source::Lines(lines) => loop {
                self.line = lines.next;
                if !lines.advance(&self.gauge).map_err(told)? {
                    return Ok(false);
                }
                if !lines.row.trim_ascii().is_empty() {
                    return Ok(true);
                }
            },
            Source::Table(table) => {
                let line = table.advance(&self.gauge).map_err(told)?;
                self.line = line.unwrap_or(self.line);
                Ok(line.is_some())
            }
        }
    }

    /// In which line of the file the row begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes were read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.gauge.bytes()
    }

    /// What the row says.
    ///
    /// # Errors
    /// 400, with the field that cannot be read.
    pub(crate) fn fields(&self) -> Result<Fields, Problem> {
        match &self.source {
            Source::Lines(lines) if lines.too_long => Err(too_long()),
            Source::Lines(lines) => parse(&lines.row)
                .or_else(|problem| Reject::read(&lines.row).map_or(Err(problem), Reject::fields)),
            Source::Table(table) => table.fields(),
        }
    }

    /// The row as it stands, for the file of refused rows. One of such a file is kept as the row
    /// that it tells of.
    pub(crate) fn kept(&self) -> Kept {
        match &self.source {
            Source::Lines(lines) if lines.too_long => Kept::text(&lines.row[..SHOWN]),
            Source::Lines(lines) => {
                let again = || Reject::read(&lines.row)?.kept();
                let value = || serde_json::from_slice(&lines.row).ok().map(Kept::Json);
                again().or_else(value).unwrap_or_else(|| Kept::text(&lines.row))
            }
            Source::Table(table) => table.kept(),
        }
    }

    /// SHA-256 of the file, if it was asked for; to be called at the end.
    pub(crate) fn sha256(self) -> Option<String> {
        match self.source {
            Source::Lines(lines) => lines.reader.into_inner().sha256(),
            Source::Table(table) => table.into_inner().sha256(),
        }
    }
}

impl<R: Read> Lines<R> {
    /// Reads up to the next line feed. What is beyond the longest row is passed over.
    fn advance(&mut self, gauge: &Gauge) -> std::io::Result<bool> {
        self.row.clear();
        self.too_long = false;
        let mut some = false;
        loop {
            let piece = self.reader.fill_buf()?;
            if piece.is_empty() {
                break;
            }
            some = true;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let part = &piece[..end.unwrap_or(piece.len())];
            let room = LONGEST_ROW.saturating_sub(self.row.len());
            self.too_long |= part.len() > room;
            self.row.extend_from_slice(&part[..part.len().min(room)]);
            let used = end.map_or(piece.len(), |end| end + 1);
            self.reader.consume(used);
            // It is passed over and not kept, so it may be as long as it likes.
            gauge.row();
            if end.is_some() {
                break;
            }
        }
        if self.next == 1 && self.row.starts_with(BOM) {
            self.row.drain(..BOM.len());
        }
        self.next += 1;
        Ok(some)
    }
}

/// A row that is longer than any may be.
pub(super) fn too_long() -> Problem {
    Problem::invalid(
        "",
        Text::new(
            format!("is longer than {LONGEST_ROW} bytes"),
            format!("{LONGEST_ROW}바이트보다 깁니다"),
        ),
    )
}

pub(super) fn told(error: std::io::Error) -> anyhow::Error {
    let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<BadBytes>()).copied();
    match ours {
        Some(bad) => bad.into(),
        None => anyhow::Error::new(error).context("the file cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The line, what would be kept of it if it were refused, and whether it can be read.
    fn rows(text: &[u8]) -> anyhow::Result<Vec<(u64, Value, bool)>> {
        let mut rows = Rows::new(text, None, false)?;
        let mut all = Vec::new();
        while rows.advance()? {
            let kept = match rows.kept() {
                Kept::Json(json) => serde_json::from_str(json.get())?,
                Kept::Cells(cells) => serde_json::to_value(cells)?,
            };
            all.push((rows.line(), kept, rows.fields().is_ok()));
        }
        Ok(all)
    }

    fn lines(text: &[u8]) -> Vec<u64> {
        rows(text).unwrap().into_iter().map(|(line, ..)| line).collect()
    }

    #[test]
    fn marks_blank_lines_and_line_ends_of_other_systems_do_not_matter() {
        let ndjson = b"\xef\xbb\xbf{\"op\":\"open\"}\r\n\r\n  \n{\"op\":\"open\"}";
        assert_eq!(lines(ndjson), [1, 4]);
        let table =
            "\u{feff}\"op\",amount,memo\r\ndeposit,1,\"두 줄\r\n적요\"\r\n\r\ndeposit,2,\r\n";
        let read = rows(table.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].1["memo"], "두 줄\r\n적요");
        assert_eq!((read[0].0, read[1].0), (2, 5));
        assert!(read.iter().all(|(_, _, sound)| *sound));
        assert_eq!(lines(b"\rop,amount\r\rdeposit,1\rdeposit,2"), [4, 5]);
        assert_eq!(lines(b"op,amount\r\n\n\r\ndeposit,1\n\ndeposit,2\n"), [4, 6]);
    }

    #[test]
    fn a_cell_may_have_quotation_marks_commas_and_ends_of_lines() {
        let cell = |memo: &str| {
            let read = rows(format!("memo,op,amount\n{memo},deposit,1\n").as_bytes()).unwrap();
            assert_eq!(read.len(), 1, "{memo}: {read:?}");
            assert!(read[0].2, "{memo}: {read:?}");
            read[0].1["memo"].as_str().unwrap().to_owned()
        };
        for (memo, text) in [
            ("\"\"", ""),
            ("\"a,b\"", "a,b"),
            ("\"a\"\"b\"", "a\"b"),
            ("\"\"\"\"", "\""),
            ("\"\"\"a\"\"\"", "\"a\""),
            ("\"a\nb\r\n\"", "a\nb\r\n"),
            ("a\"b", "a\"b"),
            (" \"a\"", " \"a\""),
        ] {
            assert_eq!(cell(memo), text);
        }
    }

    #[test]
    fn what_follows_a_closing_quotation_mark_is_an_error_of_its_row() {
        let text = "op,amount,memo\ndeposit,1,\"a\"b\ndeposit,2,\"c\" \ndeposit,3,\"d\"\n";
        let read = rows(text.as_bytes()).unwrap();
        assert_eq!(
            read.iter().map(|row| (row.0, row.2)).collect::<Vec<_>>(),
            [(2, false), (3, false), (4, true)]
        );
        assert_eq!(read[0].1, "deposit,1,\"a\"b", "as it stood");
    }

    #[test]
    fn a_line_beyond_all_bounds_is_one_refused_row() {
        let long = "x".repeat(3 * LONGEST_ROW);
        for text in [
            format!("{{\"op\":\"open\"}}\n{{\"op\":\"{long}\"}}\n{{\"op\":\"open\"}}\n"),
            format!("op,amount\ndeposit,1\ndeposit,{long}\ndeposit,1\n"),
        ] {
            let read = rows(text.as_bytes()).unwrap();
            assert_eq!(read.iter().map(|row| row.2).collect::<Vec<_>>(), [true, false, true]);
            assert!(read[1].1.as_str().unwrap().len() <= 1024);
        }
    }

    #[test]
    fn a_quotation_mark_left_open_ends_the_table() {
        for (before, more) in [(0, 0), (0, 1), (2, 1), (0, 6_000), (7, 100_000)] {
            let mut text = b"op,amount,memo\n".to_vec();
            text.extend(b"deposit,1,x\n".repeat(before));
            text.extend(b"deposit,1,\"open");
            text.extend(b"\ndeposit,1,x".repeat(more));
            let error = rows(&text).unwrap_err().to_string();
            let said = format!("a quotation mark was left open in line {}", before + 2);
            assert!(error.contains(&said), "{before} {more}: {error}");
        }
    }

    #[test]
    fn a_row_with_too_many_cells_is_kept_as_it_stood() {
        let read = rows(b"op,amount\ndeposit,1,2\n").unwrap();
        assert_eq!(read, [(2, Value::from("deposit,1,2"), false)]);
    }

    #[test]
    fn a_file_without_a_header_is_refused() {
        assert!(rows(b"").is_err());
        assert!(rows(b"deposit,acc_1,5\n").is_err());
        assert!(rows(b"op,\"amount\"s\ndeposit,5\n").is_err());
    }
}
