//! Rules of `tidy` on the pages: links that lead somewhere, and twins that stay alike.

use super::{Fault, Source};

/// A link of a page to a file leads to one that is there, and to a heading that it has.
pub(super) fn links(sources: &[Source]) -> Vec<Fault> {
    let root = crate::root();
    links_where(sources, |path| root.join(path).exists())
}

fn links_where(sources: &[Source], exists: impl Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for (number, target) in targets(source) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { source.path.clone() } else { from(source, file) };
            let page = sources.iter().find(|other| other.path == path);
            if page.is_none() && !exists(&path) {
                faults.push(Fault::new(source, number, format!("`{target}` leads nowhere")));
            } else if let Some(page) = page
                && !anchor.is_empty()
                && !headings(page).any(|(_, heading)| anchor_of(heading) == anchor)
            {
                faults.push(Fault::new(source, number, format!("no heading for `{target}`")));
            }
        }
    }
    faults
}

/// The lines of a page that are not in a code block.
fn prose(page: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    page.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What the page's links `[text](target)` lead to; a link in `code` is none.
fn targets(page: &Source) -> impl Iterator<Item = (usize, &str)> {
    prose(page).flat_map(|(number, line)| {
        line.match_indices("](").filter_map(move |(at, _)| {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split([')', ' ']).next()?;
            (!in_code).then_some((number, target))
        })
    })
}

/// The path that `link` on a page means, seen from the root.
fn from(page: &Source, link: &str) -> String {
    let mut parts: Vec<&str> = page.path.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The headings of a page: how deep each is, and what it says.
fn headings(page: &Source) -> impl Iterator<Item = (usize, &str)> {
    prose(page).filter_map(|(_, line)| {
        let depth = line.chars().take_while(|letter| *letter == '#').count();
        line[depth..].strip_prefix(' ').filter(|_| depth > 0).map(|text| (depth, text))
    })
}

/// A heading as GitHub makes an anchor of it: lower case, blanks to hyphens, signs left out.
fn anchor_of(heading: &str) -> String {
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
        .map(|letter| if letter == ' ' { '-' } else { letter })
        .collect()
}

/// The two READMEs say the same, so they have headings of the same depths in the same order, and
/// the same code blocks.
pub(super) fn twin_readmes(sources: &[Source]) -> Vec<Fault> {
    let page = |path| sources.iter().find(|source| source.path == path);
    let (english, korean) = match (page("README.md"), page("README.ko.md")) {
        (Some(english), Some(korean)) => (english, korean),
        (None, None) => return Vec::new(),
        (Some(alone), None) | (None, Some(alone)) => {
            return vec![Fault::new(alone, 0, "has no twin in the other language")];
        }
    };
    let depths = |page| headings(page).map(|(depth, _)| depth).collect::<Vec<_>>();
    let fences = |page: &Source| page.text.lines().filter(|line| line.starts_with("```")).count();
    let mut faults = Vec::new();
    if depths(english) != depths(korean) {
        faults.push(Fault::new(korean, 0, "has other headings than README.md"));
    }
    if fences(english) != fences(korean) {
        faults.push(Fault::new(korean, 0, "has other code blocks than README.md"));
    }
    faults
}

/// A decision tells its context, the choice, the reason, and what would change our mind.
pub(super) fn decisions(sources: &[Source]) -> Vec<Fault> {
    const PARTS: [&str; 4] = ["Context", "Choice", "Reason", "What would change our mind"];
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("docs/decisions/")) {
        let found: Vec<&str> =
            headings(source).filter(|(depth, _)| *depth == 2).map(|(_, text)| text).collect();
        if found != PARTS {
            faults.push(Fault::new(source, 0, format!("has {found:?} instead of {PARTS:?}")));
        }
    }
    faults
}

/// The map names each file that lies right in a room.
pub(super) fn map(sources: &[Source]) -> Vec<Fault> {
    const PAGE: &str = "ARCHITECTURE.md";
    const ROOMS: [&str; 4] = [
        "crates/core/src/",
        "crates/store/src/",
        "crates/store/src/journal/",
        "crates/server/src/",
    ];
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else { return Vec::new() };
    let mut faults = Vec::new();
    for source in sources {
        let stem = ROOMS
            .iter()
            .filter_map(|room| source.path.strip_prefix(room)?.strip_suffix(".rs"))
            .find(|stem| !stem.contains('/'));
        if let Some(stem) = stem
            && !(matches!(stem, "lib" | "main") || source.is_test())
            && !page.text.contains(&format!("`{stem}`"))
        {
            faults.push(Fault::new(page, 0, format!("the map lacks `{stem}` of {}", source.path)));
        }
    }
    faults
}

/// Each dependency of the workspace is named, with its reason, in the decision on libraries.
pub(super) fn libraries(sources: &[Source]) -> Vec<Fault> {
    let page = |path: &str| sources.iter().find(|source| source.path == path);
    let page_path = "docs/decisions/0007-libraries.md";
    let (Some(manifest), Some(reasons)) = (page("Cargo.toml"), page(page_path)) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let mut inside = false;
    for (number, line) in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        }
        let name = line.split([' ', '.']).next().unwrap_or_default();
        let named = line.starts_with(|letter: char| letter.is_ascii_lowercase());
        if inside
            && named
            && !name.starts_with("tongjang-")
            && !reasons.text.lines().any(|line| names(line, name))
        {
            faults.push(Fault::new(manifest, number, format!("`{name}` is not in {page_path}")));
        }
    }
    faults
}

