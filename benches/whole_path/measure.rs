//! Measure: what a process took, by the kernel's account of it.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::server::Counted;

/// What one part took.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    pub records: u64,
    /// Bytes of all bodies, where bodies were made.
    pub bytes: u64,
    pub seconds: f64,
    /// Processor time of this process, user and system.
    pub cpu: f64,
    /// The most that was resident.
    pub peak_kib: u64,
    /// What was resident before anything was measured.
    pub base_kib: u64,
    /// Bytes on disk of the ledger, at the most and at the end.
    pub ledger_peak: u64,
    pub ledger_end: u64,
    /// Processor time by threads' names.
    pub threads: Vec<(String, f64)>,
    /// Seconds until the first body arrived, and until the last had.
    pub first: f64,
    pub last: f64,
    /// When the measuring began, in seconds since 1970.
    pub began: f64,
    /// What else is worth telling.
    pub note: String,
    /// What the server saw.
    pub server: Counted,
}

/// Measures from its start.
pub struct Meter {
    began: Instant,
    began_at: f64,
    cpu: f64,
    base_kib: u64,
}

impl Meter {
    pub fn start() -> Meter {
        Meter {
            began: Instant::now(),
            began_at: now(),
            cpu: cpu_of("/proc/self/stat"),
            base_kib: status("VmRSS"),
        }
    }

    pub fn stop(&self, records: u64) -> Figures {
        Figures {
            records,
            seconds: self.began.elapsed().as_secs_f64(),
            cpu: cpu_of("/proc/self/stat") - self.cpu,
            peak_kib: status("VmHWM"),
            base_kib: self.base_kib,
            began: self.began_at,
            ..Figures::default()
        }
    }
}

/// Seconds since 1970.
pub fn now() -> f64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |since| since.as_secs_f64())
}

/// Processor time of the living threads, summed by name.
pub fn threads() -> Vec<(String, f64)> {
    let mut sums = std::collections::BTreeMap::<String, f64>::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let cpu = cpu_of(&task.path().join("stat").to_string_lossy());
        *sums.entry(name.trim().to_owned()).or_default() += cpu;
    }
    sums.into_iter().collect()
}

/// User and system time: fields 14 and 15 of `stat`, in hundredths of a second (proc_pid_stat(5)).
fn cpu_of(stat: &str) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// A line of `/proc/self/status` that counts kB (proc_pid_status(5)).
fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
