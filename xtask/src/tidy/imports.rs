//! Rules of `tidy` on who may know whom: the invariants of `ARCHITECTURE.md` as lists of words.
//!
//! Each is said as what is absent, so that a reader of one room may forget all the others.

use super::{Fault, Source, has_word};

/// What a crate may depend on; a crate that is not listed may depend on anything.
struct Dependencies {
    manifest: &'static str,
    /// All that it may depend on, or `None` if only `not` counts.
    only: Option<&'static [&'static str]>,
    not: &'static [&'static str],
    why: &'static str,
}

const DEPENDENCIES: [Dependencies; 5] = [
    Dependencies {
        manifest: "crates/core/Cargo.toml",
        only: Some(&["iso_currency", "sha2"]),
        not: &[],
        why: "the core is pure: a hash and the list of currencies is all it needs",
    },
    Dependencies {
        manifest: "crates/store/Cargo.toml",
        only: None,
        not: &[
            "tongjang-server",
            "tongjang-script",
            "tongjang-sim",
            "tongjang-cluster",
            "axum",
            "tower",
            "serde",
            "rusqlite",
        ],
        why: "a store knows the core, and neither HTTP nor users",
    },
    Dependencies {
        manifest: "crates/server/Cargo.toml",
        only: None,
        not: &["tongjang-script", "tongjang-sim", "tongjang-cluster"],
        why: "what tests the server is no part of it",
    },
    Dependencies {
        manifest: "crates/sim/Cargo.toml",
        only: None,
        not: &["tongjang-server"],
        why: "the simulator drives the core and the stores; a server it starts as a process",
    },
    Dependencies {
        manifest: "crates/cluster/Cargo.toml",
        only: Some(&["rustix", "tempfile", "tokio", "tokio-postgres"]),
        not: &[],
        why: "what starts a PostgreSQL knows nothing of what is tested with it",
    },
];

/// What a crate depends on is what its room may use. Dependencies of tests are free.
pub(super) fn dependencies(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for rule in &DEPENDENCIES {
        let Some(manifest) = sources.iter().find(|source| source.path == rule.manifest) else {
            continue;
        };
        let mut inside = false;
        for (number, line) in manifest.lines() {
            if line.starts_with('[') {
                inside = line.contains("dependencies") && !line.contains("dev-dependencies");
            }
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if !inside || name.is_empty() || name.starts_with(['#', '[']) {
                continue;
            }
            let known = rule.only.is_none_or(|only| only.contains(&name));
            if !known || rule.not.contains(&name) {
                faults.push(Fault::new(manifest, number, format!("`{name}`: {}", rule.why)));
            }
        }
    }
    faults
}

/// A member takes its lints and the versions of its dependencies from the workspace.
pub(super) fn members(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let member = |source: &&Source| source.path.ends_with("/Cargo.toml");
    for manifest in sources.iter().filter(member) {
        if !manifest.text.contains("[lints]\nworkspace = true\n") {
            faults.push(Fault::new(manifest, 0, "does not take the workspace's lints"));
        }
        let mut inside = false;
        for (number, line) in manifest.lines() {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]");
            } else if inside && line.contains('=') && !line.contains("workspace = true") {
                faults.push(Fault::new(manifest, number, "does not take the workspace's version"));
            }
        }
    }
    faults
}

/// A dependency that no file of its crate names is not needed.
pub(super) fn unused(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for manifest in sources {
        let Some(folder) = manifest.path.strip_suffix("Cargo.toml").filter(|f| !f.is_empty())
        else {
            continue;
        };
        let named = |library: &str| {
            let mut files = sources.iter().filter(|s| s.is_rust() && s.path.starts_with(folder));
            files.any(|file| file.text.lines().any(|line| has_word(line, library)))
        };
        let mut inside = false;
        for (number, line) in manifest.lines() {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]");
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let library = line.contains('=').then(|| name.replace('-', "_"));
            if let Some(library) = library.filter(|library| inside && !named(library)) {
                faults.push(Fault::new(manifest, number, format!("`{library}` is never named")));
            }
        }
    }
    faults
}

/// Words that may not stand in the code of some files.
struct Forbidden {
    /// The files: what their path begins with.
    within: &'static str,
    /// Those among them that may: what their path begins with.
    except: &'static [&'static str],
    words: &'static [&'static str],
    why: &'static str,
}