/// Whether `line` names the library, and not only one whose name begins with its name.
fn names(line: &str, library: &str) -> bool {
    line.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '-' | '_')))
        .any(|word| word == library)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let faults = |text: &str| {
            let pages = [sample("docs/a.md", text), sample("docs/b.md", "# Two words\n")];
            links_where(&pages, |path| path == "Cargo.toml").len()
        };
        assert_eq!(faults("[b](b.md), [c](../Cargo.toml), [d](https://example.com/x)\n"), 0);
        assert_eq!(faults("`[b](gone.md)`\n```\n[b](gone.md)\n```\n"), 0);
        assert_eq!(faults("[b](gone.md) and [c](Cargo.toml)\n"), 2);
        assert_eq!(faults("[b](b.md#two-words)\n"), 0);
        assert_eq!(faults("[b](b.md#three-words)\n"), 1);
    }

    #[test]
    fn readmes_that_drifted_apart_are_found() {
        let twins = |english: &str, korean: &str| {
            twin_readmes(&[sample("README.md", english), sample("README.ko.md", korean)]).len()
        };
        assert_eq!(twins("# A\n## B\n```\n# c\n```\n", "# 가\n## 나\n```\n```\n"), 0);
        assert_eq!(twins("# A\n## B\n", "# 가\n"), 1);
        assert_eq!(twins("# A\n## B\n", "# 가\n### 나\n"), 1);
        assert_eq!(twins("# A\n```\n```\n", "# 가\n"), 1);
        assert_eq!(twin_readmes(&[sample("README.md", "# A\n")]).len(), 1);
    }

    #[test]
    fn a_file_that_the_map_lacks_is_found() {
        let tree = |page: &str| {
            let desk = sample("crates/core/src/desk.rs", "");
            let drawer = sample("crates/core/src/desk/drawer.rs", "");
            map(&[sample("ARCHITECTURE.md", page), desk, drawer]).len()
        };
        assert_eq!(tree("| `desk`, `desk/` | where it is written |\n"), 0);
        assert_eq!(tree("| `desktop` | |\n"), 1);
    }

    #[test]
    fn a_library_without_its_reason_is_found() {
        let tree = |page: &str| {
            let manifest = "[workspace.dependencies]\nserde = \"1\"\n\n[workspace.lints]\na = 1\n";
            let page = sample("docs/decisions/0007-libraries.md", page);
            libraries(&[sample("Cargo.toml", manifest), page]).len()
        };
        assert_eq!(tree("| JSON | serde, serde_json |\n"), 0);
        assert_eq!(tree("| JSON | serde_json |\n"), 1);
    }

    #[test]
    fn a_decision_without_its_reason_is_found() {
        let page = |text: &str| decisions(&[sample("docs/decisions/0001-a.md", text)]).len();
        assert_eq!(page("# A\n## Context\n## Choice\n## What would change our mind\n"), 1);
        assert_eq!(page("## Context\n## Choice\n## Reason\n## What would change our mind\n"), 0);
    }
}
