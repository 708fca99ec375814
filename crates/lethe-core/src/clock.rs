//! Time that never runs backwards: `now >= high-water mark + time since boot elapsed`.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::ports::Clock;
use crate::time::Timestamp;

/// A clock over the [`Clock`] port. Cheap: two clock reads and one atomic.
pub struct SteadyClock<C> {
    clock: C,
    /// Largest `wall clock - time since boot` ever seen, in milliseconds: added to the time since
    /// boot it is the steady time.
    offset: AtomicI64,
}

impl<C: Clock> SteadyClock<C> {
    /// Starts at the wall clock, or at the stored high-water mark where the wall clock is behind it.
    pub fn new(clock: C, high_water: Option<Timestamp>) -> Self {
        let floor = high_water.map_or(i64::MIN, |mark| signed(mark.as_millis()) - boot(&clock));
        Self {
            clock,
            offset: AtomicI64::new(floor),
        }
    }

    /// The steady time.
    pub fn now(&self) -> Timestamp {
        // In this order: a pause in between makes the offset too small, which does no harm.
        let wall = signed(self.clock.now().as_millis());
        let boot = boot(&self.clock);
        let wall = wall - boot;
        let offset = self.offset.fetch_max(wall, Ordering::Relaxed).max(wall);
        Timestamp::from_millis(offset.saturating_add(boot).max(0) as u64)
    }
}

/// The steady time is a clock, too.
impl<C: Clock> Clock for SteadyClock<C> {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn since_boot(&self) -> std::time::Duration {
        self.clock.since_boot()
    }
}

fn boot(clock: &impl Clock) -> i64 {
    i64::try_from(clock.since_boot().as_millis()).unwrap_or(i64::MAX)
}

fn signed(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    struct Hands(Mutex<(u64, u64)>);

    impl Hands {
        fn set(&self, wall: u64, boot: u64) {
            *self.0.lock().unwrap() = (wall, boot);
        }
    }

    impl Clock for &Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.lock().unwrap().0)
        }
        fn since_boot(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().1)
        }
    }

    fn at(hands: &Hands, high_water: Option<u64>) -> SteadyClock<&Hands> {
        SteadyClock::new(hands, high_water.map(Timestamp::from_millis))
    }

    #[test]
    fn follows_the_wall_clock_forward_and_never_back() {
        let hands = Hands(Mutex::new((1_000, 50)));
        let clock = at(&hands, None);
        for (wall, boot, steady) in [
            (1_000, 50, 1_000),
            (2_000, 60, 2_000),
            (500, 160, 2_100),
            (2_050, 260, 2_200),
            (9_000, 300, 9_000),
        ] {
            hands.set(wall, boot);
            assert_eq!(clock.now().as_millis(), steady);
        }
    }

    #[test]
    fn a_frozen_wall_clock_does_not_stop_time() {
        let hands = Hands(Mutex::new((1_000, 0)));
        let clock = at(&hands, None);
        assert_eq!(clock.now().as_millis(), 1_000);
        hands.set(1_000, 700);
        assert_eq!(clock.now().as_millis(), 1_700);
    }

    #[test]
    fn starts_no_earlier_than_the_high_water_mark() {
        let hands = Hands(Mutex::new((1_000, 50)));
        let clock = at(&hands, Some(5_000));
        assert_eq!(clock.now().as_millis(), 5_000);
        hands.set(1_010, 60);
        assert_eq!(clock.now().as_millis(), 5_010);
    }
}
