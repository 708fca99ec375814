//! Derivation: `child(seed, bit) = SHA-256("lethe/v1/tree" || bit as one byte || seed)`.

use sha2::block_api::compress256;
use zeroize::Zeroize;

use super::{Address, DEPTH};
use crate::secret::Secret32;

/// A seed in place: bytes of a page, or of a wiped buffer.
pub(super) type Seed = [u8; 32];

const LABEL: &[u8; 13] = b"lethe/v1/tree";
const SEED_AT: usize = LABEL.len() + 1;
const SEED_END: usize = SEED_AT + 32;

/// Initial state of SHA-256, FIPS 180-4 section 5.3.3.
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Hashes seeds. The 46 bytes of a step fill one block of SHA-256, so label and padding are laid
/// out once; what it touched is wiped on drop.
pub(super) struct Deriver {
    block: [u8; 64],
    state: [u32; 8],
}

impl Deriver {
    pub(super) fn new() -> Self {
        let mut block = [0; 64];
        block[..LABEL.len()].copy_from_slice(LABEL);
        block[SEED_END] = 0x80;
        block[56..].copy_from_slice(&(SEED_END as u64 * 8).to_be_bytes());
        Self {
            block,
            state: INITIAL,
        }
    }

    /// The child of `seed` on the side of `bit`.
    pub(super) fn child(&mut self, seed: &Seed, bit: u8, child: &mut Seed) {
        self.load(seed);
        self.step(bit);
        self.store(child);
    }

    /// The seed at `to` levels on the way from `seed`, at level `from`, to the leaf `address`.
    pub(super) fn descend(
        &mut self,
        seed: &Seed,
        from: u8,
        to: u8,
        address: Address,
        out: &mut Seed,
    ) {
        self.load(seed);
        for level in from..to {
            self.advance(address.bit(level));
        }
        out.copy_from_slice(&self.block[SEED_AT..SEED_END]);
    }

    /// The siblings on the way from `seed`, at level `from`, to the leaf, one for each level below.
    pub(super) fn co_path(&mut self, seed: &Seed, from: u8, leaf: Address, siblings: &mut [Seed]) {
        self.load(seed);
        for (level, sibling) in (from..DEPTH).zip(siblings) {
            self.step(1 - leaf.bit(level));
            self.store(sibling);
            self.advance(leaf.bit(level));
        }
    }

    /// Hashes the loaded seed and loads the child.
    fn advance(&mut self, bit: u8) {
        self.step(bit);
        let (words, _) = self.block[SEED_AT..SEED_END].as_chunks_mut::<4>();
        for (bytes, word) in words.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
    }

    fn load(&mut self, seed: &Seed) {
        self.block[SEED_AT..SEED_END].copy_from_slice(seed);
    }

    fn step(&mut self, bit: u8) {
        self.block[LABEL.len()] = bit;
        self.state = INITIAL;
        compress256(&mut self.state, std::slice::from_ref(&self.block));
    }

    fn store(&self, out: &mut Seed) {
        let (words, _) = out.as_chunks_mut::<4>();
        for (bytes, word) in words.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
    }
}

impl Drop for Deriver {
    fn drop(&mut self) {
        self.block.as_mut_slice().zeroize();
        self.state.as_mut_slice().zeroize();
    }
}

/// Both children of a seed, wiped on drop.
pub(super) struct Children([Seed; 2]);

impl Children {
    pub(super) fn from_seed(seed: &Seed, deriver: &mut Deriver) -> Self {
        let mut children = Self([[0; 32]; 2]);
        for (bit, child) in [0, 1].into_iter().zip(&mut children.0) {
            deriver.child(seed, bit, child);
        }
        children
    }

    pub(super) const fn left(&self) -> &Seed {
        &self.0[0]
    }

    pub(super) const fn right(&self) -> &Seed {
        &self.0[1]
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.0.as_flattened_mut().zeroize();
    }
}

/// The leaf at `address`, from the seed that covers it at level `depth`.
pub(super) fn leaf(seed: &Seed, depth: u8, address: Address) -> Secret32 {
    Secret32::filled(|out| Deriver::new().descend(seed, depth, DEPTH, address, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn a_step_is_the_documented_hash() {
        for bit in [0, 1] {
            let seed = [0xa5 ^ bit; 32];
            let mut child = [0; 32];
            Deriver::new().child(&seed, bit, &mut child);
            let documented = Sha256::new()
                .chain_update(b"lethe/v1/tree")
                .chain_update([bit])
                .chain_update(seed);
            assert_eq!(child[..], documented.finalize()[..]);
        }
    }

    #[test]
    fn descending_is_step_by_step() {
        let address = Address::from_bits(0x9e37_79b9_7f4a_7c15);
        let mut deriver = Deriver::new();
        let (mut walked, mut jumped) = ([7; 32], [0; 32]);
        for level in 3..17 {
            let parent = walked;
            deriver.child(&parent, address.bit(level), &mut walked);
        }
        deriver.descend(&[7; 32], 3, 17, address, &mut jumped);
        assert_eq!(walked, jumped);
    }
}
