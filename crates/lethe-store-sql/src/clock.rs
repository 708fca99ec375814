//! How the clock's mark changes: the time never sinks.

use lethe_core::clock::Mark;
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use crate::row::signed;

/// The mark after the clock was raised: it keeps its lag. None where a later time stands there.
#[must_use]
pub fn raised(before: &Mark, mark: &Mark) -> Option<Mark> {
    let lag = before.lag;
    (mark.high_water >= before.high_water).then_some(Mark { lag, ..*mark })
}

/// The mark after the clock was confirmed.
#[must_use]
pub fn confirmed(before: &Mark, mark: &Mark) -> Mark {
    let lag = mark.lag;
    match mark.high_water < before.high_water {
        true => Mark { lag, ..*before },
        false => *mark,
    }
}

/// The columns of a mark.
#[derive(Debug)]
pub struct MarkColumns {
    /// `clock_high_water_ms`
    pub high_water: Option<i64>,
    /// `clock_lag_ms`
    pub lag: i64,
    /// `clock_boot_id`
    pub boot_id: Option<Vec<u8>>,
    /// `clock_boot_ms`
    pub boot: Option<i64>,
    /// `clock_gained_ms`
    pub gained: i64,
}

impl MarkColumns {
    /// # Errors
    /// [`StoreError::Corrupt`] for a number that a column cannot hold.
    pub fn new(mark: &Mark) -> Result<Self, StoreError> {
        let number =
            |millis: u128, column| signed(u64::try_from(millis).unwrap_or(u64::MAX), column);
        let high_water = mark.high_water.map(Timestamp::as_millis);
        let high_water = high_water.map(|it| signed(it, "deployment.clock_high_water_ms"));
        let boot = mark.boot.map(|boot| boot.since_boot.as_millis());
        let boot = boot.map(|it| number(it, "deployment.clock_boot_ms"));
        Ok(Self {
            high_water: high_water.transpose()?,
            lag: number(mark.lag.as_millis(), "deployment.clock_lag_ms")?,
            boot_id: mark.boot.map(|boot| boot.id.to_vec()),
            boot: boot.transpose()?,
            gained: number(mark.gained.as_millis(), "deployment.clock_gained_ms")?,
        })
    }
}
