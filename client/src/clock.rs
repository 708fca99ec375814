//! Clocks of the client.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The clock by which leases end.
pub trait Clock: Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// The wall clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// No answer has come yet.
const UNKNOWN: i64 = i64::MIN;

/// The service's time: as its answers show it, continued by the machine's clock since boot. So a wall
/// clock that is wrong or is set makes no lease longer. It is never behind the service's time, and
/// ahead of it by less than the fastest call took. Before the first answer, when there are no leases,
/// it is the wall clock.
#[derive(Debug)]
pub struct ServiceClock {
    /// The service's time minus the time since boot, in milliseconds; at least the true one.
    offset: AtomicI64,
}

impl Default for ServiceClock {
    fn default() -> Self {
        Self {
            offset: AtomicI64::new(UNKNOWN),
        }
    }
}

impl ServiceClock {
    /// An answer was made at a moment between `sent` and now, both since boot, when the service's
    /// clock showed from `earliest` to `latest`, in milliseconds since the Unix epoch.
    pub(crate) fn learn(&self, sent: Duration, (earliest, latest): (i64, i64)) {
        self.narrow(sent, since_boot(), (earliest, latest));
    }

    fn narrow(&self, sent: Duration, received: Duration, (earliest, latest): (i64, i64)) {
        let least = earliest.saturating_sub(millis(received));
        let most = latest.saturating_sub(millis(sent));
        let narrowed = |offset: i64| match offset {
            UNKNOWN => Some(most),
            // The service's clock went forward.
            offset if offset < least => Some(most),
            offset => Some(offset.min(most)),
        };
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        // It always gives a value.
        let _ = self.offset.fetch_update(set, fetch, narrowed);
    }
}

impl Clock for ServiceClock {
    fn now(&self) -> Timestamp {
        let offset = self.offset.load(Ordering::Relaxed);
        if offset == UNKNOWN {
            return SystemClock.now();
        }
        let now = offset.saturating_add(millis(since_boot()));
        // Out of range: nothing is usable any more.
        Timestamp::from_millisecond(now).unwrap_or(Timestamp::MAX)
    }
}

/// Goes on while the machine sleeps, and is never set.
pub(crate) fn since_boot() -> Duration {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer whose request left and that came back so many seconds after boot.
    fn answer(clock: &ServiceClock, sent: u64, received: u64, service: i64) -> i64 {
        let second = Duration::from_secs;
        clock.narrow(second(sent), second(received), (service, service));
        clock.offset.load(Ordering::Relaxed)
    }

    #[test]
    fn it_is_never_behind_and_gets_better() {
        let clock = ServiceClock::default();
        // The true offset is 5 s in all of these: made 2 s, 1 s and 4 s after the request left.
        assert_eq!(answer(&clock, 10, 20, 17_000), 7_000);
        assert_eq!(answer(&clock, 30, 40, 36_000), 6_000);
        assert_eq!(
            answer(&clock, 50, 60, 59_000),
            6_000,
            "a slow call teaches nothing"
        );
    }

    #[test]
    fn it_follows_a_service_whose_clock_goes_forward() {
        let clock = ServiceClock::default();
        assert_eq!(answer(&clock, 10, 11, 15_000), 5_000);
        assert_eq!(answer(&clock, 20, 21, 85_000), 65_000);
    }

    #[test]
    fn the_wall_clock_counts_only_before_the_first_answer() {
        let clock = ServiceClock::default();
        let wall = Timestamp::now().duration_since(clock.now());
        assert!(wall.abs().as_secs() < 60, "{wall}");
        clock.learn(since_boot(), (1_000, 1_000));
        let epoch = clock.now().as_millisecond();
        assert!((1_000..60_000).contains(&epoch), "{epoch}");
    }
}
