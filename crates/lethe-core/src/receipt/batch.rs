//! From a batch to its receipts, over one signature.

use super::Item;
use super::merkle::{Hash, MerkleTree, leaf_hash};
use crate::identity::{DeploymentId, HsmKeyId};
use crate::time::Timestamp;

/// What made it irrevocable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every root in the HSM below which the keys could be derived was destroyed, after a new root
    /// had taken over what lives.
    RootsDestroyed,
    /// The bucket's key in the HSM was destroyed.
    BucketKeyDestroyed,
}

/// What is true of the whole batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose batch.
    pub deployment: DeploymentId,
    /// How.
    pub method: Method,
    /// Counts batches; 0 for an expiry, which is none.
    pub sequence: u64,
    /// When the HSM had confirmed the last destruction.
    pub destroyed_at: Timestamp,
    /// The HSM keys that were destroyed, ids as `CKA_ID`.
    pub destroyed: Vec<HsmKeyId>,
    /// The key that signs.
    pub signing_key: HsmKeyId,
}

/// What is to be signed, and for whom.
pub struct Batch {
    /// Facts.
    pub facts: Facts,
    /// In any order; it is kept.
    pub items: Vec<Item>,
}

/// A batch with its Merkle tree, before or after the signature.
pub struct BatchReceipts {
    batch: Batch,
    size: u32,
    tree: MerkleTree,
}

/// The signed word that one item is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Of its batch.
    pub facts: Facts,
    /// What it speaks of.
    pub item: Item,
    /// Place of the item in its batch, from 0.
    pub index: u32,
    /// Items of the batch.
    pub size: u32,
    /// Sibling hashes from the item up to the root.
    pub path: Vec<[u8; 32]>,
    /// Ed25519, over the statement.
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
    /// None of a batch without items, or of more than 2^32 - 1.
    #[must_use]
    pub fn new(batch: Batch) -> Option<Self> {
        let leaves = batch.items.iter().map(|item| leaf_hash(&item.to_bytes()));
        let tree = MerkleTree::new(leaves.collect())?;
        let size = u32::try_from(batch.items.len()).ok()?;
        Some(Self { batch, size, tree })
    }

    /// What the signing key signs, once.
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

    /// The receipts in order of the items.
    pub fn receipts(&self, signature: [u8; 64]) -> impl Iterator<Item = Receipt> {
        (0..self.batch.items.len()).filter_map(move |index| self.receipt(index, signature))
    }
}
