//! The step `tidy`: the house style, as far as the text of the files shows it.
//!
//! Each rule takes the whole tree of sources and gives the places that break it; each has a test
//! on a small sample that does. `cargo test -p xtask` holds the real tree against all of them.

mod imports;
mod layout;
mod pages;
mod text;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::steps::Done;

/// A file of the project, read whole.
struct Source {
    /// From the root, with `/` between its parts.
    path: String,
    text: String,
}

/// A place where a rule is broken.
#[derive(PartialEq, Eq, Debug)]
struct Fault {
    path: String,
    /// From 1; 0 if the whole file is meant.
    line: usize,
    what: String,
}

impl Fault {
    fn new(source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self { path: source.path.clone(), line, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

type Rule = fn(&[Source]) -> Vec<Fault>;

const RULES: [Rule; 18] = [
    text::long_lines,
    text::blanks,
    text::leftovers,
    text::attributes,
    text::test_names,
    layout::openings,
    layout::sizes,
    layout::names,
    layout::dead_files,
    imports::dependencies,
    imports::members,
    imports::unused,
    imports::forbidden_words,
    pages::links,
    pages::twin_readmes,
    pages::decisions,
    pages::map,
    pages::libraries,
];

pub(crate) fn step(root: &Path) -> Result<Done> {
    let sources = sources(root)?;
    for note in layout::long_files(&sources) {
        println!("note: {note}");
    }
    let faults = faults(&sources);
    if !faults.is_empty() {
        let list: Vec<String> = faults.iter().map(Fault::to_string).collect();
        bail!("{} places are untidy\n{}", faults.len(), list.join("\n"));
    }
    println!("{} files are tidy", sources.len());
    Ok(Done::Passed)
}

fn faults(sources: &[Source]) -> Vec<Fault> {
    RULES.iter().flat_map(|rule| rule(sources)).collect()
}

/// The kinds of file that the rules know.
const ENDINGS: [&str; 6] = ["rs", "toml", "md", "txt", "service", "sh"];

/// All files of the project whose ending the rules know, in the order of their paths.
fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("read {folder:?}"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ours = !name.starts_with('.') || name == ".ci" || name == ".cargo";
            if !ours || name == "target" || name == "tongjang-data" || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
            if ENDINGS.contains(&ending.as_str()) || path.ends_with(".ci/run") {
                let text = std::fs::read(&path).with_context(|| format!("read {path:?}"))?;
                let text = String::from_utf8(text).with_context(|| format!("read {path:?}"))?;
                let path = path.strip_prefix(root).context("a file of the workspace")?;
                found.push(Source { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Whether it is compiled for tests alone, as its name says: `tests.rs`, `test_….rs` or a
    /// file in a folder `tests`.
    fn is_test(&self) -> bool {
        let file = self.path.rsplit('/').next().unwrap_or_default();
        file == "tests.rs" || file.starts_with("test_") || self.path.contains("/tests/")
    }

    /// The lines of Rust that run outside tests, without comments. A test module stands last in
    /// its file, so all after its attribute is left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let opened = |line: &str| line.starts_with("mod ") && line.ends_with('{');
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && opened(pair[1]))
            .unwrap_or(lines.len());
        let tests = if self.is_test() { 0 } else { tests };
        (1..).zip(lines.into_iter().take(tests)).map(|(number, line)| {
            (number, line.split_once("//").map_or(line, |(code, _comment)| code))
        })
    }
}

/// Whether `word` stands in `line`, neither preceded nor followed by a letter, digit or `_`.
fn has_word(line: &str, word: &str) -> bool {
    let joins = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    line.match_indices(word).any(|(at, _)| {
        !joins(line[..at].chars().next_back()) && !joins(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
fn sample(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_tidy() {
        let sources = sources(&crate::root()).expect("the workspace can be read");
        assert!(sources.iter().any(|source| source.path == "crates/core/src/decide.rs"));
        let faults: Vec<String> = faults(&sources).iter().map(Fault::to_string).collect();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    #[test]
    fn code_has_neither_comments_nor_tests() {
        let text = "a // b\n#[cfg(test)]\nmod far;\nc\n#[cfg(test)]\nmod tests {\nd\n}\n";
        let source = sample("a.rs", text);
        let code: Vec<&str> = source.code().map(|(_, line)| line.trim()).collect();
        assert_eq!(code, ["a", "#[cfg(test)]", "mod far;", "c"]);
        assert_eq!(sample("src/a/tests.rs", text).code().count(), 0);
    }

    #[test]
    fn a_word_is_found_only_by_itself() {
        assert!(has_word("use std::fs;", "std::fs"));
        assert!(!has_word("use std::fsx;", "std::fs"));
        assert!(!has_word("my_std::fs", "std::fs"));
    }
}
