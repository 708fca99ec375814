//! An [`Hsm`] in memory, for tests that need no device.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::fill;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use lethe_core::secret::Secret32;

/// Its objects exist as long as the value.
#[derive(Default)]
pub struct MemoryHsm(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    keys: Vec<(HsmKey, LessSafeKey)>,
    pairs: Vec<(DeploymentId, VerificationKey, Ed25519KeyPair)>,
    claims: Vec<(DeploymentId, ClaimKind, String)>,
}

impl Objects {
    fn key(&self, key: HsmKey) -> Result<&LessSafeKey, HsmError> {
        let found = self.keys.iter().find(|(it, _)| *it == key);
        found.map(|(_, key)| key).ok_or(HsmError::NotFound)
    }

    fn claims(&self, deployment: DeploymentId, kind: ClaimKind) -> Vec<String> {
        let claims = self.claims.iter();
        let found = claims.filter(|(whose, what, _)| (*whose, *what) == (deployment, kind));
        found.map(|(_, _, text)| text.clone()).collect()
    }
}

impl MemoryHsm {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random<const N: usize>() -> Result<[u8; N], HsmError> {
    let mut bytes = [0; N];
    fill(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn failed(error: impl std::fmt::Display) -> HsmError {
    HsmError::Device(error.to_string())
}

fn deployment(label: KeyLabel) -> DeploymentId {
    match label {
        KeyLabel::Bucket { deployment, .. } | KeyLabel::Root { deployment, .. } => deployment,
    }
}

#[async_trait]
impl Hsm for MemoryHsm {
    async fn create_key(&self, label: KeyLabel) -> Result<HsmKey, HsmError> {
        let id = HsmKeyId::from_bytes(random()?);
        let key = UnboundKey::new(&AES_256_GCM, &random::<32>()?).map_err(failed)?;
        let named = HsmKey { id, label };
        self.objects().keys.push((named, LessSafeKey::new(key)));
        Ok(named)
    }

    async fn keys(&self, whose: DeploymentId) -> Result<Vec<HsmKey>, HsmError> {
        let objects = self.objects();
        let keys = objects.keys.iter().map(|(key, _)| *key);
        Ok(keys.filter(|key| deployment(key.label) == whose).collect())
    }

    async fn holds(&self, key: HsmKey) -> Result<bool, HsmError> {
        Ok(self.objects().key(key).is_ok())
    }

    async fn seal(
        &self,
        key: HsmKey,
        aad: &[u8],
        secret: &Secret32,
    ) -> Result<SealedSecret, HsmError> {
        let (iv, mut ciphertext) = (random()?, [0; 48]);
        let (text, tag) = ciphertext.split_at_mut(32);
        text.copy_from_slice(secret.expose());
        let objects = self.objects();
        let nonce = Nonce::assume_unique_for_key(iv);
        let sealed = objects
            .key(key)?
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        tag.copy_from_slice(sealed.map_err(failed)?.as_ref());
        Ok(SealedSecret { iv, ciphertext })
    }

    async fn open(
        &self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError> {
        let mut text = sealed.ciphertext;
        let objects = self.objects();
        let nonce = Nonce::assume_unique_for_key(sealed.iv);
        let opened = objects
            .key(key)?
            .open_in_place(nonce, Aad::from(aad), &mut text);
        let opened = opened.map_err(|_| HsmError::DoesNotOpen)?;
        Ok(Secret32::filled(|bytes| bytes.copy_from_slice(opened)))
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        let mut objects = self.objects();
        objects.key(key)?;
        objects.keys.retain(|(it, _)| *it != key);
        Ok(())
    }

    async fn claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<Vec<String>, HsmError> {
        Ok(self.objects().claims(deployment, kind))
    }

    async fn set_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
        text: &str,
    ) -> Result<(), HsmError> {
        self.remove_claim(deployment, kind).await?;
        self.objects()
            .claims
            .push((deployment, kind, text.to_owned()));
        Ok(())
    }

    async fn claims(&self) -> Result<Vec<(DeploymentId, String)>, HsmError> {
        let objects = self.objects();
        let held = objects.claims.iter();
        let held = held.filter(|(_, kind, _)| *kind == ClaimKind::Held);
        Ok(held
            .map(|(whose, _, text)| (*whose, text.clone()))
            .collect())
    }

    async fn remove_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<(), HsmError> {
        self.objects()
            .claims
            .retain(|(whose, what, _)| (*whose, *what) != (deployment, kind));
        Ok(())
    }

    async fn create_signing_key(
        &self,
        deployment: DeploymentId,
        purpose: SigningPurpose,
    ) -> Result<VerificationKey, HsmError> {
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let public_key = pair.public_key().as_ref().try_into().map_err(failed)?;
        let key = VerificationKey {
            id: HsmKeyId::from_bytes(random()?),
            purpose,
            public_key,
        };
        self.objects().pairs.push((deployment, key.clone(), pair));
        Ok(key)
    }

    async fn verification_keys(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<VerificationKey>, HsmError> {
        let objects = self.objects();
        let pairs = objects.pairs.iter();
        let ours = pairs.filter(|(whose, _, _)| *whose == deployment);
        Ok(ours.map(|(_, key, _)| key.clone()).collect())
    }

    async fn signing_pairs(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<(HsmKeyId, SigningPurpose)>, HsmError> {
        let keys = self.verification_keys(deployment).await?;
        Ok(keys.iter().map(|key| (key.id, key.purpose)).collect())
    }

    async fn destroy_signing_pair(
        &self,
        deployment: DeploymentId,
        id: HsmKeyId,
        purpose: SigningPurpose,
    ) -> Result<(), HsmError> {
        self.objects()
            .pairs
            .retain(|(whose, key, _)| (*whose, key.id, key.purpose) != (deployment, id, purpose));
        Ok(())
    }

    async fn sign(&self, key: HsmKeyId, message: &[u8]) -> Result<[u8; 64], HsmError> {
        let objects = self.objects();
        let found = objects.pairs.iter().find(|(_, it, _)| it.id == key);
        let (_, _, pair) = found.ok_or(HsmError::NotFound)?;
        pair.sign(message).as_ref().try_into().map_err(failed)
    }

    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError> {
        let mut bytes = vec![0; length];
        fill(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError> {
        let objects = self.objects();
        let count = objects.keys.len() + objects.pairs.len() + objects.claims.len();
        Ok(HsmStatus {
            token: "memory".into(),
            model: "memory".into(),
            objects: count as u64,
            claim: objects.claims(deployment, ClaimKind::Held).pop(),
            free_memory: None,
        })
    }
}
