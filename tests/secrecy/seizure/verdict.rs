//! Whether exactly the right keys opened.

use lethe_core::grid::Generation;

use super::haul::{Haul, Kept};
use super::moment::Moment;
use super::receipts::Covered;
use crate::support::Dev;

/// How many keys of each fate there were.
#[derive(Debug, Default)]
pub struct Tally {
    living: usize,
    living_after_shreds: usize,
    shredded: usize,
    shredded_again: usize,
    expired: usize,
    /// Expired, and without a receipt yet: either is right.
    between: usize,
}

impl Moment {
    /// Every key that lives must have opened as itself, and none that a receipt covers.
    pub fn judge(&self, dev: &Dev, haul: &Haul, opened: &[Option<String>]) -> Tally {
        let covered = Covered::at(self, dev, haul);
        let (mut tally, mut wrong) = (Tally::default(), Vec::new());
        for (key, opened) in self.keys(haul).iter().zip(opened) {
            let again = key.header.generation > Generation::FIRST;
            if covered.is_shredded(key) {
                tally.shredded += 1;
                tally.shredded_again += usize::from(again);
                check(opened.is_none(), "shredded, and opens", key, &mut wrong);
            } else if covered.is_expired(key.header.expiry) {
                tally.expired += 1;
                check(opened.is_none(), "expired, and opens", key, &mut wrong);
            } else if key.header.expiry.has_passed(self.at) {
                tally.between += 1;
            } else {
                tally.living += 1;
                tally.living_after_shreds += usize::from(again);
                let right = opened.as_ref() == Some(&key.data_key);
                check(right, "lives, and does not open", key, &mut wrong);
            }
        }
        let first: Vec<_> = wrong.iter().take(5).collect();
        assert!(wrong.is_empty(), "{} keys, such as {first:#?}", wrong.len());
        tally
    }

    /// Nothing that a receipt covered before may open; of all else nothing is said. How many there
    /// were.
    pub fn judge_forgotten(&self, dev: &Dev, haul: &Haul) -> usize {
        let (covered, opened) = (Covered::before(self, dev, haul), self.opened(haul));
        let (mut forgotten, mut wrong) = (0, Vec::new());
        for (key, opened) in self.keys(haul).iter().zip(&opened) {
            if covered.is_shredded(key) {
                forgotten += 1;
                check(opened.is_none(), "shredded, and opens", key, &mut wrong);
            }
        }
        assert!(
            wrong.is_empty(),
            "{} keys, such as {:#?}",
            wrong.len(),
            wrong[0]
        );
        forgotten
    }
}

fn check(right: bool, what: &str, key: &Kept, wrong: &mut Vec<String>) {
    if !right {
        wrong.push(format!("{what}: {key:?}"));
    }
}

impl Tally {
    /// Enough of everything to tell.
    pub fn check_size(&self) {
        assert!(self.living > 2_000, "{self:?}");
        assert!(self.living_after_shreds > 10, "{self:?}");
        assert!(self.shredded > 1_000, "{self:?}");
        assert!(self.shredded_again > 50, "{self:?}");
        assert!(self.expired > 100, "{self:?}");
    }
}

/// The service opens what the attacker opens. What expires in between opens for neither for long.
pub fn service_agrees(haul: &Haul, told: &[String], opened: &[Option<String>]) {
    for ((key, told), opened) in haul.keys.iter().zip(told).zip(opened) {
        match opened {
            _ if key.keyspace == "short" => (),
            Some(data_key) => assert_eq!(told, data_key, "{key:?}"),
            None => assert!(
                ["shredded", "version_retired", "invalid_wrapped_key"].contains(&told.as_str()),
                "{told}: {key:?}"
            ),
        }
    }
}
