use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;

/// An amount that all identities share. An identity may take of it as long as it holds no more than is
/// free: half when it is alone, a third each when there are two. So something is always left for one
/// that has nothing (the dynamic thresholds of shared switch buffers: Choudhury and Hahne, 1998).
#[derive(Debug)]
pub(super) struct Share {
    name: &'static str,
    most: usize,
    taken: AtomicUsize,
    exceeded: Counter,
}

impl Share {
    pub(super) const fn new(name: &'static str, most: usize, exceeded: Counter) -> Self {
        Self {
            name,
            most,
            taken: AtomicUsize::new(0),
            exceeded,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn most(&self) -> usize {
        self.most
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes `count` for an identity that holds `own`.
    #[must_use]
    pub(super) fn take(&self, own: &AtomicUsize, count: usize) -> bool {
        let others_and_own = self.taken.fetch_add(count, Ordering::Relaxed);
        let held = own.fetch_add(count, Ordering::Relaxed) + count;
        let fits = others_and_own + held <= self.most;
        if !fits {
            self.give_back(own, count);
            self.exceeded.inc();
        }
        fits
    }

    /// Takes `count` without a check, for what is there already.
    pub(super) fn take_anyway(&self, own: &AtomicUsize, count: usize) {
        self.taken.fetch_add(count, Ordering::Relaxed);
        own.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, own: &AtomicUsize, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
        own.fetch_sub(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(share: &Share, own: &AtomicUsize) -> usize {
        std::iter::repeat_with(|| share.take(own, 1))
            .take_while(|taken| *taken)
            .count()
    }

    #[test]
    fn nobody_holds_more_than_he_leaves() {
        let share = Share::new("test", 1_000, Counter::default());
        let owns: Vec<AtomicUsize> = (0..9).map(|_| AtomicUsize::default()).collect();
        let mut free = 1_000;
        for own in &owns {
            let taken = fill(&share, own);
            assert!(
                taken == free / 2 || taken == free.div_ceil(2),
                "{taken} of {free}"
            );
            free -= taken;
        }
        // The first one holds more than it would get now, and gets no more.
        assert_eq!(fill(&share, &owns[0]), 0);
        share.give_back(&owns[0], 500);
        assert!(share.take(&owns[8], 1));
    }

    #[test]
    fn the_only_one_there_is_can_be_taken() {
        let share = Share::new("test", 1, Counter::default());
        let own = AtomicUsize::default();
        assert_eq!(fill(&share, &own), 1);
        assert_eq!(share.taken(), 1);
        share.give_back(&own, 1);
        assert_eq!((share.taken(), fill(&share, &own)), (0, 1));
    }
}
