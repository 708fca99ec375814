//! The Merkle tree of RFC 9162 section 2.1 over SHA-256: leaves and nodes are hashed apart, so that
//! no node can be shown as a leaf.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub(super) type Hash = [u8; 32];

/// `SHA-256(0x00 || entry)`
pub(super) fn leaf_hash(entry: &[u8]) -> Hash {
    let hash = Sha256::new().chain_update([0]).chain_update(entry);
    hash.finalize().into()
}

/// `SHA-256(0x01 || left || right)`
fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new().chain_update([1]).chain_update(left);
    hash.chain_update(right).finalize().into()
}

/// All levels, leaves first; the last is the root alone.
pub(super) struct MerkleTree(Vec<Vec<Hash>>);

impl MerkleTree {
    /// None of no leaves.
    pub(super) fn new(leaves: Vec<Hash>) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level.chunks(2).map(parent).collect());
        }
        Some(Self(levels))
    }

    pub(super) fn root(&self) -> Hash {
        self.0[self.0.len() - 1][0]
    }

    /// The siblings on the way from a leaf to the root. A node without a sibling is its own parent.
    pub(super) fn path(&self, leaf: usize) -> Vec<Hash> {
        let levels = self.0.iter().enumerate();
        levels
            .filter_map(|(height, level)| level.get(leaf >> height ^ 1).copied())
            .collect()
    }
}

fn parent(children: &[Hash]) -> Hash {
    match children {
        [left, right] => node_hash(left, right),
        alone => alone[0],
    }
}

/// The root that a leaf and its path lead to (RFC 9162 section 2.1.3.2); none when the path has
/// another length than a tree of `size` leaves gives it.
pub(super) fn root_of(leaf: Hash, index: u32, size: u32, path: &[Hash]) -> Option<Hash> {
    let (mut node, mut last) = (index, size.checked_sub(1)?);
    if node > last {
        return None;
    }
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of the RFC, by its recursion.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn every_leaf_of_every_size_leads_to_the_root_and_no_other() {
        for size in 1..70_u32 {
            let leaves: Vec<_> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
            let tree = MerkleTree::new(leaves.clone()).unwrap();
            assert_eq!(tree.root(), defined(&leaves), "{size}");
            for index in 0..size {
                let leaf = leaves[index as usize];
                let path = tree.path(index as usize);
                assert_eq!(root_of(leaf, index, size, &path), Some(tree.root()));
                let other = (index + 1) % size;
                if other != index {
                    assert_ne!(root_of(leaf, other, size, &path), Some(tree.root()));
                }
                let longer = [path.as_slice(), &[leaf]].concat();
                assert_eq!(root_of(leaf, index, size, &longer), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root_of(leaf, index, size, shorter), None);
                }
            }
        }
        assert!(MerkleTree::new(vec![]).is_none());
        assert_eq!(root_of([0; 32], 0, 0, &[]), None);
        assert_eq!(root_of([0; 32], 1, 1, &[]), None);
    }
    /// The example entries of the Certificate Transparency project, and its roots of the first so
    /// many of them.
    #[test]
    fn agrees_with_certificate_transparency() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\x10",
            b" !",
            b"01",
            b"@ABC",
            b"PQRSTUVW",
            b"`abcdefghijklmno",
        ];
        for (size, root) in [
            (
                1,
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                2,
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            ),
            (
                3,
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ),
            (
                8,
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ] {
            let leaves = entries[..size].iter().map(|entry| leaf_hash(entry));
            let computed = MerkleTree::new(leaves.collect()).unwrap().root();
            let text: String = computed.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, root, "{size}");
        }
    }
}
