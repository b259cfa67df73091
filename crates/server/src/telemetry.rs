//! What the server tells about itself: counters for Prometheus, and the log.
//!
//! The hot path only adds to handles that were made before; names and labels are put together
//! once.

mod log;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::RwLock;
use tongjang_core::{Event, Rejection};
use tongjang_store::{Answer, Brief, Made, StoreError};

pub use log::{LogFormat, start_log};

use crate::database::Database;
use crate::problem::Code;

/// From half a millisecond, which a durable booking takes at best, to the request's time limit.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const META: Metadata<'static> = Metadata::new("tongjang", Level::INFO, None);

/// The counters of one server.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    booked: Counter,
    opened: Counter,
    replayed: Counter,
    refused: Vec<Counter>,
    waiting: Gauge,
    batches: Counter,
    memory: Gauge,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Counters that stand at zero.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        describe(&recorder);
        let build = [
            Label::new("version", env!("CARGO_PKG_VERSION")),
            Label::new("commit", env!("TONGJANG_COMMIT")),
        ];
        gauge(&recorder, "tongjang_build_info", build.to_vec()).set(1.0);
        Self {
            booked: counter(&recorder, "tongjang_bookings_total", vec![]),
            opened: counter(&recorder, "tongjang_accounts_opened_total", vec![]),
            replayed: counter(&recorder, "tongjang_replays_total", vec![]),
            refused: Code::ALL
                .iter()
                .map(|code| {
                    let labels = vec![Label::new("code", code.as_str())];
                    counter(&recorder, "tongjang_rejections_total", labels)
                })
                .collect(),
            waiting: gauge(&recorder, "tongjang_teller_queue", vec![]),
            batches: counter(&recorder, "tongjang_teller_batches_total", vec![]),
            memory: gauge(&recorder, "process_resident_memory_bytes", vec![]),
            handle: recorder.handle(),
            recorder,
        }
    }

    /// Counts what came of a request to the ledger.
    pub(crate) fn answered(&self, answer: &Answer) {
        match &answer.outcome {
            _ if answer.replayed => self.replayed.increment(1),
            Ok(Event::Booked(_)) => self.booked.increment(1),
            Ok(Event::Opened(_)) => self.opened.increment(1),
            Ok(Event::StatusChanged(_) | Event::Refused(_)) => {}
            Err(rejection) => self.refused(rejection),
        }
    }

    /// Counts what came of the requests of a bundle: most of them are bookings.
    pub(crate) fn answered_all(&self, answers: &[Result<Brief, StoreError>]) {
        let mut booked = 0;
        for Brief { outcome, replayed } in answers.iter().flatten() {
            match outcome {
                _ if *replayed => self.replayed.increment(1),
                Ok(Made::Transaction(_)) => booked += 1,
                Ok(Made::Account(_)) => self.opened.increment(1),
                Err(rejection) => self.refused(rejection),
            }
        }
        self.booked.increment(booked);
    }

    fn refused(&self, rejection: &Rejection) {
        let code = Code::ALL.iter().position(|code| code.as_str() == rejection.code());
        if let Some(counter) = code.and_then(|code| self.refused.get(code)) {
            counter.increment(1);
        }
    }

    /// The handles for the requests of one route.
    pub(crate) fn route(&self, route: &str) -> RouteCounters {
        let labels = vec![Label::new("route", route.to_owned())];
        let key = Key::from_parts("tongjang_http_request_seconds", labels);
        RouteCounters {
            route: route.to_owned(),
            seconds: self.recorder.register_histogram(&key, &META),
            requests: RwLock::default(),
        }
    }

    /// Counts a request.
    pub(crate) fn request(
        &self,
        route: &RouteCounters,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        route.seconds.record(took.as_secs_f64());
        let method = known(method);
        if let Some(counter) = route.requests.read().get(&(method, status)) {
            counter.increment(1);
            return;
        }
        let labels = vec![
            Label::new("route", route.route.clone()),
            Label::new("method", method),
            Label::new("status", status.as_u16().to_string()),
        ];
        let counter = counter(&self.recorder, "tongjang_http_requests_total", labels);
        counter.increment(1);
        route.requests.write().insert((method, status), counter);
    }

    /// Everything counted, in the text format of Prometheus.
    pub(crate) fn render(&self, ledger: &crate::ledger::Ledger) -> String {
        self.waiting.set(f64::from(u32::try_from(ledger.waiting()).unwrap_or(u32::MAX)));
        self.batches.absolute(ledger.batches());
        if let Some(database) = ledger.database() {
            self.database(database);
        }
        if let Some(kib) = resident_kib() {
            self.memory.set(f64::from(kib) * 1024.0);
        }
        self.handle.render()
    }

    /// What is told of a database, which a ledger in a folder does not have.
    fn database(&self, database: &Database) {
        let counts = database.postgres.counters().counts();
        for (name, count) in [
            ("tongjang_database_batches_total", counts.batches),
            ("tongjang_database_events_total", counts.events),
            ("tongjang_database_again_total", counts.again),
            ("tongjang_database_away_total", counts.away),
            ("tongjang_database_refused_total", counts.refused),
            ("tongjang_database_broken_commits_total", counts.broken),
            ("tongjang_database_unknown_outcomes_total", counts.unknown),
        ] {
            counter(&self.recorder, name, vec![]).absolute(count);
        }
        let pools = [
            ("queries", database.postgres.pool_status()),
            ("directory", database.directory_pool().status()),
        ];
        for (pool, status) in pools {
            let filled = [
                ("tongjang_database_connections_max", status.max_size),
                ("tongjang_database_connections_open", status.size),
                ("tongjang_database_connections_free", status.available),
                ("tongjang_database_connections_waited_for", status.waiting),
            ];
            for (name, count) in filled {
                let labels = vec![Label::new("pool", pool)];
                let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                gauge(&self.recorder, name, labels).set(count);
            }
        }
    }

    /// Folds what was recorded into the histograms; call it every few seconds, or they grow.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry")
    }
}

