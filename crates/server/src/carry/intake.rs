//! The bytes of a file on their way in: counted, hashed, and refused where they are not UTF-8.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::same::hexadecimal;

/// The most bytes of a row. What the fields may hold is far less.
pub(crate) const LONGEST_ROW: usize = 64 * 1024;

/// How far an [`Intake`] has come, for who has handed it away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Rc<Readings>);

#[derive(Debug, Default)]
struct Readings {
    bytes: Cell<u64>,
    since_row: Cell<usize>,
}

impl Gauge {
    /// How many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.get()
    }

    /// A new row begins: its bytes are counted from here.
    pub(crate) fn row(&self) {
        self.0.since_row.set(0);
    }
}

/// A reader that lets only UTF-8 through, and no row that never ends.
pub(crate) struct Intake<R> {
    inner: R,
    gauge: Gauge,
    sha: Option<Sha256>,
    /// The beginning of a character whose end was not read yet.
    tail: Vec<u8>,
    lines: u64,
}

/// Why bytes were not let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BadBytes {
    /// They are no UTF-8.
    #[error(
        "byte {byte}, in line {line}, is not UTF-8. Save the file as UTF-8 (a spreadsheet calls it \
         \"CSV UTF-8\"); one in CP949 or EUC-KR becomes it by: iconv -f CP949 -t UTF-8 FILE"
    )]
    NotUtf8 {
        /// Counted from 0.
        byte: u64,
        /// Counted from 1.
        line: u64,
    },
    /// A row does not end.
    #[error("the row that ends in line {line} or later has more than {LONGEST_ROW} bytes")]
    Endless {
        /// The line up to which it was read, from 1.
        line: u64,
    },
    /// A cell in quotation marks does not end.
    #[error(
        "a quotation mark was left open in line {line}, or the row that it is in has more than \
         {LONGEST_ROW} bytes"
    )]
    Open {
        /// The line of the quotation mark, from 1.
        line: u64,
    },
}

impl<R> Intake<R> {
    /// Reads `inner`; with `hash`, [`sha256`](Self::sha256) tells what it was.
    pub(crate) fn new(inner: R, hash: bool) -> Self {
        let (gauge, sha) = (Gauge::default(), hash.then(Sha256::new));
        Self { inner, gauge, sha, tail: Vec::new(), lines: 0 }
    }

    /// How far it has come.
    pub(crate) fn gauge(&self) -> Gauge {
        self.gauge.clone()
    }

    /// SHA-256 of all that was read, in hexadecimal.
    pub(crate) fn sha256(self) -> Option<String> {
        self.sha.map(hexadecimal)
    }

    fn check(&mut self, bytes: &[u8]) -> Result<(), BadBytes> {
        let start = self.gauge.bytes() - self.tail.len() as u64;
        let joined;
        let text = if self.tail.is_empty() {
            bytes
        } else {
            joined = [&self.tail, bytes].concat();
            &joined
        };
        let sound = match std::str::from_utf8(text) {
            Ok(_) => text.len(),
            Err(error) if error.error_len().is_none() && !bytes.is_empty() => error.valid_up_to(),
            Err(error) => {
                let good = error.valid_up_to();
                let line = self.lines + lines(&text[..good]) + 1;
                return Err(BadBytes::NotUtf8 { byte: start + good as u64, line });
            }
        };
        self.lines += lines(&text[..sound]);
        self.tail = text[sound..].to_vec();
        Ok(())
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl<R: Read> Read for Intake<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = &buffer[..count];
        if let Some(sha) = &mut self.sha {
            sha.update(bytes);
        }
        self.check(bytes).map_err(io::Error::other)?;
        let readings = &self.gauge.0;
        readings.bytes.set(readings.bytes.get() + count as u64);
        // A reader may be ahead of its rows by a buffer.
        if readings.since_row.get() > LONGEST_ROW + buffer.len() {
            return Err(io::Error::other(BadBytes::Endless { line: self.lines + 1 }));
        }
        readings.since_row.set(readings.since_row.get() + count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of `.1`.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn read(bytes: &[u8], piece: usize) -> Result<String, BadBytes> {
        let mut text = Vec::new();
        match Intake::new(Pieces(bytes, piece), false).read_to_end(&mut text) {
            Ok(_) => Ok(String::from_utf8(text).unwrap()),
            Err(error) => Err(*error.into_inner().unwrap().downcast::<BadBytes>().unwrap()),
        }
    }

    #[test]
    fn a_character_may_come_in_pieces_and_what_is_none_is_named() {
        let text = "op,memo\n월세,적요 🏦\n";
        // "월세" in CP949, after a line that both encodings share.
        let cp949 = [&b"op,memo\nx,"[..], &[0xbf, 0xf9, 0xbc, 0xbc], b"\n"].concat();
        for piece in 1..9 {
            assert_eq!(read(text.as_bytes(), piece), Ok(text.to_owned()), "{piece}");
            let bad = BadBytes::NotUtf8 { byte: 10, line: 2 };
            assert_eq!(read(&cp949, piece), Err(bad), "{piece}");
            let half = &"월".as_bytes()[..2];
            let bad = BadBytes::NotUtf8 { byte: 0, line: 1 };
            assert_eq!(read(half, piece), Err(bad), "{piece}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let mut intake = Intake::new(&b"abc"[..], true);
        io::copy(&mut intake, &mut io::sink()).unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(intake.sha256().as_deref(), Some(known));
    }

    #[test]
    fn a_row_without_an_end_is_not_read_to_the_end_of_memory() {
        let mut intake = Intake::new(io::repeat(b'x'), false);
        let mut buffer = [0; 4096];
        let mut read = 0;
        let error = loop {
            match intake.read(&mut buffer) {
                Ok(count) => read += count,
                Err(error) => break error,
            }
        };
        assert!(read <= LONGEST_ROW + 3 * buffer.len(), "{read}");
        assert!(error.to_string().contains("the row that ends in line 1"), "{error}");
    }
}
