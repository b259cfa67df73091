//! Rules of `tidy` on single lines: their length, their blanks, and words that must not stay.

use super::{Fault, Source, has_word};

const COLUMNS: usize = 100;

/// Lines of Rust, TOML and prose have at most 100 columns. A table's row, a line in a code block
/// of a page and a line with an address cannot be broken and may be longer.
pub(super) fn long_lines(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| !source.path.ends_with(".txt")) {
        let page = source.path.ends_with(".md");
        let mut fenced = false;
        for (number, line) in source.lines() {
            fenced ^= page && line.trim_start().starts_with("```");
            let whole = page && (fenced || line.starts_with('|')) || line.contains("https://");
            let columns = line.chars().count();
            if columns > COLUMNS && !whole {
                faults.push(Fault::new(source, number, format!("{columns} columns")));
            }
        }
    }
    faults
}

/// No blank at a line's end, no tabulator, and one line feed at the end of a file.
pub(super) fn blanks(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources {
        for (number, line) in (1..).zip(source.text.split('\n')) {
            if line.ends_with([' ', '\t', '\r']) {
                faults.push(Fault::new(source, number, "a blank at the end"));
            }
            if line.contains('\t') {
                faults.push(Fault::new(source, number, "a tabulator"));
            }
        }
        if !source.text.ends_with('\n') || source.text.ends_with("\n\n") {
            faults.push(Fault::new(source, 0, "does not end with one line feed"));
        }
    }
    faults
}

/// What somebody meant to come back to. The words are put together here, so that this file is
/// not found.
pub(super) fn leftovers(sources: &[Source]) -> Vec<Fault> {
    let words = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
    let macros = [concat!("dbg", "!"), concat!("todo", "!"), concat!("unimplemented", "!")];
    let mut faults = Vec::new();
    for source in sources {
        for (number, line) in source.lines() {
            for word in words {
                if has_word(line, word) {
                    faults.push(Fault::new(source, number, format!("`{word}` is left over")));
                }
            }
            for name in macros {
                if source.is_rust() && line.contains(name) {
                    faults.push(Fault::new(source, number, format!("`{name}` is left over")));
                }
            }
        }
    }
    faults
}

/// A lint is expected with a reason, never allowed; and a test that exists is run.
pub(super) fn attributes(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, line) in source.lines() {
            for start in ["#[", "#!["] {
                for name in ["allow(", "ignore"] {
                    if line.trim_start().starts_with(&format!("{start}{name}")) {
                        faults.push(Fault::new(source, number, format!("`{start}{name}`")));
                    }
                }
            }
        }
    }
    faults
}

/// A test's name is a sentence: three words at least.
pub(super) fn test_names(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let mut marked = false;
        for (number, line) in source.lines() {
            let line = line.trim_start();
            if let Some((_, after)) = line.split_once("fn ").filter(|_| marked) {
                let name = after.split('(').next().unwrap_or_default();
                if name.matches('_').count() < 2 {
                    faults.push(Fault::new(source, number, format!("`{name}` is no sentence")));
                }
                marked = false;
            }
            marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_line_of_101_columns_is_too_long() {
        let long = "가".repeat(101) + "\n";
        assert_eq!(long_lines(&[sample("a.rs", &long)]).len(), 1);
        assert_eq!(long_lines(&[sample("a.md", &long)]).len(), 1);
        assert_eq!(long_lines(&[sample("a.rs", &long[3..])]), []);
    }

    #[test]
    fn a_row_a_code_block_and_an_address_may_be_long() {
        let long = "b".repeat(101);
        for text in
            [format!("| {long}\n"), format!("```\n{long}\n```\n"), format!("https://{long}\n")]
        {
            assert_eq!(long_lines(&[sample("a.md", &text)]), []);
        }
        assert_eq!(long_lines(&[sample("a.md", &format!("```\n```\n{long}\n"))]).len(), 1);
    }

    #[test]
    fn blanks_tabulators_and_a_ragged_end_are_found() {
        for text in ["a \n", "a\tb\n", "a\r\n", "a", "a\n\n"] {
            assert_eq!(blanks(&[sample("a.rs", text)]).len(), 1, "{text:?}");
        }
        assert_eq!(blanks(&[sample("a.rs", "a\n\nb\n")]), []);
    }

    #[test]
    fn what_is_left_over_is_found() {
        for text in [concat!("// FIX", "ME: later\n"), concat!("dbg", "!(x);\n")] {
            assert_eq!(leftovers(&[sample("a.rs", text)]).len(), 1, "{text:?}");
        }
        assert_eq!(leftovers(&[sample("a.rs", concat!("XX", "XIV\n"))]), []);
    }

    #[test]
    fn a_test_that_is_not_named_by_a_sentence_is_found() {
        let test = |name: &str| format!("#[test]\n#[should_panic]\nfn {name}() {{\n");
        assert_eq!(test_names(&[sample("a.rs", &test("deposit_works"))]).len(), 1);
        assert_eq!(test_names(&[sample("a.rs", &test("a_deposit_is_booked"))]), []);
        assert_eq!(test_names(&[sample("a.rs", "fn free() {}\n")]), []);
    }

    #[test]
    fn an_allowed_lint_and_an_ignored_test_are_found() {
        for text in ["#[allow(dead_code)]\n", "    #![allow(unused)]\n", "#[ignore = \"slow\"]\n"] {
            assert_eq!(attributes(&[sample("a.rs", text)]).len(), 1, "{text:?}");
        }
        assert_eq!(attributes(&[sample("a.rs", "#[expect(unused, reason = \"\")]\n")]), []);
    }
}
