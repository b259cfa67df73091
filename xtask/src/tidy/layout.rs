//! Rules of `tidy` on files: how each opens, how long it is, what it is called, and that some
//! other file names it.

use super::{Fault, Source};

/// Beyond this a file is mentioned.
const LONG: usize = 600;
/// Beyond this it is refused.
const TOO_LONG: usize = 800;

/// Every file of Rust opens by saying where it stands in the flow.
pub(super) fn openings(sources: &[Source]) -> Vec<Fault> {
    let silent = |source: &&Source| {
        let said: usize = source
            .text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.split_whitespace().count())
            .sum();
        source.is_rust() && said < 3
    };
    sources
        .iter()
        .filter(silent)
        .map(|source| Fault::new(source, 1, "does not open with a sentence on its place (`//!`)"))
        .collect()
}

/// No file of Rust has more than 800 lines.
pub(super) fn sizes(sources: &[Source]) -> Vec<Fault> {
    longer_than(sources, TOO_LONG)
}

/// Those that are on the way there.
pub(super) fn long_files(sources: &[Source]) -> Vec<Fault> {
    longer_than(sources, LONG)
}

fn longer_than(sources: &[Source], limit: usize) -> Vec<Fault> {
    sources
        .iter()
        .filter(|source| source.is_rust())
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > limit)
        .map(|(source, lines)| Fault::new(source, 0, format!("{lines} lines")))
        .collect()
}

/// Names that say nothing, as a file or as a folder; and `mod.rs`, of which there would be many.
pub(super) fn names(sources: &[Source]) -> Vec<Fault> {
    const EMPTY: [&str; 10] = [
        "mod",
        "util",
        "utils",
        "common",
        "helper",
        "helpers",
        "misc",
        "types",
        "manager",
        "repository",
    ];
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        for part in source.path.split('/') {
            let stem = part.strip_suffix(".rs").unwrap_or(part);
            if EMPTY.contains(&stem) {
                faults.push(Fault::new(source, 0, format!("the name `{stem}` says nothing")));
            }
        }
    }
    faults
}

/// A file of Rust that no other names by `mod` is not even compiled.
pub(super) fn dead_files(sources: &[Source]) -> Vec<Fault> {
    sources
        .iter()
        .filter(|source| source.is_rust() && !is_alive(source, sources))
        .map(|source| Fault::new(source, 0, "no file names it by `mod`"))
        .collect()
}

fn is_alive(source: &Source, sources: &[Source]) -> bool {
    let Some((folder, file)) = source.path.rsplit_once('/') else { return false };
    let (parent, place) = folder.rsplit_once('/').unwrap_or(("", folder));
    // `tests/a.rs`, `benches/a.rs`, `src/bin/a.rs` and `build.rs` are roots of their own.
    let rooted = matches!(place, "tests" | "benches" | "examples" | "bin" | "fuzz_targets");
    if rooted || matches!(file, "main.rs" | "lib.rs" | "build.rs") {
        return true;
    }
    let stem = file.trim_end_matches(".rs");
    let named = |text: &str| {
        text.lines().any(|line| {
            let line = line.trim().trim_end_matches(';');
            let name = line.rsplit_once("mod ").map(|(_, name)| name);
            name == Some(stem) && !line.starts_with("//")
        })
    };
    let above =
        [format!("{folder}/lib.rs"), format!("{folder}/main.rs"), format!("{parent}/{place}.rs")];
    sources.iter().any(|other| above.contains(&other.path) && named(&other.text))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_file_that_opens_with_nothing_to_say_is_found() {
        for text in ["use std::fmt;\n", "//! x\n", "// What this is for.\n"] {
            assert_eq!(openings(&[sample("a.rs", text)]).len(), 1, "{text:?}");
        }
        assert_eq!(openings(&[sample("a.rs", "//! The bank's vault: what\n//! is kept.\n")]), []);
    }

    #[test]
    fn a_long_file_is_told_and_a_too_long_one_refused() {
        let file = |lines| [sample("a.rs", &"\n".repeat(lines))];
        assert_eq!((sizes(&file(800)).len(), sizes(&file(801)).len()), (0, 1));
        assert_eq!((long_files(&file(600)).len(), long_files(&file(601)).len()), (0, 1));
    }

    #[test]
    fn a_name_that_says_nothing_is_found() {
        for path in ["crates/a/src/utils.rs", "crates/common/src/lib.rs", "src/a/mod.rs"] {
            assert_eq!(names(&[sample(path, "")]).len(), 1, "{path}");
        }
        assert_eq!(names(&[sample("crates/core/src/model.rs", "")]), []);
    }

    #[test]
    fn a_file_that_nobody_names_is_found() {
        let tree = |text: &str| {
            dead_files(&[
                sample("crates/a/src/lib.rs", text),
                sample("crates/a/src/desk.rs", "#[cfg(test)]\nmod drawer;\n"),
                sample("crates/a/src/desk/drawer.rs", ""),
                sample("crates/a/tests/it/main.rs", "mod walk;\n"),
                sample("crates/a/tests/it/walk.rs", ""),
            ])
        };
        assert_eq!(tree("pub(crate) mod desk;\n"), []);
        assert_eq!(tree("// mod desk;\n").len(), 1);
        assert_eq!(tree("mod desktop;\n").len(), 1);
    }
}
