//! The receipts of a batch, with one signature.

use super::Item;
use super::merkle::{Hash, MerkleTree, leaf_hash};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::time::Timestamp;

/// How the keys were destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// All roots in the HSM from which the keys could be derived were destroyed. A new root protects the keys
    /// that are not destroyed.
    RootsDestroyed,
    /// The key of the bucket in the HSM was destroyed.
    BucketKeyDestroyed,
}

/// The facts that all receipts of a batch have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The deployment.
    pub deployment: DeploymentId,
    /// How the keys were destroyed.
    pub method: Method,
    /// The number of the batch; 0 for an expiry.
    pub sequence: u64,
    /// When the HSM had confirmed the last destruction.
    pub destroyed_at: Timestamp,
    /// The ids (`CKA_ID`) of the HSM keys that were destroyed.
    pub destroyed: Vec<HsmKeyId>,
    /// The id of the key that signs.
    pub signing_key: HsmKeyId,
}

/// The facts and the items of a batch.
pub struct Batch {
    /// The facts.
    pub facts: Facts,
    /// The items. Receipts keep their order.
    pub items: Vec<Item>,
}

/// A batch with its Merkle tree, before or after the signature.
pub struct BatchReceipts {
    batch: Batch,
    size: u32,
    tree: MerkleTree,
}

/// The signed statement that one item is destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The facts of its batch.
    pub facts: Facts,
    /// What was destroyed.
    pub item: Item,
    /// The index of the item in its batch, from 0.
    pub index: u32,
    /// The number of items of the batch.
    pub size: u32,
    /// Sibling hashes from the item up to the root.
    pub path: Vec<[u8; 32]>,
    /// The Ed25519 signature of the statement.
    pub signature: [u8; 64],
}

impl Facts {
    /// The bytes that are signed.
    pub(super) fn statement(&self, size: u32, root: &Hash) -> Vec<u8> {
        let mut bytes = b"lethe/v1/receipt".to_vec();
        bytes.extend_from_slice(self.deployment.as_bytes());
        bytes.push(match self.method {
            Method::RootsDestroyed => 1,
            Method::BucketKeyDestroyed => 2,
        });
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.destroyed_at.as_millis().to_be_bytes());
        bytes.extend_from_slice(self.signing_key.as_bytes());
        bytes.extend_from_slice(&(self.destroyed.len() as u32).to_be_bytes());
        for key in &self.destroyed {
            bytes.extend_from_slice(key.as_bytes());
        }
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(root);
        bytes
    }
}

impl BatchReceipts {
    /// None for a batch without items, or with more than 2^32 - 1.
    #[must_use]
    pub fn new(batch: Batch) -> Option<Self> {
        let leaves = batch.items.iter().map(|item| leaf_hash(&item.to_bytes()));
        let tree = MerkleTree::new(leaves.collect())?;
        let size = u32::try_from(batch.items.len()).ok()?;
        Some(Self { batch, size, tree })
    }

    /// The statement that is signed once for the batch.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        self.batch.facts.statement(self.size, &self.tree.root())
    }

    /// The receipt of the item at `index`.
    #[must_use]
    pub fn receipt(&self, index: usize, signature: [u8; 64]) -> Option<Receipt> {
        Some(Receipt {
            facts: self.batch.facts.clone(),
            item: *self.batch.items.get(index)?,
            index: u32::try_from(index).ok()?,
            size: self.size,
            path: self.tree.path(index),
            signature,
        })
    }

    /// The receipts in the order of the items.
    pub fn receipts(&self, signature: [u8; 64]) -> impl Iterator<Item = Receipt> {
        (0..self.batch.items.len()).filter_map(move |index| self.receipt(index, signature))
    }
}
