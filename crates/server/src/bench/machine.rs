//! The machine that the figures are of, and the counters that only it can tell.
//!
//! Most of it stands in `/proc`. Where a system has none, the figure is left out, never guessed.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// What a figure depends on besides the code.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: Option<String>,
    pub(crate) cores: usize,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) kernel: Option<String>,
    /// Of the directory that is measured in.
    pub(crate) file_system: Option<String>,
    pub(crate) directory: String,
    /// Over 1, 5 and 15 minutes, when the measurement began.
    pub(crate) load_average: Option<[f64; 3]>,
}

impl Machine {
    /// This machine, as it is now.
    pub(crate) fn this(dir: &Path) -> Self {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name\t: "));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<f64> =
            load.split_whitespace().take(3).filter_map(|figure| figure.parse().ok()).collect();
        Self {
            cpu: cpu.map(str::to_owned),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field("/proc/meminfo", "MemTotal:").map(|kib| kib / 1024),
            kernel: kernel.map(|release| format!("Linux {}", release.trim())),
            file_system: file_system(dir),
            directory: dir.display().to_string(),
            load_average: load.try_into().ok(),
        }
    }

    /// A sentence for people.
    pub(crate) fn told(&self) -> String {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let memory = self.memory_mib.map_or("?".to_owned(), |mib| mib.to_string());
        let load = self
            .load_average
            .map_or("?".to_owned(), |load| load.map(|figure| format!("{figure:.2}")).join(" "));
        format!(
            "{} cores of {}, {memory} MiB, {}, {} in {}, load {load}",
            self.cores,
            or(&self.cpu),
            or(&self.kernel),
            or(&self.file_system),
            self.directory,
        )
    }

    /// Whether the directory is memory, where a sync costs nothing.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.file_system.as_deref(), Some("tmpfs" | "ramfs"))
    }
}

/// The type of the file system that `dir` is on.
fn file_system(dir: &Path) -> Option<String> {
    let dir = fs::canonicalize(dir).ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounted(&mounts, &dir)
}

/// The mount point is the fifth field, and the type the first after a hyphen: proc(5).
fn mounted(mounts: &str, dir: &Path) -> Option<String> {
    let of = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.replace("\\040", " ");
        let kind = right.split(' ').next()?.to_owned();
        dir.starts_with(&point).then_some((point.len(), kind))
    };
    // Of several mounts on one point the last one is seen.
    mounts.lines().filter_map(of).max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// The figure after `name` in a file of /proc.
pub(crate) fn field(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// How much memory a process holds, and held at most.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) peak_mib: Option<u64>,
    pub(crate) now_mib: Option<u64>,
}

impl Memory {
    /// Of the process `pid`, or of this one.
    pub(crate) fn of(pid: Option<u32>) -> Self {
        let file = format!("{}/status", process(pid));
        let mib = |name| field(&file, name).map(|kib| kib / 1024);
        Self { peak_mib: mib("VmHWM:"), now_mib: mib("VmRSS:") }
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map_or("/proc/self".to_owned(), |pid| format!("/proc/{pid}"))
}

/// Seconds of processor time that a process used, of its own and of the kernel for it.
pub(crate) fn processor_seconds(pid: Option<u32>) -> Option<f64> {
    let text = fs::read_to_string(format!("{}/stat", process(pid))).ok()?;
    // The name in parentheses may hold blanks. After it, fields 12 and 13 are ticks of 10 ms.
    let (_, rest) = text.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map_while(|field| field.parse::<u64>().ok());
    Some((ticks.next()? + ticks.next()?) as f64 / 100.0)
}

/// Seconds of processor time that the calling thread used, to the nanosecond: the first field of
/// Documentation/scheduler/sched-stats.rst of Linux.
pub(crate) fn own_processor_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse::<f64>().ok().map(|nanos| nanos / 1e9)
}

/// What was written and read so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Io {
    /// By this process, to any disk.
    pub(crate) process_written: Option<u64>,
    pub(crate) process_read: Option<u64>,
    /// By anybody, to the device that the directory is on.
    pub(crate) device_written: Option<u64>,
}

impl Io {
    pub(crate) fn so_far(dir: &Path) -> Self {
        Self {
            process_written: field("/proc/self/io", "write_bytes:"),
            process_read: field("/proc/self/io", "read_bytes:"),
            device_written: device_written(dir),
        }
    }

    /// What was written between `earlier` and this.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let less = |now: Option<u64>, then: Option<u64>| Some(now?.saturating_sub(then?));
        Self {
            process_written: less(self.process_written, earlier.process_written),
            process_read: less(self.process_read, earlier.process_read),
            device_written: less(self.device_written, earlier.device_written),
        }
    }

    pub(crate) fn plus(&self, more: &Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        Self {
            process_written: sum(self.process_written, more.process_written),
            process_read: sum(self.process_read, more.process_read),
            device_written: sum(self.device_written, more.device_written),
        }
    }

    pub(crate) fn none() -> Self {
        Self { process_written: Some(0), process_read: Some(0), device_written: Some(0) }
    }
}

#[cfg(not(target_os = "linux"))]
fn device_written(_: &Path) -> Option<u64> {
    None
}

/// The bytes that a block device took, if the directory's one can be found.
#[cfg(target_os = "linux")]
fn device_written(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;

    let device = fs::metadata(dir).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    sectors_written(&fs::read_to_string("/proc/diskstats").ok()?, u64::from(major), minor.into())
        .map(|sectors| sectors * 512)
}

/// The tenth field: Documentation/admin-guide/iostats.rst of Linux.
#[cfg(any(target_os = "linux", test))]
fn sectors_written(stats: &str, major: u64, minor: u64) -> Option<u64> {
    stats.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let at = |place: usize| fields.get(place)?.parse::<u64>().ok();
        (at(0)? == major && at(1)? == minor).then(|| at(9))?
    })
}

/// What the files under `dir` are long, and what they take on the disk, in bytes.
pub(crate) fn size(dir: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    let (mut length, mut taken) = (0, 0);
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // A snapshot may have been replaced meanwhile.
        let Ok(data) = entry.metadata() else { continue };
        let (more, blocks) =
            if data.is_dir() { size(&entry.path())? } else { (data.len(), data.blocks() * 512) };
        length += more;
        taken += blocks;
    }
    Ok((length, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_that_of_the_nearest_mount() {
        let mounts = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                      30 22 0:26 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw\n\
                      31 22 0:27 / /my\\040disk rw - xfs /dev/vdb rw\n";
        let kind = |dir: &str| mounted(mounts, Path::new(dir));
        assert_eq!(kind("/tmp/a").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/tmpfile").as_deref(), Some("ext4"));
        assert_eq!(kind("/my disk/b").as_deref(), Some("xfs"));
    }

    #[test]
    fn a_device_is_told_by_its_numbers() {
        let stats = " 254 0 vda 9 1 2 3 4 5 600 7 0 8 9\n 254 1 vda1 9 1 2 3 4 5 700 7 0 8 9\n";
        assert_eq!(sectors_written(stats, 254, 1), Some(700));
        assert_eq!(sectors_written(stats, 8, 0), None);
    }

    #[test]
    fn this_process_holds_memory_and_used_its_processor() {
        let memory = Memory::of(None);
        if let (Some(peak), Some(now)) = (memory.peak_mib, memory.now_mib) {
            assert!(now > 0 && peak >= now, "{memory:?}");
            assert!(processor_seconds(None).is_some_and(|seconds| seconds >= 0.0));
        }
        if let Some(before) = own_processor_seconds() {
            while own_processor_seconds() == Some(before) {}
        }
    }
}
