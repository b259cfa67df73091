//! A file's rows, one after the other, in memory that does not grow with any of them.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use serde_json::Value;

use super::cells::Header;
use super::fields::Fields;
use super::intake::{BadBytes, Gauge, Intake, LONGEST_ROW};
use crate::extract::parse;
use crate::problem::{Problem, Text};

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

struct Table<R> {
    reader: csv::Reader<BufReader<Intake<R>>>,
    header: Header,
    names: Vec<String>,
    row: StringRecord,
    /// Whether lines end with a carriage return, after which a row is read before the line feed.
    returns: bool,
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
            Form::Csv => Source::Table(Box::new(Table::new(reader)?)),
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
                let more = table.reader.read_record(&mut table.row).map_err(table_told)?;
                self.line = table.line();
                // The intake, which does not see where rows end, lets somewhat more through.
                if table.row.as_slice().len() > LONGEST_ROW {
                    let line = table.reader.position().line();
                    return Err(BadBytes::Endless { line }.into());
                }
                Ok(more)
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
            Source::Lines(lines) if lines.too_long => Err(Problem::invalid(
                "",
                Text::new(
                    format!("is longer than {LONGEST_ROW} bytes"),
                    format!("{LONGEST_ROW}바이트보다 깁니다"),
                ),
            )),
            Source::Lines(lines) => parse(&lines.row),
            Source::Table(table) => {
                table.header.fields(table.row.iter().collect::<Vec<_>>().into_iter())
            }
        }
    }

    /// The row as it stands, for the file of refused rows: an object, or a text if it is none.
    pub(crate) fn raw(&self) -> Value {
        match &self.source {
            Source::Lines(lines) => match serde_json::from_slice(&lines.row) {
                Ok(value) if !lines.too_long => value,
                _ => {
                    let some = &lines.row[..lines.row.len().min(1024)];
                    Value::String(String::from_utf8_lossy(some).into_owned())
                }
            },
            Source::Table(table) if table.row.len() == table.names.len() => {
                let cells = table.names.iter().zip(&table.row).filter(|(_, cell)| !cell.is_empty());
                cells.map(|(name, cell)| (name.clone(), Value::from(cell))).collect()
            }
            Source::Table(table) => table.row.iter().collect(),
        }
    }

    /// SHA-256 of the file, if it was asked for; to be called at the end.
    pub(crate) fn sha256(self) -> Option<String> {
        match self.source {
            Source::Lines(lines) => lines.reader.into_inner().sha256(),
            Source::Table(table) => table.reader.into_inner().into_inner().sha256(),
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

impl<R: Read> Table<R> {
    fn new(reader: BufReader<Intake<R>>) -> anyhow::Result<Self> {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
        let mut row = StringRecord::new();
        let some = reader.read_record(&mut row).map_err(table_told)?;
        anyhow::ensure!(some, "there is no header; the first line must name the columns");
        let names: Vec<String> = row.iter().map(str::to_owned).collect();
        let returns = reader.position().line() == 1;
        let header = Header::read(names.iter().map(String::as_str)).map_err(anyhow::Error::msg)?;
        Ok(Self { reader, header, names, row, returns })
    }

    /// In which line the row begins. The place that the reader notes for it is before blank lines
    /// and before the line feed that was left over, so it is counted from the row's end, too; there
    /// the last row may lack its line feed.
    fn line(&self) -> u64 {
        let inside = self.row.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n').count();
        let end = self.reader.position().line() - u64::from(!self.returns);
        let noted = self.row.position().map_or(1, csv::Position::line);
        noted.max(end.saturating_sub(inside as u64))
    }
}

fn table_told(error: csv::Error) -> anyhow::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => told(error),
        kind => anyhow::anyhow!("the table cannot be read: {kind:?}"),
    }
}

fn told(error: std::io::Error) -> anyhow::Error {
    let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<BadBytes>()).copied();
    match ours {
        Some(bad) => bad.into(),
        None => anyhow::Error::new(error).context("the file cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> anyhow::Result<Vec<(u64, Value, bool)>> {
        let mut rows = Rows::new(text, None, false)?;
        let mut all = Vec::new();
        while rows.advance()? {
            all.push((rows.line(), rows.raw(), rows.fields().is_ok()));
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
        let table = "\u{feff}op,amount,memo\r\ndeposit,1,\"두 줄\r\n적요\"\r\n\r\ndeposit,2,\r\n";
        let read = rows(table.as_bytes()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].1["memo"], "두 줄\r\n적요");
        assert_eq!((read[0].0, read[1].0), (2, 5));
        assert!(read.iter().all(|(_, _, sound)| *sound));
    }

    #[test]
    fn a_line_beyond_all_bounds_is_one_refused_row() {
        let long = format!("{{\"op\":\"{}\"}}", "x".repeat(3 * LONGEST_ROW));
        let text = format!("{{\"op\":\"open\"}}\n{long}\n{{\"op\":\"open\"}}\n");
        let read = rows(text.as_bytes()).unwrap();
        assert_eq!(read.iter().map(|row| row.2).collect::<Vec<_>>(), [true, false, true]);
        assert!(read[1].1.as_str().unwrap().len() <= 1024);
    }

    #[test]
    fn a_quotation_mark_left_open_ends_the_table() {
        let mut text = b"op,amount,memo\ndeposit,1,\"".to_vec();
        for more in [6_000, 100_000] {
            text.extend(b"deposit,1,x\n".repeat(more));
            let error = rows(&text).unwrap_err().to_string();
            assert!(error.contains("quotation mark"), "{more}: {error}");
        }
    }

    #[test]
    fn a_row_with_too_many_cells_is_kept_for_the_refused() {
        let read = rows(b"op,amount\ndeposit,1,2\n").unwrap();
        assert_eq!(read, [(2, serde_json::json!(["deposit", "1", "2"]), false)]);
    }

    #[test]
    fn a_file_without_a_header_is_refused() {
        assert!(rows(b"").is_err());
        assert!(rows(b"deposit,acc_1,5\n").is_err());
    }
}
