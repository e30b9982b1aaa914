//! What a process used, and what machine this is, as the kernel tells.

use std::path::PathBuf;

use serde::Serialize;

use crate::error::BenchError;

/// What a process used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// User and system time of all its threads, in steps of the kernel's tick (10 ms).
    pub(crate) cpu_seconds: f64,
    /// Largest resident memory.
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Of a process that runs.
    pub(crate) fn of(process: u32) -> Result<Self, BenchError> {
        let read = |name: &str| {
            let path = PathBuf::from(format!("/proc/{process}/{name}"));
            std::fs::read_to_string(&path).map_err(BenchError::file("read", &path))
        };
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let ticks = cpu_ticks(&read("stat")?).ok_or_else(|| unreadable("stat"))?;
        let peak_kib = peak_kib(&read("status")?).ok_or_else(|| unreadable("status"))?;
        Ok(Self { cpu_seconds: ticks as f64 / ticks_per_second, peak_bytes: peak_kib * 1024 })
    }
}

fn unreadable(what: &str) -> BenchError {
    BenchError::act("understand what the kernel says of a process")(format!(
        "/proc/PID/{what} has another form"
    ))
}

/// utime and stime: fields 14 and 15, counted behind the name, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The machine that the figures are of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    /// Load average of the last minute when the bench began: above 0.3 or so, others share the cores.
    pub(crate) load_before: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value_of = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = value_of(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split(' ').next().and_then(|kib| kib.parse::<u64>().ok()));
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: value_of(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_bytes: kib.unwrap_or(0) * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_brackets_and_spaces() {
        let stat = "42 (a) b) c) S 1 42 42 0 -1 4194560 900 0 0 0 123 45 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
    }

    #[test]
    fn peak_memory_is_the_high_water_mark_not_the_present_size() {
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t  5120 kB\nVmRSS:\t  100 kB\n"), Some(5120));
    }

    #[test]
    fn this_process_has_used_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_bytes > 100_000, "{usage:?}");
    }
}
