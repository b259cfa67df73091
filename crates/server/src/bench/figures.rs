//! Figures and how they are told: a clock to measure with, medians of rounds, and percentiles.

use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The time, to measure with.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since an instant.
pub(crate) trait Elapsed {
    fn seconds(&self) -> f64;
}

impl Elapsed for Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
    fn seconds(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// How long each of many things took, to three digits.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("three digits are possible"))
    }

    /// Takes in one that began at `start` and ends now.
    pub(crate) fn record(&mut self, start: Instant) {
        self.record_seconds(start.seconds());
    }

    pub(crate) fn record_seconds(&mut self, seconds: f64) {
        // Only a histogram of fixed size refuses a value, and this one grows.
        self.0.record((seconds * 1e9) as u64).expect("the histogram grows");
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.0.add(&more.0).expect("the histogram grows");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn latency(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            count: self.0.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            max_us: self.0.max() as f64 / 1e3,
        }
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    /// All percentiles, as a table has them: `12.3 / 20.1 / 44.0 / 81.5 / 102`.
    pub(crate) fn all(&self) -> String {
        let figures = [self.p50_us, self.p90_us, self.p99_us, self.p99_9_us, self.max_us];
        figures.map(short).join(" / ")
    }

    /// The median and the 99th percentile.
    pub(crate) fn brief(&self) -> String {
        [self.p50_us, self.p99_us].map(short).join(" / ")
    }
}

/// The middle of several figures; of an even number of them the upper one.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three digits or so: `0.042`, `1.25`, `18.4`, `1,234`.
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => grouped(figure),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(figure: f64) -> String {
    let digits = format!("{:.0}", figure.abs());
    let mut out = String::from(if figure < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && figure.is_finite() {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share, as `0.57`; `–` where there is nothing to compare with.
pub(crate) fn share(part: f64, whole: f64) -> String {
    let share = part / whole;
    if share.is_finite() { format!("{share:.2}") } else { "–".to_owned() }
}

/// A share for the document: null where there is nothing to compare with.
pub(crate) fn ratio(part: f64, whole: f64) -> Option<f64> {
    Some(part / whole).filter(|share| share.is_finite())
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_or_groups_of_three() {
        let told = [0.0424, 1.249, 18.44, 999.6, 1_234_567.0].map(short);
        assert_eq!(told, ["0.042", "1.25", "18.4", "1,000", "1,234,567"]);
        assert_eq!([grouped(-1234.0), grouped(12.0)], ["-1,234", "12"]);
        assert_eq!([share(1.0, 4.0), share(1.0, 0.0)], ["0.25", "–"]);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut times = Times::new();
        (1..=1000).for_each(|micros| times.record_seconds(f64::from(micros) / 1e6));
        let latency = times.latency();
        let close = |figure: f64, micros: f64| (figure / micros - 1.0).abs() < 0.002;
        assert!(close(latency.p50_us, 500.0) && close(latency.p99_us, 990.0), "{latency:?}");
        assert!(close(latency.p99_9_us, 999.0) && close(latency.max_us, 1000.0), "{latency:?}");
        assert_eq!(latency.count, 1000);
    }
}
