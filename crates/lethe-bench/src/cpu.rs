//! What processes used, from `/proc`.

use std::fs;
use std::time::Duration;

use crate::error::BenchError;

/// Linux counts in hundredths of a second on every platform that we run on.
const TICK: Duration = Duration::from_millis(10);

/// Processes that ran or waited to, on average of the last minute; not a number where unknown.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|it| it.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// A process by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pid(pub(crate) u32);

impl Pid {
    /// This process.
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    /// User and system time so far, all threads, without children.
    pub(crate) fn cpu(self) -> Result<Duration, BenchError> {
        let stat = self.read("stat")?;
        cpu_of_stat(&stat).ok_or_else(|| BenchError::Server(format!("/proc stat: {stat}")))
    }

    /// How often the threads that it has now went to sleep so far: voluntary context switches.
    pub(crate) fn sleeps(self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0));
        let status = threads.into_iter().flatten().filter_map(|thread| {
            let path = thread.ok()?.path().join("status");
            // A thread may have ended meanwhile.
            sleeps_of_status(&fs::read_to_string(path).ok()?)
        });
        status.sum()
    }

    /// Most memory ever resident, in bytes.
    pub(crate) fn peak_memory(self) -> Result<u64, BenchError> {
        let status = self.read("status")?;
        peak_of_status(&status).ok_or_else(|| BenchError::Server("/proc status: no VmHWM".into()))
    }

    /// Begins to count [`Self::peak_memory`] anew; without effect where we may not.
    pub(crate) fn reset_peak_memory(self) {
        // The peak of its whole life is the worse figure, but a true one.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.0), "5");
    }

    /// Bytes that it had written to disks so far; none where we may not look.
    pub(crate) fn written(self) -> Option<u64> {
        written_of_io(&self.read("io").ok()?)
    }

    /// Its children now.
    pub(crate) fn children(self) -> Vec<Self> {
        let children = self.read(&format!("task/{}/children", self.0));
        let numbers = children.unwrap_or_default();
        numbers
            .split_whitespace()
            .filter_map(|n| n.parse().ok())
            .map(Self)
            .collect()
    }

    fn read(self, file: &str) -> Result<String, BenchError> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).map_err(BenchError::io(path))
    }
}

/// Fields 14 and 15; the name before them may hold blanks and brackets.
fn cpu_of_stat(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn peak_of_status(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn sleeps_of_status(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

fn written_of_io(io: &str) -> Option<u64> {
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes:"))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14";
        assert_eq!(cpu_of_stat(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of_stat("7 (a) S 1"), None);
    }

    #[test]
    fn written_bytes_are_not_mistaken_for_written_characters() {
        let io = "wchar: 7\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n";
        assert_eq!(written_of_io(io), Some(4_096));
        assert!(Pid::this().written().is_some());
    }

    #[test]
    fn to_be_interrupted_is_not_to_sleep() {
        let status = "nonvoluntary_ctxt_switches:\t9\nvoluntary_ctxt_switches:\t4\n";
        assert_eq!(sleeps_of_status(status), Some(4));
        assert!(Pid::this().sleeps() > 0);
    }

    #[test]
    fn peak_memory_is_in_bytes() {
        assert_eq!(peak_of_status("Name:\ta\nVmHWM:\t   12 kB\n"), Some(12_288));
        assert!(Pid::this().peak_memory().unwrap() > 0);
    }
}