/// The handles for the requests of one route.
pub(crate) struct RouteCounters {
    pub(crate) route: String,
    seconds: Histogram,
    requests: RwLock<HashMap<(&'static str, StatusCode), Counter>>,
}

/// Methods that are counted by their name; a caller may make up others without end.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn counter(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Counter {
    recorder.register_counter(&Key::from_parts(name, labels), &META)
}

fn gauge(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Gauge {
    recorder.register_gauge(&Key::from_parts(name, labels), &META)
}

/// Only where the ledger is in a database.
const DATABASE_COUNTERS: [(&str, &str); 7] = [
    ("tongjang_database_batches_total", "Transactions of the database that were to be committed."),
    ("tongjang_database_events_total", "Events in them: by batches, how large one is."),
    ("tongjang_database_again_total", "Batches that others came in between of, decided again."),
    ("tongjang_database_away_total", "Batches that did not reach the database."),
    ("tongjang_database_refused_total", "Batches that the database refused."),
    ("tongjang_database_broken_commits_total", "Connections that broke during a commit."),
    ("tongjang_database_unknown_outcomes_total", "Commits of which nothing could be found out."),
];
const DATABASE_GAUGES: [(&str, &str); 4] = [
    ("tongjang_database_connections_max", "How many connections a pool may have."),
    ("tongjang_database_connections_open", "How many of them are open."),
    ("tongjang_database_connections_free", "How many of those are free."),
    ("tongjang_database_connections_waited_for", "How many wait for one."),
];

fn describe(recorder: &PrometheusRecorder) {
    for (name, text) in [
        ("tongjang_http_requests_total", "Requests answered."),
        ("tongjang_bookings_total", "Transactions made durable."),
        ("tongjang_accounts_opened_total", "Accounts opened."),
        ("tongjang_replays_total", "Requests answered from their idempotency key."),
        ("tongjang_rejections_total", "Requests that the rules refused, by problem code."),
        ("tongjang_teller_batches_total", "Batches that the teller took in."),
    ] {
        recorder.describe_counter(name.into(), None, text.into());
    }
    for (name, text) in DATABASE_COUNTERS {
        recorder.describe_counter(name.into(), None, text.into());
    }
    for (name, text) in DATABASE_GAUGES {
        recorder.describe_gauge(name.into(), None, text.into());
    }
    for (name, text) in [
        ("tongjang_build_info", "Always 1; the labels say what runs."),
        ("tongjang_teller_queue", "Requests that wait for the teller."),
        ("process_resident_memory_bytes", "Memory that the process has in RAM."),
    ] {
        recorder.describe_gauge(name.into(), None, text.into());
    }
    let text = "Time from a request's header to the header of its answer.";
    recorder.describe_histogram("tongjang_http_request_seconds".into(), None, text.into());
}

/// What Linux says of this process; nothing elsewhere.
fn resident_kib() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
