//! How the clock's mark changes, in the row of the deployment: the time never sinks.

use lethe_core::clock::Mark;
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;

use crate::authentic::{self, Authenticity};
use crate::decode;
use crate::deployment::locked;
use crate::row::signed;
use crate::statements::Connection;

/// Raises the clock's mark: nothing where a later time stands there.
///
/// # Errors
/// Those of the store; [`StoreError::Altered`].
pub async fn raise(
    db: &mut impl Connection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    match raised(&mark_before(db, authentic).await?, mark) {
        None => Ok(()),
        Some(mark) => write_mark(db, authentic, &mark).await,
    }
}

/// Sets the clock's mark as an operator confirmed it: the time never sinks.
///
/// # Errors
/// As [`raise`].
pub async fn confirm(
    db: &mut impl Connection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let before = mark_before(db, authentic).await?;
    write_mark(db, authentic, &confirmed(&before, mark)).await
}

/// The mark that is written follows from this one, so its row is locked.
async fn mark_before(
    db: &mut impl Connection,
    authentic: &Authenticity,
) -> Result<Mark, StoreError> {
    let row = locked(db, "read the clock's mark").await?;
    authentic.check(&authentic::DEPLOYMENT, &row)?;
    decode::clock_mark(&row)
}

async fn write_mark(
    db: &mut impl Connection,
    authentic: &Authenticity,
    mark: &Mark,
) -> Result<(), StoreError> {
    let columns = MarkColumns::new(mark)?;
    let update =
        "UPDATE deployment SET clock_high_water_ms = $1, clock_lag_ms = $2, clock_boot_id = $3,
                clock_boot_ms = $4, clock_gained_ms = $5";
    let binds = vec![
        columns.high_water.into(),
        columns.lag.into(),
        columns.boot_id.into(),
        columns.boot.into(),
        columns.gained.into(),
    ];
    db.execute("write the clock's mark", update, binds).await?;
    authentic.seal(db, &authentic::DEPLOYMENT).await
}

/// The mark after the clock was raised: it keeps its lag. None where a later time stands there.
fn raised(before: &Mark, mark: &Mark) -> Option<Mark> {
    let lag = before.lag;
    (mark.high_water >= before.high_water).then_some(Mark { lag, ..*mark })
}

/// The mark after the clock was confirmed.
fn confirmed(before: &Mark, mark: &Mark) -> Mark {
    let lag = mark.lag;
    match mark.high_water < before.high_water {
        true => Mark { lag, ..*before },
        false => *mark,
    }
}

/// The columns of a mark.
struct MarkColumns {
    high_water: Option<i64>,
    lag: i64,
    boot_id: Option<Vec<u8>>,
    boot: Option<i64>,
    gained: i64,
}

impl MarkColumns {
    fn new(mark: &Mark) -> Result<Self, StoreError> {
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
