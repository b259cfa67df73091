//! What a measurement hands out: a table for people, and a document for machines.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::explained::Explained;
use super::limits::RawDisk;
use super::machine::Machine;
use crate::app::Clock;

/// What the options of all measurements have in common.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Where ledgers are made for the measurement and removed after it; on the disk that you want
    /// to measure. The system's folder for temporary files if not given
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How many rounds there are after one that warms up; rates are their medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Common {
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }
}

/// Where the figures go.
#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// Write one JSON document with all figures to FILE; to standard output without one, and the
    /// tables to standard error
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,
}

impl Output {
    fn is_standard(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }
}

/// A measurement on its way to be told.
pub(crate) struct Report {
    name: &'static str,
    machine: Machine,
    began_at: String,
    settings: Value,
    limits: Map<String, Value>,
    results: Vec<Value>,
    summary: Value,
    text: String,
}

impl Report {
    /// Begins the report of `bench NAME` and says on what machine and under what load.
    ///
    /// # Errors
    /// If `dir` cannot be made.
    pub(crate) fn begin(name: &'static str, dir: &Path, settings: Value) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| {
            format!("cannot make {}; name another folder with --dir", dir.display())
        })?;
        let machine = Machine::this(dir);
        if cfg!(debug_assertions) {
            eprintln!("This is a debug build, whose figures say little: build with --release.");
        }
        if machine.is_memory() {
            eprintln!(
                "{} is memory ({}), where a sync is free: name a folder on a disk with --dir.",
                dir.display(),
                machine.file_system.as_deref().unwrap_or_default()
            );
        }
        let text = format!("{}\ntongjang {}\n", machine.told(), crate::cli::VERSION);
        let now = jiff::Timestamp::from_microsecond(Clock::system().now().micros())?;
        let began_at = format!("{now:.0}");
        let (limits, results) = (Map::new(), Vec::new());
        Ok(Self { name, machine, began_at, settings, limits, results, summary: Value::Null, text })
    }

    /// A limit of this machine that the results are held to.
    pub(crate) fn limit(&mut self, name: &str, figures: impl Serialize) {
        let figures = serde_json::to_value(figures).expect("figures are plain JSON");
        self.limits.insert(name.to_owned(), figures);
    }

    /// The limits of the disk, in words too.
    pub(crate) fn disk(&mut self, raw: &RawDisk) {
        self.limit("disk", raw.limits());
        self.limit("disk_each_way", raw.each_way());
        self.say(&raw.limits().told());
    }

    pub(crate) fn result(&mut self, figures: impl Serialize) {
        self.results.push(serde_json::to_value(figures).expect("figures are plain JSON"));
    }

    /// What holds for all results together.
    pub(crate) fn summary(&mut self, figures: Value) {
        self.summary = figures;
    }

    /// A line for people.
    pub(crate) fn say(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A table for people, with what its columns are.
    pub(crate) fn table(&mut self, table: &Explained) {
        self.text.push('\n');
        self.text.push_str(&table.to_string());
    }

    fn document(&self) -> Value {
        json!({
            "bench": self.name,
            "tongjang": {
                "version": env!("CARGO_PKG_VERSION"),
                "commit": env!("TONGJANG_COMMIT"),
                "debug": cfg!(debug_assertions),
            },
            "machine": self.machine,
            "began_at": self.began_at,
            "settings": self.settings,
            "limits": self.limits,
            "results": self.results,
            "summary": self.summary,
        })
    }

    /// Hands all of it out.
    ///
    /// # Errors
    /// If the document cannot be written where `output` says.
    pub(crate) fn end(self, output: &Output) -> anyhow::Result<()> {
        let document = serde_json::to_string_pretty(&self.document())? + "\n";
        if output.is_standard() {
            eprint!("{}", self.text);
            return crate::cli::print(&document).map(drop);
        }
        crate::cli::print(&self.text)?;
        if let Some(path) = &output.json {
            std::fs::write(path, document)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_tells_the_machine_the_limits_and_the_results() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::begin("engine", dir.path(), json!({"accounts": 3})).unwrap();
        report.limit("rules", json!({"per_second": 5}));
        report.result(json!({"batch": 1}));
        let path = dir.path().join("figures.json");
        report.end(&Output { json: Some(path.clone()) }).unwrap();
        let document: Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(document["bench"], "engine");
        assert_eq!(document["settings"]["accounts"], 3);
        assert_eq!(document["limits"]["rules"]["per_second"], 5);
        assert_eq!(document["results"][0]["batch"], 1);
        assert!(document["machine"]["cores"].as_u64() > Some(0));
    }
}
