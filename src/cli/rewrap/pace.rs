use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// Most keys of one call.
const BATCH: usize = 1_000;
/// Batches a second when the rate is low.
const STEPS: usize = 4;

/// `--rate`: so many keys a second, at most.
pub(super) struct Pace {
    rate: Option<NonZeroU32>,
    next: Instant,
}

impl Pace {
    pub(super) fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            next: Instant::now(),
        }
    }

    /// Number of keys in one call.
    pub(super) fn batch(&self) -> usize {
        let steps = |rate: NonZeroU32| (rate.get() as usize / STEPS).clamp(1, BATCH);
        self.rate.map_or(BATCH, steps)
    }

    /// Waits until `keys` more keys may be sent.
    pub(super) async fn wait(&mut self, keys: usize) {
        let Some(rate) = self.rate else { return };
        tokio::time::sleep_until(self.next).await;
        let span = Duration::from_secs_f64(keys as f64 / f64::from(rate.get()));
        // Time that was not used is lost: the rate is not exceeded later.
        self.next = self.next.max(Instant::now()) + span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_never_faster() {
        let mut pace = Pace::new(NonZeroU32::new(1_000));
        assert_eq!(pace.batch(), 250);
        let begin = Instant::now();
        for _ in 0..4 {
            pace.wait(50).await;
        }
        assert!(begin.elapsed() >= Duration::from_millis(150));
    }

    #[test]
    fn batches_of_slow_and_fast_ones() {
        let batch = |rate| Pace::new(NonZeroU32::new(rate)).batch();
        assert_eq!([0, 1, 40, 100_000].map(batch), [1_000, 1, 10, 1_000]);
    }
}
