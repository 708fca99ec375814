//! Time that never runs backwards: `now >= high-water mark + time since boot elapsed`; and what a
//! wall clock says that jumps further than a pause explains is not believed until a person confirms
//! it. `docs/design.md#clock`.

mod doubt;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

pub use doubt::{BootPoint, Confirmation, Doubt, Judgement, Mark, Reading, Trust};

use crate::ports::{BootId, Clock};
use crate::time::{Expiry, Timestamp};

/// A clock over the [`Clock`] port. Cheap: two clock reads and a few atomics.
///
/// All of its numbers are milliseconds. Those called *offset* are a time minus the time since boot,
/// so that they stand still while both clocks run alike.
pub struct SteadyClock<C> {
    clock: C,
    max_gap: i64,
    /// Offset of the steady time; never sinks.
    offset: AtomicI64,
    /// Offset at the start or at the last confirmation: since then the wall clock may have gained
    /// `max_gap`, be it at once or bit by bit, and is not followed beyond.
    anchor: AtomicI64,
    /// By how much the steady time is ahead of the wall clock, as it was confirmed.
    lag: AtomicI64,
    /// [`Doubt`] since the last confirmation.
    doubt: AtomicU8,
    /// Offset of the wall clock at the last watch; held while watching and confirming.
    watched: Mutex<i64>,
}

impl<C: Clock> SteadyClock<C> {
    /// Goes on from the stored mark: on the same boot of the machine by the time since boot, which
    /// tells how long the service was down; else at the wall clock, or at the mark where the wall
    /// clock is behind it. Where they are more than `max_gap` apart, the mark counts and the clock is
    /// doubted.
    pub fn new(clock: C, mark: Mark, trust: Trust) -> Self {
        let max_gap = millis(trust.max_gap);
        let lag = millis(mark.lag);
        let boot = boot(&clock);
        let wall = signed(clock.now()).saturating_add(lag) - boot;
        let same_boot = mark
            .boot
            .filter(|then| clock.boot_id() == Some(then.id) && millis(then.since_boot) <= boot);
        let then = same_boot.map_or(boot, |then| millis(then.since_boot));
        let floor = mark.high_water.map(|mark| signed(mark) - then);
        let gained = same_boot.map_or(0, |_| millis(mark.gained));
        let start = floor.unwrap_or(wall);
        let doubt = match wall.saturating_sub(start) {
            gap if gap > max_gap - gained => Some(Doubt::Ahead),
            gap if gap < -max_gap && same_boot.is_some() => Some(Doubt::Behind),
            gap if gap < -max_gap => Some(Doubt::BehindAtStart),
            _ if floor.is_none() || same_boot.is_some() => None,
            _ => Some(Doubt::Rebooted).filter(|_| trust.confirm_after_reboot),
        };
        let offset = if doubt.is_none() {
            start.max(wall)
        } else {
            start
        };
        // What was unknown before this start is believed, or confirmed, from here on.
        let anchor = if same_boot.is_some() {
            start - gained
        } else {
            offset
        };
        Self {
            clock,
            max_gap,
            offset: AtomicI64::new(offset),
            anchor: AtomicI64::new(anchor),
            lag: AtomicI64::new(lag),
            doubt: AtomicU8::new(doubt.map_or(0, Doubt::number)),
            watched: Mutex::new(wall),
        }
    }

    /// Where the clock stands, to be written down. Not on which boot as long as nobody has confirmed
    /// how long the service was down: the next start would take that for known.
    pub fn mark(&self) -> Mark {
        let since_boot = self.clock.since_boot();
        let confirmed = !self.doubt().is_some_and(Doubt::is_of_start);
        let id = self.clock.boot_id().filter(|_| confirmed);
        let offset = self.offset.load(Ordering::Relaxed);
        let anchor = self.anchor.load(Ordering::Acquire);
        Mark {
            high_water: Some(timestamp(offset.saturating_add(millis(since_boot)))),
            lag: duration(self.lag.load(Ordering::Acquire)),
            boot: id.map(|id| BootPoint { id, since_boot }),
            gained: duration(offset.saturating_sub(anchor)),
        }
    }

    /// As [`Self::mark`], as it will be once the clock goes by a confirmation.
    pub fn mark_of(&self, confirmed: Confirmation) -> Mark {
        let since_boot = self.clock.since_boot();
        let id = self.clock.boot_id();
        Mark {
            high_water: Some(confirmed.time),
            lag: confirmed.lag,
            boot: id.map(|id| BootPoint { id, since_boot }),
            gained: Duration::ZERO,
        }
    }

    /// The steady time.
    pub fn now(&self) -> Timestamp {
        self.reading().now
    }

