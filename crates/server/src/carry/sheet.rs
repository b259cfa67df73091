//! What an export is written to: lines of JSON, or a table for people with a spreadsheet.

use std::io::Write;

use anyhow::Context;
use csv::{QuoteStyle, WriterBuilder};
use serde::Serialize;

use super::rows::{BOM, Form};

/// A row that can stand in a table too.
pub(crate) trait Record: Serialize {
    /// The names of the columns.
    const COLUMNS: &'static [&'static str];

    /// Writes the cells, one a column.
    fn cells(&self, put: &mut dyn FnMut(&str));
}

/// Writes records of one kind.
pub(crate) enum Sheet<W: Write> {
    /// A JSON object a line.
    Ndjson(W),
    /// A table.
    Csv(Box<csv::Writer<W>>),
}

impl<W: Write> Sheet<W> {
    /// A sheet on `out`, with the header of `R` if it is a table; `bom` puts a byte order mark
    /// before that, without which some spreadsheets take it for an older encoding.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn new<R: Record>(mut out: W, form: Form, bom: bool) -> std::io::Result<Self> {
        match form {
            Form::Ndjson => Ok(Self::Ndjson(out)),
            Form::Csv => {
                if bom {
                    out.write_all(BOM)?;
                }
                let mut writer =
                    WriterBuilder::new().quote_style(QuoteStyle::Necessary).from_writer(out);
                writer.write_record(R::COLUMNS)?;
                Ok(Self::Csv(Box::new(writer)))
            }
        }
    }

    /// Writes a row.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn put<R: Record>(&mut self, record: &R) -> std::io::Result<()> {
        match self {
            Self::Ndjson(out) => {
                serde_json::to_writer(&mut *out, record)?;
                out.write_all(b"\n")
            }
            Self::Csv(writer) => {
                let mut failed = Ok(());
                record.cells(&mut |cell| {
                    if failed.is_ok() {
                        failed = writer.write_field(cell);
                    }
                });
                failed?;
                Ok(writer.write_record(None::<&[u8]>)?)
            }
        }
    }

    /// Hands everything on, and gives back what it was written to.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn finish(self) -> anyhow::Result<W> {
        match self {
            Self::Ndjson(mut out) => {
                out.flush().context("cannot write the export")?;
                Ok(out)
            }
            Self::Csv(mut writer) => {
                writer.flush().context("cannot write the export")?;
                writer.into_inner().map_err(|error| anyhow::anyhow!("{}", error.error()))
            }
        }
    }
}
