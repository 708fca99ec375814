//! The succession of signing keys. A signing key never leaves its HSM, so a deployment that moves to
//! another HSM gets new ones there. Each is endorsed by the key before it, so that people who trust the
//! old key can trust the new one.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

use crate::identity::HsmKeyId;
use crate::ports::{SigningPurpose, VerificationKey};

/// How a key follows the key before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// The id of the key before this one.
    pub predecessor: HsmKeyId,
    /// The Ed25519 signature of the key before over [`statement`].
    pub endorsement: [u8; 64],
}

/// A verification key as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    /// The public key.
    pub key: VerificationKey,
    /// How the key follows the one before it; none for the first key of its purpose.
    pub succession: Option<Succession>,
}

impl From<VerificationKey> for PublishedKey {
    fn from(key: VerificationKey) -> Self {
        Self {
            key,
            succession: None,
        }
    }
}

/// Why a succession is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSuccession {
    /// The key before a key is not among the keys.
    #[error("the key that {0} took over from is missing")]
    Missing(HsmKeyId),
    /// The key before has not signed the endorsement, or is a key for another purpose.
    #[error("key {0} is not endorsed by the key that it took over from")]
    NotEndorsed(HsmKeyId),
    /// Two keys follow the same key, so it is not known which is right.
    #[error("key {0} took over from a key that has another successor")]
    SecondSuccessor(HsmKeyId),
}

/// The bytes that the key before signs: a prefix, the purpose (1 receipt, 2 checkpoint), both ids, and
/// the new public key.
#[must_use]
pub fn statement(predecessor: HsmKeyId, successor: &VerificationKey) -> Vec<u8> {
    let purpose = match successor.purpose {
        SigningPurpose::Receipt => 1,
        SigningPurpose::Checkpoint => 2,
    };
    [
        b"lethe/v1/succession".as_slice(),
        &[purpose],
        predecessor.as_bytes(),
        successor.id.as_bytes(),
        &successor.public_key,
    ]
    .concat()
}

/// Whether `key` made `signature` over `message`.
#[must_use]
pub fn signed_by(key: &VerificationKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let public = UnparsedPublicKey::new(&ED25519, &key.public_key);
    public.verify(message, signature).is_ok()
}

/// Checks every endorsement. The key before a key comes earlier in the list, so that no circle endorses
/// itself, and has only one successor.
///
/// # Errors
/// [`InvalidSuccession`] of the first key that fails.
pub fn check(keys: &[PublishedKey]) -> Result<(), InvalidSuccession> {
    for (place, PublishedKey { key, succession }) in keys.iter().enumerate() {
        let Some(Succession {
            predecessor,
            endorsement,
        }) = succession
        else {
            continue;
        };
        let earlier = &keys[..place];
        let taken = |it: &PublishedKey| it.succession.map(|it| it.predecessor);
        if earlier.iter().any(|it| taken(it) == Some(*predecessor)) {
            return Err(InvalidSuccession::SecondSuccessor(key.id));
        }
        let before = earlier.iter().find(|it| it.key.id == *predecessor);
        let before = before.ok_or(InvalidSuccession::Missing(key.id))?;
        let endorsed = before.key.purpose == key.purpose
            && signed_by(&before.key, &statement(*predecessor, key), endorsement);
        if !endorsed {
            return Err(InvalidSuccession::NotEndorsed(key.id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn pair(byte: u8) -> (Ed25519KeyPair, VerificationKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap();
        let key = VerificationKey {
            id: HsmKeyId::from_bytes([byte; 16]),
            purpose: SigningPurpose::Receipt,
            public_key: pair.public_key().as_ref().try_into().unwrap(),
        };
        (pair, key)
    }

    fn endorsed(by: &Ed25519KeyPair, predecessor: HsmKeyId, key: &VerificationKey) -> PublishedKey {
        let signature = by.sign(&statement(predecessor, key));
        PublishedKey {
            key: key.clone(),
            succession: Some(Succession {
                predecessor,
                endorsement: signature.as_ref().try_into().unwrap(),
            }),
        }
    }

    #[test]
    fn a_chain_holds_and_every_change_breaks_it() {
        let ((first, a), (second, b), (_, c)) = (pair(1), pair(2), pair(3));
        let chain = [
            PublishedKey::from(a.clone()),
            endorsed(&first, a.id, &b),
            endorsed(&second, b.id, &c),
        ];
        assert_eq!(check(&chain), Ok(()));
        assert_eq!(check(&chain[1..]), Err(InvalidSuccession::Missing(b.id)));
        let mut later = chain.clone();
        later.swap(0, 1);
        assert_eq!(check(&later), Err(InvalidSuccession::Missing(b.id)));
        let not = Err(InvalidSuccession::NotEndorsed(b.id));
        let with = |change: &dyn Fn(&mut PublishedKey)| {
            let mut altered = chain.clone();
            change(&mut altered[1]);
            check(&altered)
        };
        assert_eq!(with(&|it| it.key.public_key[0] ^= 1), not);
        assert_eq!(with(&|it| it.key.purpose = SigningPurpose::Checkpoint), not);
        assert_eq!(with(&|it| *it = endorsed(&second, a.id, &b)), not);
        let fork = [
            chain[0].clone(),
            chain[1].clone(),
            endorsed(&first, a.id, &c),
        ];
        assert_eq!(check(&fork), Err(InvalidSuccession::SecondSuccessor(c.id)));
        let own = endorsed(&second, b.id, &b);
        assert_eq!(check(&[own]), Err(InvalidSuccession::Missing(b.id)));
    }
}
