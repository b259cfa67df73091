//! A table's rows after RFC 4180, read strictly: a quotation mark that is left open ends the table,
//! and what follows a closed one within its cell makes its row unreadable. Readers that guess there
//! book what nobody wrote.

use std::io::{self, BufRead, BufReader, Read};

use super::cells::Header;
use super::fields::Fields;
use super::intake::{BadBytes, Gauge, Intake, LONGEST_ROW};
use super::rejects::{Cells, Kept};
use super::rows::{BOM, SHOWN, told, too_long};
use crate::problem::{Problem, Text};

/// A table, of which one row is in memory.
pub(super) struct Table<R> {
    reader: BufReader<Intake<R>>,
    header: Header,
    names: Vec<String>,
    row: Row,
    place: Place,
}

/// A row as it stands, and its cells.
#[derive(Default)]
struct Row {
    raw: Vec<u8>,
    /// The cells without their quotation marks, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    is_too_long: bool,
    /// Whether something follows a closing quotation mark.
    has_more_after_quote: bool,
}

/// How far a table was read.
#[derive(Default)]
struct Place {
    /// So many lines ended before.
    lines: u64,
    /// Whether the last one ended with a carriage return, which a line feed may follow.
    returned: bool,
}

/// Where in a cell a byte stands.
#[derive(Clone, Copy)]
enum At {
    Start,
    Bare,
    /// In quotation marks, of which the first stands in this line.
    Quoted(u64),
    /// After a quotation mark that closes the cell, unless it is the first of two.
    Closed(u64),
}

impl<R: Read> Table<R> {
    /// The table that `reader` has; its header is read and checked.
    ///
    /// # Errors
    /// If it cannot be read, or its header is wrong.
    pub(super) fn new(mut reader: BufReader<Intake<R>>, gauge: &Gauge) -> anyhow::Result<Self> {
        if reader.fill_buf().map_err(told)?.starts_with(BOM) {
            reader.consume(BOM.len());
        }
        let (mut row, mut place) = (Row::default(), Place::default());
        let some = row.read(&mut reader, &mut place, gauge).map_err(told)?;
        anyhow::ensure!(some.is_some(), "there is no header; the first line must name the columns");
        anyhow::ensure!(row.is_whole(), "the header cannot be read");
        let names: Vec<String> = row.cells().map(str::to_owned).collect();
        let header = Header::read(names.iter().map(String::as_str)).map_err(anyhow::Error::msg)?;
        Ok(Self { reader, header, names, row, place })
    }

    /// Goes to the next row, and tells in which line it begins; `None`, if there is none.
    pub(super) fn advance(&mut self, gauge: &Gauge) -> io::Result<Option<u64>> {
        self.row.read(&mut self.reader, &mut self.place, gauge)
    }

    /// What the row says.
    pub(super) fn fields(&self) -> Result<Fields, Problem> {
        if self.row.is_too_long {
            return Err(too_long());
        }
        if self.row.has_more_after_quote {
            let text = Text::fixed(
                "has a cell in which something follows the closing quotation mark; one that is \
                 meant must be written twice",
                "닫는 따옴표 뒤에 글자가 더 있는 칸이 있습니다. 따옴표 자체는 두 번 써야 합니다",
            );
            return Err(Problem::invalid("", text));
        }
        self.header.fields(self.row.cells())
    }

    /// The row for the file of refused rows.
    pub(super) fn kept(&self) -> Kept {
        if self.row.is_whole() && self.row.ends.len() == self.names.len() {
            let cells = self.row.cells().map(str::to_owned);
            return Kept::Cells(Cells(self.names.iter().cloned().zip(cells).collect()));
        }
        let most = if self.row.is_too_long { SHOWN } else { LONGEST_ROW };
        Kept::text(&self.row.raw[..self.row.raw.len().min(most)])
    }

    /// What it is read from.
    pub(super) fn into_inner(self) -> Intake<R> {
        self.reader.into_inner()
    }
}

impl Row {
    fn is_whole(&self) -> bool {
        !self.is_too_long && !self.has_more_after_quote
    }

    fn cells(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|nth| {
            let begin = nth.checked_sub(1).map_or(0, |before| self.ends[before]);
            let cell = std::str::from_utf8(&self.text[begin..self.ends[nth]]);
            cell.expect("the intake lets only UTF-8 through, and cells end at ASCII")
        })
    }

    /// Reads up to the end of the next row that is not empty, and tells in which line it begins.
    fn read<R: Read>(
        &mut self,
        reader: &mut BufReader<Intake<R>>,
        place: &mut Place,
        gauge: &Gauge,
    ) -> io::Result<Option<u64>> {
        *self = Self {
            raw: std::mem::take(&mut self.raw),
            text: std::mem::take(&mut self.text),
            ends: std::mem::take(&mut self.ends),
            ..Self::default()
        };
        self.raw.clear();
        self.text.clear();
        self.ends.clear();
        let mut at = At::Start;
        let mut begins = place.lines + 1;
        loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                if let At::Quoted(line) = at {
                    return Err(io::Error::other(BadBytes::Open { line }));
                }
                if self.raw.is_empty() {
                    return Ok(None);
                }
                self.ends.push(self.text.len());
                return Ok(Some(begins));
            }
            let mut ended = false;
            let mut used = 0;
            for byte in piece {
                used += 1;
                let returned = std::mem::take(&mut place.returned);
                if returned && *byte == b'\n' {
                    continue;
                }
                if matches!(byte, b'\n' | b'\r') && !matches!(at, At::Quoted(_)) {
                    place.lines += 1;
                    place.returned = *byte == b'\r';
                    ended = !self.raw.is_empty();
                    if ended {
                        break;
                    }
                    begins = place.lines + 1;
                    continue;
                }
                at = self.take(*byte, at, place);
            }
            reader.consume(used);
            if self.is_too_long {
                if let At::Quoted(line) | At::Closed(line) = at {
                    return Err(io::Error::other(BadBytes::Open { line }));
                }
                // It is passed over and not kept, so it may be as long as it likes.
                gauge.row();
            }
            if ended {
                self.ends.push(self.text.len());
                return Ok(Some(begins));
            }
        }
    }

    /// Takes in a byte that ends no row, and tells what that makes of the cell.
    fn take(&mut self, byte: u8, at: At, place: &mut Place) -> At {
        if self.raw.len() == LONGEST_ROW {
            self.is_too_long = true;
        } else {
            self.raw.push(byte);
        }
        let after = match (at, byte) {
            (At::Quoted(line), b'"') => return At::Closed(line),
            (At::Quoted(line), _) => {
                place.lines += u64::from(byte == b'\n');
                At::Quoted(line)
            }
            (At::Closed(line), b'"') => At::Quoted(line),
            (_, b',') => {
                if !self.is_too_long {
                    self.ends.push(self.text.len());
                }
                return At::Start;
            }
            (At::Start, b'"') => return At::Quoted(place.lines + 1),
            (At::Closed(_), _) => {
                self.has_more_after_quote = true;
                At::Bare
            }
            (At::Start | At::Bare, _) => At::Bare,
        };
        if !self.is_too_long {
            self.text.push(byte);
        }
        after
    }
}
