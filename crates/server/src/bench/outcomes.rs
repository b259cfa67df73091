//! The answer to a batch of NDJSON, read as it comes: every line a 201, in order, none missing.
//!
//! What is read costs the machine that is measured, so a line is only parsed as JSON if it does
//! not begin as the server writes it today.

use std::io::Read;

use anyhow::Context;
use memchr::{memchr, memmem};
use serde::Deserialize;

/// The lines of an answer, checked one by one.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    lines: u64,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
}

#[derive(Deserialize)]
struct Outcome {
    line: u64,
    status: u16,
}

impl Outcomes {
    /// Takes in a piece of the body, which may end in the middle of a line.
    pub(crate) fn take(&mut self, mut piece: &[u8]) -> anyhow::Result<()> {
        while let Some(end) = memchr(b'\n', piece) {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            if self.begun.is_empty() {
                self.check(line)?;
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.check(&whole)?;
                whole.clear();
                self.begun = whole;
            }
            piece = rest;
        }
        self.begun.extend_from_slice(piece);
        Ok(())
    }

    fn check(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.lines += 1;
        if is_plainly(self.lines, line) {
            return Ok(());
        }
        let told = || format!("outcome {} is {}", self.lines, String::from_utf8_lossy(line));
        let outcome: Outcome = serde_json::from_slice(line).with_context(told)?;
        anyhow::ensure!(outcome.line == self.lines && outcome.status == 201, told());
        Ok(())
    }

    /// The body has ended.
    pub(crate) fn end(&self, expected: u64) -> anyhow::Result<()> {
        anyhow::ensure!(self.begun.is_empty(), "the answer ends within a line");
        let lines = self.lines;
        anyhow::ensure!(lines == expected, "{lines} outcomes came of {expected} commands");
        Ok(())
    }
}

/// Whether it begins `{"line":N,"status":201,`; if not, it may still say so in other words.
fn is_plainly(number: u64, line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"{\"line\":") else { return false };
    let Some(end) = memchr(b',', rest) else { return false };
    let found = rest[..end].iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    });
    found == Some(number) && rest[end..].starts_with(b",\"status\":201,")
}

/// Reads an answer of HTTP/1.1 from `stream` to its end; every line must be a 201, and there must
/// be `expected` of them.
pub(crate) fn read(stream: &mut impl Read, expected: u64) -> anyhow::Result<()> {
    let mut incoming = Incoming { stream, buffer: vec![0; 256 << 10], from: 0, to: 0 };
    let header = incoming.header()?;
    if !header.starts_with("HTTP/1.1 20") {
        let rest = String::from_utf8_lossy(&incoming.buffer[incoming.from..incoming.to]);
        anyhow::bail!("the server answered {header}\n{rest}");
    }
    let mut outcomes = Outcomes::default();
    if field(&header, "transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let size = incoming.line()?;
            let digits = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).context("a chunk has a size")?;
            incoming.body(size, &mut outcomes)?;
            anyhow::ensure!(incoming.line()?.is_empty(), "a chunk is longer than it says");
            if size == 0 {
                break;
            }
        }
    } else {
        let length = field(&header, "content-length").context("an answer has a length")?;
        incoming.body(length.parse()?, &mut outcomes)?;
    }
    outcomes.end(expected)
}

fn field(header: &str, name: &str) -> Option<String> {
    let fields = header.lines().filter_map(|line| line.split_once(':'));
    let mut fields = fields.filter(|(its, _)| its.eq_ignore_ascii_case(name));
    fields.next().map(|(_, value)| value.trim().to_ascii_lowercase())
}

struct Incoming<'a, S> {
    stream: &'a mut S,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl<S: Read> Incoming<'_, S> {
    /// Fetches more behind what has not been used.
    fn more(&mut self) -> anyhow::Result<()> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.buffer.len() {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        anyhow::ensure!(self.to < self.buffer.len(), "a header is too long");
        let some = self.stream.read(&mut self.buffer[self.to..])?;
        anyhow::ensure!(some > 0, "the server hung up in the middle of its answer");
        self.to += some;
        Ok(())
    }

    fn header(&mut self) -> anyhow::Result<String> {
        self.until(b"\r\n\r\n")
    }

    fn line(&mut self) -> anyhow::Result<String> {
        self.until(b"\r\n")
    }

    fn until(&mut self, mark: &[u8]) -> anyhow::Result<String> {
        loop {
            let have = &self.buffer[self.from..self.to];
            if let Some(at) = memmem::find(have, mark) {
                let text = std::str::from_utf8(&have[..at])?.to_owned();
                self.from += at + mark.len();
                return Ok(text);
            }
            self.more()?;
        }
    }

    fn body(&mut self, mut size: usize, outcomes: &mut Outcomes) -> anyhow::Result<()> {
        while size > 0 {
            if self.from == self.to {
                self.more()?;
            }
            let some = size.min(self.to - self.from);
            outcomes.take(&self.buffer[self.from..self.from + some])?;
            self.from += some;
            size -= some;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time, as a network may.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let some = self.1.min(self.0.len()).min(buffer.len());
            buffer[..some].copy_from_slice(&self.0[..some]);
            self.0 = &self.0[some..];
            Ok(some)
        }
    }

    const LINES: &str = "{\"line\":1,\"status\":201,\"id\":\"txn_1\"}\n\
                         { \"status\": 201, \"line\": 2, \"id\": \"txn_2\" }\n";

    fn chunked(body: &str) -> String {
        let (one, two) = body.split_at(body.len() / 3);
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}{}0\r\n\r\n", chunk(one), chunk(two))
    }

    fn read_all(answer: &str, expected: u64) -> Vec<anyhow::Result<()>> {
        [1, 7, 4096].map(|step| read(&mut Drip(answer.as_bytes(), step), expected)).into()
    }

    #[test]
    fn outcomes_in_order_are_counted_however_they_come() {
        let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{LINES}", LINES.len());
        for answer in [chunked(LINES), length] {
            for read in read_all(&answer, 2) {
                read.unwrap();
            }
        }
    }

    #[test]
    fn what_is_no_201_or_out_of_order_or_missing_is_told() {
        let wrong = [
            LINES.replace("\"status\":201", "\"status\":422"),
            LINES.replace("\"line\": 2", "\"line\": 3"),
            LINES.replace("\"line\":1,", "\"line\":10,"),
            LINES.trim_end().to_owned(),
            LINES.lines().next().unwrap().to_owned() + "\n",
            LINES.replace("{ ", "["),
        ];
        for body in wrong {
            for read in read_all(&chunked(&body), 2) {
                assert!(read.is_err(), "{body}");
            }
        }
        for answer in ["HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n", &chunked(LINES)[..90]] {
            assert!(read_all(answer, 2).iter().all(Result::is_err), "{answer}");
        }
    }
}
