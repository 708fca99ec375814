//! The forgetting tree: a puncturable PRF after Goldreich, Goldwasser and Micali. A binary tree of
//! seeds over 64-bit leaf addresses; a conversation key is a leaf. DESIGN section 5.
//!
//! What is stored is a *cover*: seeds whose subtrees hold every leaf that still exists. Nothing
//! punctured means one seed, the tree's own.

use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};

use crate::conversation::ConversationId;
use crate::grid::Generation;
use crate::secret::Secret32;

/// Levels below the tree's own seed.
pub const DEPTH: u8 = 64;

/// Where a conversation key stands among the leaves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// From its 64 bits; the first bit is the first step from the top.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// Turns conversations into addresses: keyed, so that the database alone does not show who was
/// shredded and nobody can aim a collision.
pub struct AddressKey(hmac::Key);

impl AddressKey {
    /// From the version's 32 random bytes.
    #[must_use]
    pub fn new(secret: &Secret32) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// First 64 bits of `HMAC-SHA-256(key, "lethe/v1/address" || len(conversation) as u16 ||
    /// conversation || generation as u16)`, integers big-endian.
    #[must_use]
    pub fn address(&self, conversation: &ConversationId, generation: Generation) -> Address {
        let id = conversation.as_bytes();
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"lethe/v1/address");
        context.update(&(id.len() as u16).to_be_bytes());
        context.update(id);
        context.update(&generation.number().to_be_bytes());
        let tag = context.sign();
        let mut first = [0; 8];
        first.copy_from_slice(&tag.as_ref()[..8]);
        Address(u64::from_be_bytes(first))
    }
}

/// The top of a subtree: the first `depth` bits of every address below it, and its seed.
pub struct CoverNode {
    prefix: u64,
    depth: u8,
    seed: Secret32,
}

/// Nodes that overlap, are out of order, or have bits set behind their depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cover of a tree")]
pub struct InvalidCover;

impl CoverNode {
    /// A node; bits of `prefix` behind `depth` must be 0.
    ///
    /// # Errors
    /// [`InvalidCover`] when they are not, or `depth` is over 64.
    pub fn new(prefix: u64, depth: u8, seed: Secret32) -> Result<Self, InvalidCover> {
        if depth > DEPTH || prefix & below(depth) != 0 {
            return Err(InvalidCover);
        }
        Ok(Self {
            prefix,
            depth,
            seed,
        })
    }

    const fn last(&self) -> u64 {
        self.prefix | below(self.depth)
    }
}

/// Seeds whose subtrees hold every leaf that exists; all other leaves are forgotten.
pub struct Cover {
    nodes: Vec<CoverNode>,
}

impl Cover {
    /// The whole tree, nothing forgotten.
    #[must_use]
    pub fn whole(seed: Secret32) -> Self {
        Self {
            nodes: vec![CoverNode {
                prefix: 0,
                depth: 0,
                seed,
            }],
        }
    }

    /// From disjoint nodes in ascending order of prefix; no nodes are a tree forgotten whole.
    ///
    /// # Errors
    /// [`InvalidCover`] when they overlap or are out of order.
    pub fn new(nodes: Vec<CoverNode>) -> Result<Self, InvalidCover> {
        let disjoint = nodes.windows(2).all(|pair| pair[0].last() < pair[1].prefix);
        if disjoint {
            Ok(Self { nodes })
        } else {
            Err(InvalidCover)
        }
    }

    /// The conversation key at `address`; none when it is forgotten.
    #[must_use]
    pub fn leaf(&self, address: Address) -> Option<Secret32> {
        let behind = self.nodes.partition_point(|node| node.prefix <= address.0);
        let node = self.nodes.get(behind.checked_sub(1)?)?;
        (address.0 <= node.last()).then(|| descend(node, address))
    }
}

/// Mask of the bits behind the first `depth`.
const fn below(depth: u8) -> u64 {
    match u64::MAX.checked_shr(depth as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

/// `child(seed, bit) = SHA-256("lethe/v1/tree" || bit as one byte || seed)`: 46 bytes, one block.
fn descend(node: &CoverNode, address: Address) -> Secret32 {
    Secret32::filled(|seed| {
        seed.copy_from_slice(node.seed.expose());
        for level in node.depth..DEPTH {
            let bit = (address.0 >> (DEPTH - 1 - level) & 1) as u8;
            let mut hash = Sha256::new();
            hash.update(b"lethe/v1/tree");
            hash.update([bit]);
            hash.update(*seed);
            hash.finalize_into(seed.into());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(byte: u8) -> Secret32 {
        Secret32::filled(|bytes| bytes.fill(byte))
    }

    fn child(parent: &Secret32, bit: u8) -> Secret32 {
        Secret32::filled(|out| {
            let digest = Sha256::new()
                .chain_update(b"lethe/v1/tree")
                .chain_update([bit])
                .chain_update(parent.expose());
            out.copy_from_slice(&digest.finalize());
        })
    }

    #[test]
    fn a_split_cover_derives_the_same_leaves() {
        let (left, right) = (child(&seed(7), 0), child(&seed(7), 1));
        let split = Cover::new(vec![
            CoverNode::new(0, 1, left).unwrap(),
            CoverNode::new(1 << 63, 1, right).unwrap(),
        ])
        .unwrap();
        let whole = Cover::whole(seed(7));
        for bits in [
            0,
            1,
            u64::MAX >> 1,
            1 << 63,
            u64::MAX,
            0x0123_4567_89ab_cdef,
        ] {
            let address = Address::from_bits(bits);
            assert!(
                whole
                    .leaf(address)
                    .unwrap()
                    .same_as(&split.leaf(address).unwrap())
            );
        }
    }

    #[test]
    fn a_hole_gives_no_leaf() {
        let half = Cover::new(vec![CoverNode::new(1 << 63, 1, seed(1)).unwrap()]).unwrap();
        assert!(half.leaf(Address::from_bits(u64::MAX >> 1)).is_none());
        assert!(half.leaf(Address::from_bits(1 << 63)).is_some());
        assert!(
            Cover::new(vec![])
                .unwrap()
                .leaf(Address::from_bits(0))
                .is_none()
        );
    }

    #[test]
    fn overlapping_or_disordered_nodes_are_refused() {
        assert!(CoverNode::new(1, 1, seed(1)).is_err());
        assert!(CoverNode::new(0, 65, seed(1)).is_err());
        let node = |prefix, depth| CoverNode::new(prefix, depth, seed(1)).unwrap();
        assert!(Cover::new(vec![node(0, 1), node(0, 2)]).is_err());
        assert!(Cover::new(vec![node(1 << 63, 1), node(0, 1)]).is_err());
        assert!(Cover::new(vec![node(5, 64), node(6, 64)]).is_ok());
    }
}
