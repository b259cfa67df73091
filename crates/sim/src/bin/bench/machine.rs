//! The machine that the figures are of, and the few things that only it can tell.

use std::fs;
use std::path::Path;
use std::time::Instant;

/// The time, to measure with.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Prints what the machine is and how busy it is.
pub(crate) fn describe(dir: &Path) -> anyhow::Result<()> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("?");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = field("/proc/meminfo", "MemTotal:").unwrap_or(0) / 1024;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "machine: {count} × {model}, {memory} MiB, Linux {}, load {}, in {}",
        kernel.trim(),
        load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        dir.display()
    );
    Ok(())
}

/// The figure after `name` in a file of /proc.
pub(crate) fn field(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The most memory that this process ever held, in MiB.
pub(crate) fn peak_mib() -> u64 {
    field("/proc/self/status", "VmHWM:").unwrap_or(0) / 1024
}

/// The middle of several figures.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// 1234567 as `1,234,567`.
pub(crate) fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
