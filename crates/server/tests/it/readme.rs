//! The README, held to its word: the blocks of its walk run against a server as they stand there,
//! and what they print is compared with what it shows.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Process, printed, tongjang};

/// Where the server of the page listens.
const SHOWN_AT: &str = "http://127.0.0.1:8080";

/// A file of the project.
pub(crate) fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of `text`: what stands behind each fence, and what is in it.
pub(crate) fn blocks(text: &str) -> Vec<(&str, &str)> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence is a line of its own")).collect()
}

/// The walk is the section of the block that says where the server is.
fn walk(readme: &str) -> &str {
    let start = readme.find("```sh\nTONGJANG=").expect("the walk begins so");
    let walk = &readme[start..];
    &walk[..walk.find("\n## ").unwrap_or(walk.len())]
}

/// Whether the program is there. Only outside of CI may it be missing.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "there is no {program}");
        // Not by `eprintln!`, of which nothing is seen if a test passes.
        let _ = writeln!(std::io::stderr(), "skipped, since there is no {program}");
    }
    found
}

/// What a script prints, if all its commands succeed and none complains.
#[track_caller]
fn shell(script: &str, server: &str) -> String {
    let mut bash = Command::new("bash");
    // No proxy of the developer's own, and the date as everywhere.
    bash.args(["-e", "-u", "-o", "pipefail", "-c", script]).env_remove("TZ");
    bash.env("TONGJANG", server).env("NO_PROXY", "127.0.0.1");
    let output = bash.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_walk_through_the_readme_works_word_for_word() {
    if !(has("bash") && has("curl")) {
        return;
    }
    let readme = page("README.md");
    let blocks = blocks(walk(&readme));
    assert!(blocks.len() >= 20 && blocks.len().is_multiple_of(2), "each shows what it prints");
    let mut script = String::new();
    for pair in blocks.chunks(2) {
        assert_eq!(pair[0].0, "sh", "{}", pair[0].1);
        // A sign that is in no answer tells where the output of a block ends.
        script = script + pair[0].1 + "printf '\\036'\n";
    }
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("data"), &[]);
    let output = shell(&script, &process.base);
    let outputs: Vec<&str> = output.split_terminator('\u{1e}').collect();
    assert_eq!(outputs.len(), blocks.len() / 2);
    let mut blur = Blur::default();
    for (pair, output) in blocks.chunks(2).zip(outputs) {
        blur.compare(pair[1], output).unwrap_or_else(|difference| {
            panic!("{difference}\nafter\n{}\nit printed\n{output}", pair[0].1)
        });
    }
    let (code, log) = process.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn both_readmes_have_the_same_blocks() {
    let (english, korean) = (page("README.md"), page("README.ko.md"));
    // What follows a command as a comment is prose, and may be in either language.
    let bare = |text: &str| {
        let strip = |line: &str| line.split("  # ").next().unwrap_or(line).trim_end().to_owned();
        let block = |(kind, block): &(&str, &str)| {
            let kept = |line: &str| if *kind == "console" { strip(line) } else { line.to_owned() };
            (kind.to_string(), block.lines().map(kept).collect::<Vec<_>>())
        };
        blocks(text).iter().map(block).collect::<Vec<_>>()
    };
    for (english, korean) in bare(&english).iter().zip(&bare(&korean)) {
        assert_eq!(english, korean);
    }
    assert_eq!(blocks(&english).len(), blocks(&korean).len());
}

#[test]
fn the_server_greets_as_the_readme_shows_and_its_first_call_works() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(&folder.path().join("tongjang-data"), &[]);
    let greeting = process.greeting.join("\n").replace(&process.base, SHOWN_AT);
    let readme = page("README.md");
    let shown = blocks(&readme).into_iter().find(|(kind, _)| *kind == "text").unwrap().1;
    // The commit and the folder are those of whoever runs it.
    let words = |text: &str| -> Vec<String> {
        let known = |word: &str| !word.starts_with('(') && !word.starts_with('/');
        text.split_whitespace().filter(|word| known(word)).map(str::to_owned).collect()
    };
    assert_eq!(words(&greeting), words(shown));
    if !(has("bash") && has("curl")) {
        return;
    }
    let call = process.greeting[3..].join("\n");
    let call = call.strip_prefix("try ").expect("the last lines are a call to try");
    let user: Value = serde_json::from_str(&shell(call, "")).unwrap();
    assert_eq!(user["username"], "minji");
}

#[test]
fn the_settings_of_the_readmes_are_those_of_the_program() {
    let help = printed(&["serve", "--help"], "");
    let (mut option, mut variable) = ("", "");
    let mut settings: Vec<String> = Vec::new();
    for line in help.lines().map(str::trim) {
        if let Some(name) = line.split(' ').next().filter(|word| word.starts_with("--")) {
            option = name;
        } else if let Some(name) = line.strip_prefix("[env: ") {
            variable = name.trim_end_matches([']', '=']);
            settings.push(format!("| `{option}` | `{variable}` | – |"));
        } else if let Some(value) = line.strip_prefix("[default: ") {
            let default = value.trim_end_matches(']');
            let setting = settings.last_mut().expect("each has a variable");
            *setting = format!("| `{option}` | `{variable}` | `{default}` |");
        }
    }
    assert_eq!(settings.len(), 11);
    for name in ["README.md", "README.ko.md"] {
        let page = page(name);
        let rows = page.lines().filter(|line| line.starts_with("| `--"));
        for (row, setting) in rows.clone().zip(&settings) {
            assert!(row.starts_with(setting), "{name}: {row}\nbut the program has {setting}");
        }
        assert_eq!(rows.count(), settings.len(), "{name}");
    }
}

