use std::borrow::Cow;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::config::QuotaSection;
use crate::identity::SpiffeId;

/// The id of a stranger for a record. The stranger chooses it, so a long one is shortened: to its first
/// 128 bytes, `~`, which no id has, and the first 8 bytes of its SHA-256.
#[must_use]
pub fn short(id: &SpiffeId) -> Cow<'_, str> {
    let whole = id.as_str();
    // Ids are ASCII.
    let Some(first) = whole.get(..LONGEST_ID).filter(|_| whole.len() > LONGEST_ID) else {
        return Cow::Borrowed(whole);
    };
    let hash = digest(&SHA256, whole.as_bytes());
    let hash = hash.as_ref().iter().take(8);
    let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
    Cow::Owned(format!("{first}~{hash}"))
}

/// The longest id of a stranger in a record.
const LONGEST_ID: usize = 128;
/// The longest delay of an answer.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Decides which refusals of an identity get an audit record of their own. The others are counted.
#[derive(Debug)]
pub(super) struct Records {
    rate: DefaultDirectRateLimiter,
    unrecorded: AtomicU64,
    answers: Option<DefaultDirectRateLimiter>,
    burst: NonZeroU32,
}

impl Records {
    pub(super) fn new(rate: QuotaSection) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            rate: RateLimiter::direct(quota),
            unrecorded: AtomicU64::new(0),
            answers: None,
            burst: rate.burst,
        }
    }

    /// Delays answers beyond `rate` a second.
    pub(super) fn delay_answers(&mut self, rate: u32) {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        self.answers = Some(RateLimiter::direct(Quota::per_second(rate)));
    }

    pub(super) fn may_record(&self) -> bool {
        self.rate.check().is_ok()
    }

    pub(super) fn count(&self, count: u64) {
        self.unrecorded.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> u64 {
        self.unrecorded.swap(0, Ordering::Relaxed)
    }

    pub(super) fn answer_delay(&self) -> Option<Duration> {
        let until = self.answers.as_ref()?.check().err()?;
        let delay = until.wait_time_from(DefaultClock::default().now());
        // The delays differ, so that not all answers go at one moment.
        Some(delay.clamp(LONGEST_DELAY / 2, LONGEST_DELAY))
    }

    /// Whether nothing was refused for so long that no count is left.
    pub(super) fn is_fresh(&self) -> bool {
        self.unrecorded.load(Ordering::Relaxed) == 0
            && matches!(self.rate.check_n(self.burst), Ok(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32, burst: u32) -> QuotaSection {
        QuotaSection {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    #[test]
    fn what_is_not_recorded_is_counted_once() {
        let records = Records::new(rate(1, 10));
        let recorded = (0..10_000).filter(|_| records.may_record()).count();
        assert!((10..100).contains(&recorded), "{recorded}");
        records.count(3);
        records.count(4);
        assert!(!records.is_fresh());
        assert_eq!((records.take(), records.take()), (7, 0));
    }

    #[test]
    fn a_long_id_is_short_and_still_one_of_its_own() {
        let shortened = |text: String| short(&text.parse::<SpiffeId>().unwrap()).into_owned();
        let long = |end: &str| shortened(format!("spiffe://d/{}/{end}", "a".repeat(1_000)));
        assert_eq!(long("b").len(), LONGEST_ID + 1 + 16);
        assert_ne!(long("b"), long("c"));
        assert_eq!(shortened("spiffe://d/a".into()), "spiffe://d/a");
    }
}
