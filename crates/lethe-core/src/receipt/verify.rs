//! Checking a receipt, offline, with public keys alone.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use super::merkle::{leaf_hash, root_of};
use super::{Facts, Item, Method, Opening, Receipt};
use crate::ports::{SigningPurpose, VerificationKey};

/// Why a receipt is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReceipt {
    /// The receipt is signed by a key that is not among those given.
    #[error("the receipt is signed by a key that is not among the verification keys")]
    UnknownKey,
    /// The key that signed is not a key for receipts.
    #[error("the receipt's key does not sign receipts")]
    WrongPurpose,
    /// The path of hashes does not lead from the item to the root of the batch.
    #[error("the receipt's path does not fit its batch")]
    Path,
    /// Item, method, destroyed keys and sequence contradict each other.
    #[error("the receipt contradicts itself")]
    Contradiction,
    /// The signature does not verify: the receipt was altered, or never signed.
    #[error("the receipt's signature does not verify")]
    Signature,
    /// The opening is of another conversation, keyspace or receipt.
    #[error("the opening does not open this receipt")]
    Opening,
}

impl Receipt {
    /// Checks the signature, the path, and that the parts agree.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(&self, keys: &[VerificationKey]) -> Result<(), InvalidReceipt> {
        let signer = keys.iter().find(|key| key.id == self.facts.signing_key);
        let signer = signer.ok_or(InvalidReceipt::UnknownKey)?;
        if signer.purpose != SigningPurpose::Receipt {
            return Err(InvalidReceipt::WrongPurpose);
        }
        if !self.facts.fit(&self.item) {
            return Err(InvalidReceipt::Contradiction);
        }
        let leaf = leaf_hash(&self.item.to_bytes());
        let root = root_of(leaf, self.index, self.size, &self.path);
        let statement = self
            .facts
            .statement(self.size, &root.ok_or(InvalidReceipt::Path)?);
        UnparsedPublicKey::new(&ED25519, &signer.public_key)
            .verify(&statement, &self.signature)
            .map_err(|_| InvalidReceipt::Signature)
    }

    /// Checks that this receipt is about the conversation and keys in `opening`. It does not check the
    /// signature.
    ///
    /// # Errors
    /// [`InvalidReceipt::Opening`].
    pub fn opens_with(&self, opening: &Opening) -> Result<(), InvalidReceipt> {
        match &self.item {
            Item::Shred {
                accepted,
                commitment,
            } if accepted.keyspace == opening.keyspace && *commitment == opening.commitment() => {
                Ok(())
            }
            _ => Err(InvalidReceipt::Opening),
        }
    }
}

impl Facts {
    fn fit(&self, item: &Item) -> bool {
        match (self.method, item) {
            (Method::BucketKeyDestroyed, Item::BucketExpiry { key, .. }) => {
                self.sequence == 0 && self.destroyed == [*key]
            }
            (Method::RootsDestroyed, Item::BucketExpiry { .. })
            | (Method::BucketKeyDestroyed, _) => false,
            (Method::RootsDestroyed, _) => self.sequence > 0 && !self.destroyed.is_empty(),
        }
    }
}
