//! The shape of a page's cover, from the mask of its occupied slots alone: below each of those
//! something is forgotten; the largest subtrees without one are a seed each, left to right.

use super::name::Slot;

/// Bits that remain when neighbours at one height are folded into their parent.
const PARENTS: [u64; 6] = [
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    0x0000_0000_0000_0001,
];

/// Where a slot's keys are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SlotCover {
    /// Behind the entry of the slot itself.
    Occupied,
    /// Below the seed of this index, which covers `2^height` slots.
    Seed { index: usize, height: u8 },
}

/// The lowest `slots` bits.
pub(super) const fn lowest(slots: u32) -> u64 {
    match u64::MAX.checked_shr(64 - slots) {
        Some(mask) => mask,
        None => 0,
    }
}

/// How many seeds cover what `occupied` leaves of a subtree of `2^height` slots.
pub(super) fn seeds(occupied: u64, height: u8) -> usize {
    if occupied == 0 {
        return 1;
    }
    let mut level = occupied;
    let mut children = level.count_ones();
    let mut count = 0;
    for (fold, parents_of) in PARENTS.iter().take(height.into()).enumerate() {
        level = (level | level >> (1 << fold)) & parents_of;
        let parents = level.count_ones();
        // Each parent on the way to an occupied slot has two children; those off the way are seeds.
        count += 2 * parents - children;
        children = parents;
    }
    count as usize
}

/// Finds a slot in a page of `2^width` slots.
pub(super) fn find(occupied: u64, width: u8, slot: Slot) -> SlotCover {
    let (mut first, mut height, mut index) = (0, width, 0);
    loop {
        let inside = (occupied >> first) & lowest(1 << height);
        if inside == 0 {
            return SlotCover::Seed { index, height };
        }
        if height == 0 {
            return SlotCover::Occupied;
        }
        height -= 1;
        let half = 1 << height;
        if slot.0 >= first + half {
            index += seeds(inside & lowest(half.into()), height);
            first += half;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The cover spelled out: first slot and height of each seed.
    fn spelled(occupied: u64, first: u8, height: u8, out: &mut Vec<(u8, u8)>) {
        if (occupied >> first) & lowest(1 << height) == 0 {
            out.push((first, height));
        } else if height > 0 {
            spelled(occupied, first, height - 1, out);
            spelled(occupied, first + (1 << (height - 1)), height - 1, out);
        }
    }

    proptest! {
        #[test]
        fn counts_and_places_agree_with_the_cover_spelled_out(
            dense: u64, thin: u64, thinner: u64, width in prop_oneof![Just(4_u8), Just(6)],
        ) {
            for mask in [0, dense, dense & thin, dense & thin & thinner, u64::MAX, 1, 1 << 63] {
                let occupied = mask & lowest(1 << width);
                let mut cover = Vec::new();
                spelled(occupied, 0, width, &mut cover);
                prop_assert_eq!(seeds(occupied, width), cover.len());
                for slot in 0..1_u8 << width {
                    let above = cover.iter().position(|(first, height)| {
                        (*first..=*first + ((1 << height) - 1)).contains(&slot)
                    });
                    let expected = above.map_or(SlotCover::Occupied, |index| SlotCover::Seed {
                        index,
                        height: cover[index].1,
                    });
                    prop_assert_eq!(find(occupied, width, Slot(slot)), expected);
                }
            }
        }
    }
}
