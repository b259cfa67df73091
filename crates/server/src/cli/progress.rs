//! How far a long command has come: a bar on a terminal, and elsewhere a line now and then.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::app::Clock;

/// How long a log that nobody looks at goes without a word, in microseconds.
const SILENCE: i64 = 10_000_000;

/// Between two looks at the clock.
const FEW: u64 = 1_024;

/// Tells standard error how far a command has come.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    clock: Clock,
    began: i64,
    told: i64,
    next: u64,
    what: &'static str,
}

impl Progress {
    /// Begins; `bytes` is the length of what is read, if it is known, and `what` what is counted.
    /// A bar is only `shown` where it spoils nothing else.
    pub(super) fn begin(bytes: Option<u64>, what: &'static str, shown: bool) -> Self {
        let clock = Clock::system();
        let began = clock.now().micros();
        let bar = (shown && std::io::stderr().is_terminal()).then(|| bar(bytes));
        Self { bar, clock, began, told: began, next: FEW, what }
    }

    /// So many are done, and so many bytes were read.
    pub(super) fn at(&mut self, count: u64, bytes: u64) {
        if count < self.next {
            return;
        }
        self.next = count + FEW;
        let now = self.clock.now().micros();
        if let Some(bar) = &self.bar {
            let micros = u128::from((now - self.began).max(1).unsigned_abs());
            let rate = u128::from(count) * 1_000_000 / micros;
            bar.set_position(bytes);
            bar.set_message(format!("{count} {}, {rate}/s", self.what));
        } else if now - self.told >= SILENCE {
            self.told = now;
            eprintln!("tongjang: {count} {} so far", self.what);
        }
    }

    /// Writes a line without spoiling the bar.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{text}")),
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bar away, and tells how long all took, in milliseconds.
    pub(super) fn end(self) -> u64 {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let micros = self.clock.now().micros() - self.began;
        u64::try_from(micros / 1_000).unwrap_or_default()
    }
}

fn bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{wide_bar} {percent:>3}% {bytes_per_sec}, {eta} left · {msg}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {elapsed} · {msg}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    bar.set_style(ProgressStyle::with_template(template).expect("the template is sound"));
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}