const FORBIDDEN: [Forbidden; 11] = [
    Forbidden {
        within: "crates/core/src/",
        except: &[],
        words: &[
            "std::fs",
            "std::io",
            "std::net",
            "std::env",
            "std::time",
            "std::thread",
            "std::sync::Mutex",
            "std::process",
            "SystemTime",
            "Instant",
            "async",
            "await",
            "println!",
            "eprintln!",
        ],
        why: "the core has no clock, disk, thread or environment",
    },
    Forbidden {
        within: "crates/core/src/",
        except: &[],
        words: &["f32", "f64"],
        why: "no float comes near money",
    },
    Forbidden {
        within: "crates/store/src/",
        except: &[],
        words: &["f32", "SystemTime", "getrandom", "tongjang_server"],
        why: "a store keeps what it is given: time and ids are settled at the edge",
    },
    Forbidden {
        within: "crates/store/src/",
        except: &["crates/store/src/postgres"],
        words: &["async", "await"],
        why: "the teller is a thread, and a disk is not waited for by an event loop",
    },
    Forbidden {
        within: "crates/store/src/journal",
        except: &[],
        words: &["postgres", "Postgres", "sql"],
        why: "the two stores never see each other",
    },
    Forbidden {
        within: "crates/store/src/postgres",
        except: &[],
        words: &["journal", "Journal"],
        why: "the two stores never see each other",
    },
    Forbidden {
        within: "crates/server/src/",
        except: &["crates/server/src/problem"],
        words: &REFUSING,
        why: "only `problem` knows which status a refusal has",
    },
    Forbidden {
        within: "crates/server/src/",
        except: &["crates/server/src/directory"],
        words: &["rusqlite"],
        why: "only `directory` speaks SQL to the embedded database",
    },
    Forbidden {
        within: "crates/server/src/directory",
        except: &[],
        words: &["Amount", "Balance", "Teller"],
        why: "the directory knows persons and their keys, and no money",
    },
    Forbidden {
        within: "crates/store/src/",
        except: &[
            "crates/store/src/disk",
            "crates/store/src/faulty",
            "crates/store/src/postgres/password.rs",
        ],
        words: &["std::fs", "rustix", "File::open"],
        why: "only `disk` calls the system, so that the disk of the tests can fail everywhere",
    },
    Forbidden {
        within: "crates/server/src/api",
        except: &[],
        words: &["f32", "f64", "journal", "decide", "apply"],
        why: "a handler asks the teller or a reader; it decides nothing and knows no store",
    },
];

/// The names of statuses of 400 and above in the `http` crate that a server may come upon.
const REFUSING: [&str; 20] = [
    "StatusCode::BAD_REQUEST",
    "StatusCode::UNAUTHORIZED",
    "StatusCode::FORBIDDEN",
    "StatusCode::NOT_FOUND",
    "StatusCode::METHOD_NOT_ALLOWED",
    "StatusCode::NOT_ACCEPTABLE",
    "StatusCode::REQUEST_TIMEOUT",
    "StatusCode::CONFLICT",
    "StatusCode::GONE",
    "StatusCode::LENGTH_REQUIRED",
    "StatusCode::PRECONDITION_FAILED",
    "StatusCode::PAYLOAD_TOO_LARGE",
    "StatusCode::UNSUPPORTED_MEDIA_TYPE",
    "StatusCode::UNPROCESSABLE_ENTITY",
    "StatusCode::PRECONDITION_REQUIRED",
    "StatusCode::TOO_MANY_REQUESTS",
    "StatusCode::INTERNAL_SERVER_ERROR",
    "StatusCode::NOT_IMPLEMENTED",
    "StatusCode::SERVICE_UNAVAILABLE",
    "StatusCode::GATEWAY_TIMEOUT",
];