    /// The steady time, and what is to be said against it at this moment: a wall clock that has
    /// come back is no reason to refuse keys any more, while [`Self::doubt`] stays.
    pub fn reading(&self) -> Reading {
        // In this order: a pause in between makes the wall clock's offset too small, which does no
        // harm.
        let wall = signed(self.clock.now()).saturating_add(self.lag.load(Ordering::Acquire));
        let boot = boot(&self.clock);
        let wall_offset = wall - boot;
        let ahead = wall_offset > self.ceiling();
        let offset = if ahead {
            self.offset.load(Ordering::Relaxed)
        } else {
            let before = self.offset.fetch_max(wall_offset, Ordering::Relaxed);
            before.max(wall_offset)
        };
        let behind = wall_offset < offset.saturating_sub(self.max_gap);
        Reading {
            now: timestamp(offset.saturating_add(boot)),
            wall: timestamp(wall),
            doubt: match self.doubt() {
                Some(Doubt::Rebooted) => Some(Doubt::Rebooted),
                _ if ahead => Some(Doubt::Ahead),
                doubt => doubt.filter(|doubt| behind && doubt.is_behind()),
            },
        }
    }

    /// Whether a key of this expiry opens now.
    pub fn judge(&self, expiry: Expiry) -> Judgement {
        self.reading().judge(expiry)
    }

    /// Looks whether the wall clock has jumped, again and again: a jump back shows between two looks,
    /// whoever's they are, so that a clock that is slow or stands still is none.
    pub fn watch(&self) -> Option<Doubt> {
        let mut watched = self.watched.lock();
        let before = boot(&self.clock);
        let wall = signed(self.clock.now()).saturating_add(self.lag.load(Ordering::Acquire));
        let after = boot(&self.clock);
        // A pause between the reads is no jump: each bound is the mild one.
        let (least, most) = (wall - after, wall - before);
        let offset = self.offset.load(Ordering::Relaxed);
        let jumped_back = most < watched.saturating_sub(self.max_gap);
        let doubt = if least > self.ceiling() {
            Some(Doubt::Ahead)
        } else if jumped_back && most < offset.saturating_sub(self.max_gap) {
            Some(Doubt::Behind)
        } else {
            None
        };
        *watched = least;
        if let Some(doubt) = doubt
            && !self.doubt().is_some_and(Doubt::is_of_start)
        {
            self.doubt.store(doubt.number(), Ordering::Release);
        }
        self.doubt()
    }

    /// A jump that nobody has confirmed. Nothing may be destroyed by this clock meanwhile.
    pub fn doubt(&self) -> Option<Doubt> {
        Doubt::from_number(self.doubt.load(Ordering::Acquire))
    }

    /// What becomes true when somebody says that the wall clock is right: the steady time goes
    /// forward to it, or stays, never back, and its lead is known from then on. To be made durable
    /// before [`Self::adopt`].
    pub fn confirmation(&self) -> Confirmation {
        let reading = self.reading();
        let lag = self.lag.load(Ordering::Acquire);
        if reading.doubt.is_none() {
            return Confirmation {
                time: reading.now,
                lag: duration(lag),
            };
        }
        let wall = signed(reading.wall).saturating_sub(lag);
        let time = signed(reading.now).max(wall);
        Confirmation {
            time: timestamp(time),
            lag: duration(time - wall),
        }
    }

    /// Whether a confirmation brings the time further ahead than the wall clock is believed by itself:
    /// keys go before their time if it is wrong.
    pub fn leaps(&self, confirmed: Confirmation) -> bool {
        signed(confirmed.time) - boot(&self.clock) > self.ceiling()
    }

    /// Goes by a confirmation.
    pub fn adopt(&self, confirmed: Confirmation) {
        let mut watched = self.watched.lock();
        let boot = boot(&self.clock);
        let lag = millis(confirmed.lag);
        self.lag.store(lag, Ordering::Release);
        let time = signed(confirmed.time) - boot;
        let offset = self.offset.fetch_max(time, Ordering::Relaxed).max(time);
        self.anchor.store(offset, Ordering::Release);
        *watched = signed(self.clock.now()).saturating_add(lag) - boot;
        self.doubt.store(0, Ordering::Release);
    }

    fn ceiling(&self) -> i64 {
        self.anchor
            .load(Ordering::Acquire)
            .saturating_add(self.max_gap)
    }
}

/// The steady time is a clock, too.
impl<C: Clock> Clock for SteadyClock<C> {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }

    fn boot_id(&self) -> Option<BootId> {
        self.clock.boot_id()
    }

    fn mark(&self) -> Mark {
        Self::mark(self)
    }
}

fn boot(clock: &impl Clock) -> i64 {
    millis(clock.since_boot())
}

fn millis(duration: Duration) -> i64 {
    // A quarter of the range, so that sums of a few stay inside.
    let most = i64::MAX / 4;
    i64::try_from(duration.as_millis()).map_or(most, |millis| millis.min(most))
}

fn signed(time: Timestamp) -> i64 {
    millis(Duration::from_millis(time.as_millis()))
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
