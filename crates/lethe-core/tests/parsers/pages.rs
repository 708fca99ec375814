//! What must hold for a row of the forgetting tree with any bytes in it.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use lethe_core::ports::{Entropy, EntropyError};
use lethe_core::tree::{
    Address, Lookup, PageError, PageReference, PageVersion, Prefix, Puncture, PunctureError, TailId,
};

use super::rows::{self, DEPLOYMENT, Rows, TREE};

/// Where the bytes stand, and what is done with them once they are accepted.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Lies below the row.
    pub address: u64,
    /// Pages above it, at most 10.
    pub level: u8,
    /// A tail, which the top is never.
    pub tail: bool,
    /// Picks the leaves that are looked up and forgotten.
    pub choice: u64,
}

impl Place {
    pub fn prefix(self) -> Prefix {
        let depth = 6 * self.level;
        Prefix::new(self.address & !(u64::MAX >> depth), depth).expect("a level of a page")
    }

    /// Leaves below the row, and beside it.
    fn leaves(self) -> Vec<u64> {
        let below = u64::MAX >> self.prefix().depth();
        let near = (0..10_u32).map(|turn| self.choice.rotate_left(11 * turn));
        let near = near.map(|bits| self.prefix().bits() | bits & below);
        near.chain([self.address, self.address ^ 1, self.choice])
            .collect()
    }
}

/// Opens a row of these bytes, then looks up and forgets leaves below it: nothing panics, what is
/// forgotten is gone, and no other leaf changes. False when the bytes are no page or tail.
pub fn check(place: Place, bytes: &[u8]) -> bool {
    let mut rows = Rows::new();
    let missing = way_down(&mut rows, place);
    let unsealed = missing.open(DEPLOYMENT, bytes);
    assert_eq!(unsealed.err(), Some(PageError::DoesNotOpen));
    match rows.put(&missing, bytes) {
        Ok(()) => {}
        Err(PageError::Malformed) => return false,
        Err(error) => panic!("sealed as FORMATS says: {error}"),
    }
    if !rows.ambiguous {
        use_it(&mut rows, place);
    }
    true
}

/// Puts pages above the place, and hands over what is missing there.
fn way_down(rows: &mut Rows, place: Place) -> PageReference {
    loop {
        let Lookup::Missing(missing) = look(rows, place.address) else {
            panic!("no page at hand says anything of this address");
        };
        let depth = missing.prefix().depth();
        if depth == place.prefix().depth() {
            return missing;
        }
        let slot = place.address >> (58 - depth) & 63;
        let above_tail = place.tail && depth + 6 == place.prefix().depth();
        let page = if above_tail {
            // A tail alone would be refused below the top, so its neighbour is one, too.
            rows::page(1 << slot | 1 << (slot ^ 1), 0, 6, |slot| 1 + slot)
        } else {
            rows::page(1 << slot, 1 << slot, 6, |_| 0)
        };
        rows.put(&missing, &page).expect("a page that is accepted");
    }
}

fn use_it(rows: &mut Rows, place: Place) {
    let leaves = place.leaves();
    for round in 0..3 {
        let before: Vec<_> = leaves.iter().map(|leaf| find(rows, *leaf)).collect();
        let picked = |index: usize| place.choice >> (5 * round + index) & 3 == 0;
        let forgotten = (0..leaves.len()).filter(|index| picked(*index));
        let forgotten: Vec<_> = forgotten.map(|index| leaves[index]).collect();
        forget(rows, &forgotten);
        for (leaf, before) in leaves.iter().zip(before) {
            let expected = before.filter(|_| !forgotten.contains(leaf));
            assert_eq!(find(rows, *leaf), expected, "leaf {leaf:016x}");
        }
    }
}

fn look(rows: &Rows, leaf: u64) -> Lookup {
    rows.tree().lookup(Address::from_bits(leaf), &rows.pages)
}

/// The key of a leaf, with whatever page it takes.
fn find(rows: &mut Rows, leaf: u64) -> Option<[u8; 32]> {
    // 11 levels of pages, one of them a tail.
    for _ in 0..12 {
        match look(rows, leaf) {
            Lookup::Leaf(key) => return Some(*key.expose()),
            Lookup::Forgotten => return None,
            Lookup::Missing(missing) => rows.put_any(&missing),
        }
    }
    panic!("no end to the pages above {leaf:x}")
}

fn forget(rows: &mut Rows, leaves: &[u64]) {
    let addresses: Vec<_> = leaves.iter().copied().map(Address::from_bits).collect();
    let puncture = Puncture {
        deployment: DEPLOYMENT,
        version: PageVersion::new(6),
        // Each id once: enough room for what an earlier round took.
        next_tail: TailId::new(0x6b4d << 48 | rows.root.forgotten() << 12),
        entropy: &System,
    };
    for _ in 0..12 {
        match rows.tree().puncture(&addresses, &rows.pages, puncture) {
            Ok(None) => return,
            Ok(Some(done)) => {
                rows.root = done.root.copied();
                rows.pages.apply(TREE, done);
                return;
            }
            Err(PunctureError::Missing(all)) => all.iter().for_each(|page| rows.put_any(page)),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no end to the pages that a puncture misses")
}

struct System;

impl Entropy for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        SystemRandom::new().fill(bytes).map_err(|_| EntropyError)
    }
}