/// What a room must not know does not stand in its code.
pub(super) fn forbidden_words(sources: &[Source]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for rule in &FORBIDDEN {
        let meant = |source: &&Source| {
            source.is_rust()
                && source.path.starts_with(rule.within)
                && !rule.except.iter().any(|except| source.path.starts_with(except))
        };
        for source in sources.iter().filter(meant) {
            for (number, line) in source.code() {
                for word in rule.words.iter().filter(|word| has_word(line, word)) {
                    faults.push(Fault::new(source, number, format!("`{word}`: {}", rule.why)));
                }
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_dependency_that_a_room_may_not_have_is_found() {
        let found = |path: &str, text: &str| dependencies(&[sample(path, text)]).len();
        let core = "crates/core/Cargo.toml";
        assert_eq!(found(core, "[dependencies]\nsha2.workspace = true\n"), 0);
        assert_eq!(found(core, "[dependencies]\nrand = \"1\"\n"), 1);
        assert_eq!(found(core, "[dev-dependencies]\nproptest.workspace = true\n"), 0);
        let store = "crates/store/Cargo.toml";
        assert_eq!(found(store, "[dependencies]\ntongjang-core.workspace = true\n"), 0);
        assert_eq!(found(store, "[dependencies]\ntongjang-server.workspace = true\n"), 1);
        assert_eq!(found(store, "[dependencies]\ntongjang-cluster.workspace = true\n"), 1);
        assert_eq!(found(store, "[dev-dependencies]\ntongjang-cluster.workspace = true\n"), 0);
        let cluster = "crates/cluster/Cargo.toml";
        assert_eq!(found(cluster, "[dependencies]\ntongjang-store.workspace = true\n"), 1);
    }

    #[test]
    fn a_member_that_goes_its_own_way_is_found() {
        let found = |text: &str| members(&[sample("crates/a/Cargo.toml", text)]).len();
        let lints = "[lints]\nworkspace = true\n";
        assert_eq!(found(&format!("[dev-dependencies]\na.workspace = true\n\n{lints}")), 0);
        assert_eq!(found(&format!("[dependencies]\na = \"1\"\n\n{lints}")), 1);
        assert_eq!(found("[dependencies]\na.workspace = true\n"), 1);
    }

    #[test]
    fn a_dependency_that_is_never_named_is_found() {
        let tree = |code: &str| {
            let manifest =
                "[dependencies]\nhyper-util.workspace = true\n\n[lints]\nworkspace = true\n";
            let manifest = sample("crates/a/Cargo.toml", manifest);
            unused(&[manifest, sample("crates/a/src/lib.rs", code)]).len()
        };
        assert_eq!(tree("use hyper_util::rt::TokioIo;\n"), 0);
        assert_eq!(tree("use hyper::Request;\n"), 1);
    }

    #[test]
    fn a_word_that_a_room_may_not_know_is_found() {
        for (path, text) in [
            ("crates/core/src/a.rs", "use std::time::Duration;\n"),
            ("crates/core/src/a/b.rs", "async fn a() {}\n"),
            ("crates/core/src/a.rs", "let rate: f64 = 1.1;\n"),
            ("crates/store/src/teller.rs", "SystemTime::now()\n"),
            ("crates/store/src/journal/a.rs", "use crate::postgres::A;\n"),
            ("crates/store/src/postgres/a.rs", "use crate::journal::A;\n"),
            ("crates/server/src/api/a.rs", "StatusCode::CONFLICT.into_response()\n"),
            ("crates/server/src/auth.rs", "use rusqlite::Connection;\n"),
            ("crates/server/src/directory/a.rs", "fn a(amount: Amount) {}\n"),
            ("crates/store/src/journal/a.rs", "std::fs::read(path)\n"),
            ("crates/store/src/journal/a.rs", "async fn a() {}\n"),
            ("crates/store/src/postgres/a.rs", "std::fs::read(path)\n"),
        ] {
            assert_eq!(forbidden_words(&[sample(path, text)]).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn a_word_elsewhere_in_a_comment_or_in_a_test_is_none() {
        for (path, text) in [
            ("crates/server/src/clock.rs", "SystemTime::now()\n"),
            ("crates/server/src/problem.rs", "StatusCode::CONFLICT\n"),
            ("crates/server/src/problem/table.rs", "StatusCode::CONFLICT\n"),
            ("crates/core/src/a.rs", "// Nothing async here.\n"),
            ("crates/core/src/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
        ] {
            assert_eq!(forbidden_words(&[sample(path, text)]), [], "{path}: {text}");
        }
    }
}
