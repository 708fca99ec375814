//! From the recording's time to the replay's.

use std::time::Duration;

use jiff::Timestamp;

const DAY_MILLIS: i64 = 86_400_000;

/// The recording's days, each as long as the replay wants. Day 0 is that of the first message, UTC.
#[derive(Debug, Clone)]
pub struct Calendar {
    midnight: i64,
    day: Duration,
}

impl Calendar {
    /// Begins with the midnight before `first`.
    #[must_use]
    pub fn new(first: Timestamp, day: Duration) -> Self {
        let first = first.as_millisecond();
        Self {
            midnight: first - first.rem_euclid(DAY_MILLIS),
            day,
        }
    }

    /// The day of an instant of the recording; 0 also before the beginning.
    #[must_use]
    pub fn day_of(&self, at: Timestamp) -> u32 {
        u32::try_from(self.since(at) / DAY_MILLIS).unwrap_or(u32::MAX)
    }

    /// When a message is due, from the start of the replay.
    #[must_use]
    pub fn due(&self, at: Timestamp) -> Duration {
        self.day.mul_f64(self.since(at) as f64 / DAY_MILLIS as f64)
    }

    /// When a day ends, from the start of the replay.
    #[must_use]
    pub fn end_of(&self, day: u32) -> Duration {
        self.day * (day + 1)
    }

    /// The date of a day, `2018-04-10`.
    #[must_use]
    pub fn date(&self, day: u32) -> String {
        let millis = self.midnight + i64::from(day) * DAY_MILLIS;
        Timestamp::from_millisecond(millis)
            .map(|midnight| midnight.to_string()[..10].to_owned())
            .unwrap_or_default()
    }

    fn since(&self, at: Timestamp) -> i64 {
        (at.as_millisecond() - self.midnight).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_and_are_compressed() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let calendar = Calendar::new(at("2018-04-10T18:02:17Z"), Duration::from_secs(2));
        assert_eq!(calendar.day_of(at("2018-04-10T23:59:59.999Z")), 0);
        assert_eq!(calendar.day_of(at("2018-04-11T00:00:00Z")), 1);
        assert_eq!(
            calendar.due(at("2018-04-11T12:00:00Z")),
            Duration::from_secs(3)
        );
        assert_eq!(calendar.end_of(0), Duration::from_secs(2));
        assert_eq!(calendar.date(21), "2018-05-01");
    }
}
