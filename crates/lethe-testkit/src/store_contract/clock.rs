//! The mark of the clock.

use std::time::Duration;

use lethe_core::clock::{BootPoint, Mark};
use lethe_core::ports::ClockStore;
use lethe_core::time::Timestamp;

use super::Fixture;

/// A mark of the clock; its point since boot is that of the boot with this id, if there is one.
pub(super) fn mark(time: u64, lag: u64, boot: Option<u8>) -> Mark {
    let since_boot = Duration::from_millis(time + 1);
    Mark {
        high_water: Some(Timestamp::from_millis(time)),
        lag: Duration::from_millis(lag),
        boot: boot.map(|id| BootPoint {
            id: [id; 16],
            since_boot,
        }),
        gained: Duration::from_millis(time + 2),
    }
}

/// The mark never sinks, and keeps its lag.
pub async fn clock_never_sinks(fixture: impl Fixture) {
    let store = fixture.store();
    assert_eq!(store.clock_mark().await, Ok(Mark::default()));
    let steps = [
        (mark(5, 9, Some(1)), mark(5, 0, Some(1))),
        (mark(9, 9, None), mark(9, 0, None)),
        (mark(3, 9, Some(2)), mark(9, 0, None)),
        (mark(9, 9, Some(2)), mark(9, 0, Some(2))),
    ];
    for (written, highest) in steps {
        assert_eq!(store.raise_clock_mark(&written).await, Ok(()));
        assert_eq!(store.clock_mark().await, Ok(highest));
    }
}

/// A confirmation raises the mark, never lowers it, and its lag replaces the one before.
pub async fn clock_is_confirmed(mut fixture: impl Fixture) {
    let store = fixture.store();
    for (time, lag, highest) in [(50, 7, 50), (20, 9, 50), (60, 0, 60), (60, 5, 60)] {
        let confirmed = mark(time, lag, Some(1));
        assert_eq!(store.confirm_clock(&confirmed).await, Ok(()));
        let expected = mark(highest, lag, Some(1));
        assert_eq!(store.clock_mark().await, Ok(expected));
    }
    drop(store);
    fixture.reopen().await;
    let store = fixture.store();
    assert_eq!(store.clock_mark().await, Ok(mark(60, 5, Some(1))));
}
