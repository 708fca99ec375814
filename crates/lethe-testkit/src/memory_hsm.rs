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
use tokio::sync::watch;

/// Its objects exist as long as the value.
#[derive(Default)]
pub struct MemoryHsm {
    objects: Mutex<Objects>,
    fault: watch::Sender<Fault>,
}

/// What every call meets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fault {
    /// It is done.
    #[default]
    None,
    /// It fails with this error, and changes nothing.
    Fails(HsmError),
    /// So many are done; then it fails.
    FailsAfter(usize, HsmError),
    /// It waits until it meets something else.
    Hangs,
}

impl Fault {
    /// One more call comes; whether it counts.
    fn advance(&mut self) -> bool {
        let Self::FailsAfter(left, error) = self else {
            return false;
        };
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None => *self = Self::Fails(error.clone()),
        }
        true
    }
}

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

    fn count(&self) -> usize {
        self.keys.len() + self.pairs.len() + self.claims.len()
    }

    fn claims(&self, deployment: DeploymentId, kind: ClaimKind) -> Vec<String> {
        let claims = self.claims.iter();
        let found = claims.filter(|(whose, what, _)| (*whose, *what) == (deployment, kind));
        found.map(|(_, _, text)| text.clone()).collect()
    }
}

impl MemoryHsm {
    /// Says what every call meets from now on, those that wait too.
    pub fn set_fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many keys, signing pairs and claims it holds, whatever calls meet.
    pub fn count(&self) -> usize {
        self.held().count()
    }

    fn held(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn objects(&self) -> Result<MutexGuard<'_, Objects>, HsmError> {
        self.fault.send_if_modified(Fault::advance);
        let mut faults = self.fault.subscribe();
        // The sender lives as long as this.
        let met = faults.wait_for(|fault| *fault != Fault::Hangs).await;
        match met.as_deref() {
            Ok(Fault::Fails(error)) => Err(error.clone()),
            _ => Ok(self.held()),
        }
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
        self.objects()
            .await?
            .keys
            .push((named, LessSafeKey::new(key)));
        Ok(named)
    }

    async fn keys(&self, whose: DeploymentId) -> Result<Vec<HsmKey>, HsmError> {
        let objects = self.objects().await?;
        let keys = objects.keys.iter().map(|(key, _)| *key);
        Ok(keys.filter(|key| deployment(key.label) == whose).collect())
    }

    async fn holds(&self, key: HsmKey) -> Result<bool, HsmError> {
        Ok(self.objects().await?.key(key).is_ok())
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
        let objects = self.objects().await?;
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
        let objects = self.objects().await?;
        let nonce = Nonce::assume_unique_for_key(sealed.iv);
        let opened = objects
            .key(key)?
            .open_in_place(nonce, Aad::from(aad), &mut text);
        let opened = opened.map_err(|_| HsmError::DoesNotOpen)?;
        Ok(Secret32::filled(|bytes| bytes.copy_from_slice(opened)))
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        let mut objects = self.objects().await?;
        objects.key(key)?;
        objects.keys.retain(|(it, _)| *it != key);
        Ok(())
    }

    async fn claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<Vec<String>, HsmError> {
        Ok(self.objects().await?.claims(deployment, kind))
    }

    async fn set_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
        text: &str,
    ) -> Result<(), HsmError> {
        self.remove_claim(deployment, kind).await?;
        self.objects()
            .await?
            .claims
            .push((deployment, kind, text.to_owned()));
        Ok(())
    }

    async fn claims(&self) -> Result<Vec<(DeploymentId, String)>, HsmError> {
        let objects = self.objects().await?;
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
            .await?
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
        self.objects()
            .await?
            .pairs
            .push((deployment, key.clone(), pair));
        Ok(key)
    }

    async fn verification_keys(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<VerificationKey>, HsmError> {
        let objects = self.objects().await?;
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
            .await?
            .pairs
            .retain(|(whose, key, _)| (*whose, key.id, key.purpose) != (deployment, id, purpose));
        Ok(())
    }

    async fn sign(&self, key: HsmKeyId, message: &[u8]) -> Result<[u8; 64], HsmError> {
        let objects = self.objects().await?;
        let found = objects.pairs.iter().find(|(_, it, _)| it.id == key);
        let (_, _, pair) = found.ok_or(HsmError::NotFound)?;
        pair.sign(message).as_ref().try_into().map_err(failed)
    }

    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError> {
        drop(self.objects().await?);
        let mut bytes = vec![0; length];
        fill(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError> {
        let objects = self.objects().await?;
        Ok(HsmStatus {
            token: "memory".into(),
            model: "memory".into(),
            objects: objects.count() as u64,
            claim: objects.claims(deployment, ClaimKind::Held).pop(),
            free_memory: None,
        })
    }
}
