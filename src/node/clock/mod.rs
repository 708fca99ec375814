//! The one place that reads clocks.

mod mark;
#[cfg(debug_assertions)]
mod shifted;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lethe_core::ports::{BootId, Clock};
use lethe_core::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

pub use mark::ClockMark;

/// The machine's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // Before 1970 it is the epoch: the high-water mark says better.
        let millis = since.map_or(0, |since| since.as_millis());
        #[cfg(debug_assertions)]
        let millis = shifted::wall(millis);
        Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    fn since_boot(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn boot_id(&self) -> Option<BootId> {
        static ID: OnceLock<Option<BootId>> = OnceLock::new();
        *ID.get_or_init(|| {
            #[cfg(debug_assertions)]
            if let Some(id) = shifted::boot_id() {
                return Some(id);
            }
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            uuid(text.trim())
        })
    }
}

/// The 16 bytes of a UUID as text.
fn uuid(text: &str) -> Option<BootId> {
    let id: lethe_core::receipt::ErasureId = text.parse().ok()?;
    Some(*id.as_bytes())
}

/// The wall clock as a TLS handshake reads it. Certificates and revocation lists are judged by it alone, on
/// open connections as in the handshake: by the steady time, which may lead for long, whoever renews
/// them often would be locked out.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandshakeClock;

impl Clock for HandshakeClock {
    fn now(&self) -> Timestamp {
        let seconds = rustls::pki_types::UnixTime::now().as_secs();
        Timestamp::from_millis(seconds.saturating_mul(1_000))
    }

    fn since_boot(&self) -> Duration {
        SystemClock.since_boot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_kernel() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
            Duration::from_secs_f64(seconds)
        };
        let before = uptime();
        let now = SystemClock.since_boot();
        // /proc/uptime is cut to hundredths.
        let after = uptime() + Duration::from_millis(10);
        assert!(
            before <= now && now <= after,
            "{before:?} {now:?} {after:?}"
        );
    }

    #[test]
    fn the_boot_has_a_name() {
        let named = std::path::Path::new("/proc/sys/kernel/random/boot_id").exists();
        assert_eq!(SystemClock.boot_id().is_some(), named);
        assert_eq!(SystemClock.boot_id(), SystemClock.boot_id());
    }

    #[test]
    fn counts_milliseconds() {
        // A new file bears the kernel's time of day, up to one tick behind.
        let file = tempfile::tempfile().unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = u128::from(SystemClock.now().as_millis());
        assert!(now.abs_diff(modified.as_millis()) < 60_000, "{now}");
    }
}
