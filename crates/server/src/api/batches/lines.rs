//! Lines out of a body that comes in pieces. A line that lies within a piece is not copied, and
//! one that is too long is passed over without being kept.

/// The most bytes of a line.
pub(super) const LONGEST_LINE: usize = 64 * 1024;

/// A line of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line<'a> {
    /// The line, without its end.
    Whole(&'a [u8]),
    /// One with more bytes than [`LONGEST_LINE`].
    TooLong,
}

/// What is left over between two pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// The line that has begun is too long already.
    too_long: bool,
    /// `begun` was given out as a line.
    given: bool,
}

impl Lines {
    /// The next line that ends in `piece` at or after `at`, which is moved behind it; `None` if
    /// none ends there, and then all of the piece is taken in.
    pub(super) fn next<'a>(&'a mut self, piece: &'a [u8], at: &mut usize) -> Option<Line<'a>> {
        if std::mem::take(&mut self.given) {
            self.begun.clear();
        }
        let rest = piece.get(*at..)?;
        let Some(length) = memchr::memchr(b'\n', rest) else {
            *at = piece.len();
            self.keep(rest);
            return None;
        };
        let line = &rest[..length];
        *at += length + 1;
        if std::mem::take(&mut self.too_long) || self.begun.len() + length > LONGEST_LINE {
            self.given = true;
            return Some(Line::TooLong);
        }
        if self.begun.is_empty() {
            return Some(Line::Whole(line));
        }
        self.begun.extend_from_slice(line);
        self.given = true;
        Some(Line::Whole(&self.begun))
    }

    /// What stands after the last line's end when the body is over, if anything does.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        if std::mem::take(&mut self.given) {
            self.begun.clear();
        }
        if std::mem::take(&mut self.too_long) {
            return Some(Line::TooLong);
        }
        self.given = true;
        (!self.begun.is_empty()).then_some(Line::Whole(&self.begun))
    }

    fn keep(&mut self, rest: &[u8]) {
        if self.too_long || self.begun.len() + rest.len() > LONGEST_LINE {
            self.too_long = true;
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(body: &[u8], pieces: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let owned = |line: Line<'_>| match line {
            Line::Whole(line) => Some(line.to_vec()),
            Line::TooLong => None,
        };
        for piece in body.chunks(pieces.max(1)) {
            let mut at = 0;
            while let Some(line) = lines.next(piece, &mut at) {
                found.push(owned(line));
            }
            assert_eq!(at, piece.len());
            assert!(lines.begun.len() <= LONGEST_LINE, "more is kept than a line may have");
        }
        found.extend(lines.last().map(owned));
        found
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_one_is_not() {
        let longest = vec![b'a'; LONGEST_LINE];
        let longer = vec![b'b'; LONGEST_LINE + 1];
        let body = [&longest[..], b"\n", &longer, b"\nc\n", &longer].concat();
        let expected = [Some(longest.clone()), None, Some(b"c".to_vec()), None];
        for pieces in [1000, 4096, LONGEST_LINE, LONGEST_LINE + 7, usize::MAX] {
            assert_eq!(cut(&body, pieces), expected, "in pieces of {pieces}");
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_body_is_cut(
            body in "[ab\n]{0,60}",
            pieces in 1..20usize,
        ) {
            let mut expected: Vec<_> =
                body.split('\n').map(|line| Some(line.as_bytes().to_vec())).collect();
            if expected.last() == Some(&Some(Vec::new())) {
                expected.pop();
            }
            prop_assert_eq!(cut(body.as_bytes(), pieces), expected);
        }
    }
}