#[test]
fn the_commands_of_the_readme_are_understood() {
    let readme = page("README.md");
    let mut seen = 0;
    for (_, block) in blocks(&readme).iter().filter(|(kind, _)| *kind == "console") {
        for line in block.lines().filter_map(|line| line.strip_prefix("$ tongjang ")) {
            let command = line.split("  #").next().unwrap();
            let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
            let output = tongjang(&arguments).output().unwrap();
            assert!(output.status.success(), "{command}");
            seen += 1;
        }
    }
    assert!(seen >= 5);
}

/// Compares what is printed with what is shown. What differs from run to run must be of the same
/// kind, and the same thing must be the same wherever it comes up again.
#[derive(Default)]
struct Blur {
    stands_for: HashMap<String, String>,
}

impl Blur {
    fn compare(&mut self, (kind, shown): (&str, &str), printed: &str) -> Result<(), String> {
        if kind == "json" {
            let read = |text| serde_json::from_str(text).map_err(|e| format!("no JSON: {e}"));
            return self.values("", &read(shown)?, &read(printed)?);
        }
        let lines = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        let (shown, printed) = (lines(shown), lines(printed));
        if shown == printed { Ok(()) } else { Err(format!("the README shows\n{shown}")) }
    }

    fn values(&mut self, at: &str, shown: &Value, printed: &Value) -> Result<(), String> {
        match (shown, printed) {
            (Value::Object(one), Value::Object(other)) => {
                if !one.keys().eq(other.keys()) {
                    return Err(format!("{at}: the README shows other fields"));
                }
                one.iter().try_for_each(|(key, value)| {
                    self.values(&format!("{at}/{key}"), value, &other[key])
                })
            }
            (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
                let mut pairs = one.iter().zip(other).enumerate();
                pairs
                    .try_for_each(|(n, (one, other))| self.values(&format!("{at}/{n}"), one, other))
            }
            (Value::String(one), Value::String(other)) => self.texts(at, one, other),
            _ if shown == printed => Ok(()),
            _ => Err(format!("{at}: the README shows {shown}, not {printed}")),
        }
    }

    fn texts(&mut self, at: &str, shown: &str, printed: &str) -> Result<(), String> {
        let name = at.rsplit('/').next().unwrap_or_default();
        if shape(name, shown).is_none() && shown == printed {
            return Ok(());
        }
        if shape(name, shown).is_none() || shape(name, shown) != shape(name, printed) {
            return Err(format!("{at}: the README shows {shown:?}, not {printed:?}"));
        }
        let known = self.stands_for.entry(shown.to_owned()).or_insert_with(|| printed.to_owned());
        if known == printed {
            return Ok(());
        }
        Err(format!("{at}: {shown} stood for {known} before, and now for {printed}"))
    }
}

/// What remains of a field's text if all is taken away that is different in each run; none if
/// nothing is.
fn shape(name: &str, text: &str) -> Option<String> {
    let kept = match name {
        "id" | "owner_id" | "account_id" | "transaction_id" => "usr_".len(),
        "created_at" | "opened_at" | "booked_at" | "hash" | "head_hash" | "number" => 0,
        // Sealed, and of the same length for the same kind of page.
        "next_cursor" | "prev_cursor" => return Some(text.len().to_string()),
        _ => return None,
    };
    let blurred = text.chars().enumerate().map(|(at, letter)| match letter {
        // The prefix of an id stays, and so do the signs of a time and of an account's number.
        'a'..='z' | '0'..='9' if at >= kept => '0',
        letter => letter,
    });
    Some(blurred.collect())
}

#[test]
fn a_blurred_text_is_still_compared() {
    let compare =
        |shown: &str, printed: &str| Blur::default().compare(("json", shown), printed).is_ok();
    let id = |letter: &str, prefix: &str| format!(r#"{{"id": "{prefix}_{}"}}"#, letter.repeat(26));
    assert!(compare(&id("a", "acc"), &id("7", "acc")));
    assert!(!compare(&id("a", "acc"), &id("a", "txn")));
    assert!(!compare(r#"{"amount": 1}"#, r#"{"amount": 2}"#));
    assert!(!compare(r#"{"memo": "a"}"#, r#"{"memo": "b"}"#));
    assert!(!compare(r#"{"memo": "a"}"#, r#"{"memo": "a", "more": 1}"#));
    assert!(!compare(r#"{"hash": null}"#, r#"{"hash": "00"}"#));
    let two =
        |one: &str, other: &str| format!(r#"[{{"number": "{one}"}}, {{"number": "{other}"}}]"#);
    assert!(compare(&two("1-1", "2-2"), &two("7-7", "8-8")));
    assert!(!compare(&two("1-1", "1-1"), &two("7-7", "8-8")), "one shown, two printed");
}
