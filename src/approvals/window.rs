//! How many conversations were shredded lately, by anyone, without a second word.

use std::collections::VecDeque;
use std::time::Duration;

use lethe_core::time::Timestamp;

/// Parts of a window that are told apart: each counts until its last moment has left the window.
const PARTS: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Window {
    limit: u64,
    span: u64,
    /// End of a part, and how many fell into it.
    parts: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Window {
    pub(super) fn new(limit: u32, span: Duration) -> Self {
        Self {
            limit: limit.into(),
            span: u64::try_from(span.as_millis()).unwrap_or(u64::MAX),
            parts: VecDeque::new(),
            sum: 0,
        }
    }

    /// What an earlier process let through, whatever the limit.
    pub(super) fn remember(&mut self, shreds: &[Timestamp]) {
        let mut shreds = shreds.to_vec();
        shreds.sort_unstable();
        for shred in shreds {
            self.add(1, shred);
        }
    }

    /// Counts all of them, or none when they would be too many.
    pub(super) fn take(&mut self, count: u64, now: Timestamp) -> bool {
        let from = now.as_millis().saturating_sub(self.span);
        while let Some((_, left)) = self.parts.pop_front_if(|(end, _)| *end <= from) {
            self.sum -= left;
        }
        let fits = self.sum.saturating_add(count) <= self.limit;
        if fits {
            self.add(count, now);
        }
        fits
    }

    /// What was counted then was not let through after all.
    pub(super) fn give_back(&mut self, count: u64, at: Timestamp) {
        let end = self.end_of_part(at);
        let counted = self.parts.iter_mut().find(|(it, _)| *it == end);
        if let Some((_, counted)) = counted {
            *counted -= count;
            self.sum -= count;
        }
    }

    fn end_of_part(&self, at: Timestamp) -> u64 {
        let width = (self.span / PARTS).max(1);
        let part = at.as_millis() / width;
        part.saturating_add(1).saturating_mul(width)
    }

    fn add(&mut self, count: u64, at: Timestamp) {
        let end = self.end_of_part(at);
        match self.parts.back_mut() {
            Some((last, sum)) if *last == end => *sum += count,
            _ => self.parts.push_back((end, count)),
        }
        self.sum += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(START + seconds * 1_000)
    }

    #[test]
    fn takes_up_to_the_limit_and_slides() {
        let mut window = Window::new(10, Duration::from_secs(60));
        assert!(window.take(6, at(0)));
        assert!(!window.take(5, at(10)), "all or none");
        assert!(window.take(4, at(20)));
        assert!(!window.take(1, at(59)));
        assert!(window.take(6, at(61)));
        assert!(!window.take(1, at(79)));
        assert!(window.take(4, at(81)));
        assert!(
            !window.take(11, at(1_000)),
            "never more than the limit at once"
        );
    }

    #[test]
    fn remembers_more_than_the_limit() {
        let mut window = Window::new(2, Duration::from_secs(60));
        window.remember(&[at(3), at(1), at(2)]);
        assert!(!window.take(1, at(4)));
        assert!(!window.take(1, at(61)), "two are left in it");
        assert!(window.take(1, at(63)));
    }

    #[test]
    fn its_size_is_bounded() {
        let mut window = Window::new(u32::MAX, Duration::from_secs(60));
        for step in 0..100_000 {
            assert!(window.take(1, Timestamp::from_millis(START + step * 7)));
        }
        assert!(window.parts.len() as u64 <= PARTS + 2);
        assert_eq!(
            window.sum,
            window.parts.iter().map(|(_, count)| count).sum::<u64>()
        );
    }
}
