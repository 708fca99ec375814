//! Row ids of one run's new tails, by size: a store appends rows in the order of their ids, and rows of
//! one size fill its pages best. Two tails below the second page fill a page of 4 KiB to three quarters,
//! three below the third to the brim; mixed as they come, a third of the space is lost.

use super::DEPTH;
use super::name::{Prefix, TailId};

/// Levels between two pages.
const LEVELS: u8 = 6;
/// Depths at which a tail can begin.
const SIZES: usize = (DEPTH / LEVELS) as usize + 1;

/// Ids that are still free, for each size.
pub(super) struct TailIds {
    next: [u64; SIZES],
    room: u64,
    first: u64,
    end: u64,
}

impl TailIds {
    /// For a run that forgets so many leaves: each makes one tail, and shortens at most one other.
    /// None where ids would run out: the first is the store's word, and may be anything.
    pub(super) fn new(first: TailId, leaves: usize) -> Option<Self> {
        let (first, room) = (first.number(), 2 * leaves as u64);
        // As many again may follow behind those of the last size.
        let sizes = SIZES as u64;
        let last = room.checked_mul(sizes + 1)?.checked_add(first)?;
        if last > TailId::LAST.number() {
            return None;
        }
        let begin = |size: usize| first + size as u64 * room;
        Some(Self {
            next: std::array::from_fn(begin),
            room,
            first,
            end: begin(SIZES),
        })
    }

    /// The id of a tail that begins there.
    pub(super) fn draw(&mut self, prefix: Prefix) -> TailId {
        let size = usize::from(prefix.depth() / LEVELS);
        let limit = self.first + (size as u64 + 1) * self.room;
        let next = match self.next.get_mut(size) {
            Some(next) if *next < limit => next,
            _ => &mut self.end,
        };
        *next += 1;
        TailId::new(*next - 1)
    }

    /// The first id that a later run may give.
    pub(super) const fn end(&self) -> TailId {
        TailId::new(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Address;

    fn at(depth: u8) -> Prefix {
        let mut prefix = Prefix::TOP;
        while prefix.depth() < depth {
            prefix = prefix.below(prefix.slot(Address::from_bits(0)));
        }
        prefix
    }

    #[test]
    fn ids_are_free_ascend_by_size_and_are_given_once() {
        let mut ids = TailIds::new(TailId::new(1_000), 2).unwrap();
        // More than a run of two leaves can make.
        let drawn: Vec<u64> = [18, 12, 18, 12, 24, 18, 18, 18, 18]
            .map(|depth| ids.draw(at(depth)).number())
            .into();
        assert_eq!(drawn[1], 1_008);
        assert_eq!(drawn[0], 1_012);
        assert_eq!(drawn[4], 1_016);
        let mut once = drawn.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), drawn.len());
        assert!(
            once.iter()
                .all(|id| (1_000..ids.end().number()).contains(id))
        );
    }

    /// As often as a run may draw, all of one size, from the last place where it fits.
    #[test]
    fn ids_never_pass_the_last_one() {
        let room = 2 * 3 * (SIZES as u64 + 1);
        let highest = TailId::LAST.number() - room;
        assert!(TailIds::new(TailId::new(highest + 1), 3).is_none());
        assert!(TailIds::new(TailId::new(u64::MAX), 3).is_none());
        let mut ids = TailIds::new(TailId::new(highest), 3).unwrap();
        let drawn: Vec<TailId> = (0..6)
            .map(|_| ids.draw(at(DEPTH / LEVELS * LEVELS)))
            .collect();
        assert!(drawn.iter().all(|id| *id < TailId::LAST));
        assert!(ids.end() <= TailId::LAST);
    }

    #[test]
    fn every_depth_has_its_place() {
        let mut ids = TailIds::new(TailId::new(0), 1).unwrap();
        let drawn: Vec<u64> = (0..=DEPTH / LEVELS)
            .map(|size| ids.draw(at(size * LEVELS)).number())
            .collect();
        assert!(drawn.is_sorted());
        assert_eq!(ids.end().number(), 2 * SIZES as u64);
    }
}
