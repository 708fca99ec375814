use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use crate::secret::Secret32;

/// The two HSMs of a move.
#[derive(Clone)]
pub struct Pair {
    /// The HSM that the move empties.
    pub from: Arc<dyn Hsm>,
    /// The HSM that gets all keys.
    pub to: Arc<dyn Hsm>,
}

#[derive(Clone)]
enum Phase {
    Single(Arc<dyn Hsm>),
    Migrating(Pair),
}

/// The HSM of the deployment, or both HSMs during a move. During a move a key is looked for in the new
/// HSM first. New keys are made in the new HSM, unless it is full.
pub struct Devices {
    phase: RwLock<Phase>,
}

impl Devices {
    /// All keys are in one HSM.
    #[must_use]
    pub fn single(hsm: Arc<dyn Hsm>) -> Self {
        Self {
            phase: RwLock::new(Phase::Single(hsm)),
        }
    }

    /// A move is under way.
    #[must_use]
    pub fn migrating(pair: Pair) -> Self {
        Self {
            phase: RwLock::new(Phase::Migrating(pair)),
        }
    }

    /// Both HSMs of a move that is under way; none when no move is.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        match &*self.phase.read() {
            Phase::Single(_) => None,
            Phase::Migrating(pair) => Some(pair.clone()),
        }
    }

    /// The HSM in which new keys are made.
    #[must_use]
    pub fn newest(&self) -> Arc<dyn Hsm> {
        self.both().0
    }

    /// Only after the store says that a move is under way.
    pub(super) fn begin(&self, pair: Pair) {
        *self.phase.write() = Phase::Migrating(pair);
    }

    /// Only after the old HSM is empty.
    pub(super) fn finish(&self) {
        let mut phase = self.phase.write();
        if let Phase::Migrating(pair) = &*phase {
            *phase = Phase::Single(Arc::clone(&pair.to));
        }
    }

    fn both(&self) -> (Arc<dyn Hsm>, Option<Arc<dyn Hsm>>) {
        match &*self.phase.read() {
            Phase::Single(hsm) => (Arc::clone(hsm), None),
            Phase::Migrating(pair) => (Arc::clone(&pair.to), Some(Arc::clone(&pair.from))),
        }
    }
}

/// Calls the new HSM, and the old one if the new one does not have the key.
macro_rules! with_holder {
    ($devices:expr, |$hsm:ident| $call:expr) => {{
        let (to, from) = $devices.both();
        let $hsm = to.as_ref();
        match ($call, from) {
            (Err(HsmError::NotFound), Some(from)) => {
                let $hsm = from.as_ref();
                $call
            }
            (done, _) => done,
        }
    }};
}

#[async_trait]
impl Hsm for Devices {
    /// If the new HSM is full the old one makes the key, so that the service goes on.
    async fn create_key(&self, label: KeyLabel) -> Result<HsmKey, HsmError> {
        let (to, from) = self.both();
        match (to.create_key(label).await, from) {
            (Err(HsmError::Full), Some(from)) => from.create_key(label).await,
            (made, _) => made,
        }
    }

    async fn keys(&self, deployment: DeploymentId) -> Result<Vec<HsmKey>, HsmError> {
        let (to, from) = self.both();
        let mut keys = to.keys(deployment).await?;
        if let Some(from) = from {
            keys.extend(from.keys(deployment).await?);
        }
        Ok(keys)
    }

    async fn holds(&self, key: HsmKey) -> Result<bool, HsmError> {
        let (to, from) = self.both();
        match from {
            Some(from) if !to.holds(key).await? => from.holds(key).await,
            Some(_) => Ok(true),
            None => to.holds(key).await,
        }
    }

    async fn seal(
        &self,
        key: HsmKey,
        aad: &[u8],
        secret: &Secret32,
    ) -> Result<SealedSecret, HsmError> {
        with_holder!(self, |hsm| hsm.seal(key, aad, secret).await)
    }

    async fn open(
        &self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError> {
        with_holder!(self, |hsm| hsm.open(key, aad, sealed).await)
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        with_holder!(self, |hsm| hsm.destroy(key).await)
    }

    /// Claims of both HSMs. The old HSM has none any more when it is empty.
    async fn claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<Vec<String>, HsmError> {
        let (to, from) = self.both();
        let mut claims = to.claim(deployment, kind).await?;
        if let Some(from) = from {
            claims.extend(from.claim(deployment, kind).await?);
        }
        Ok(claims)
    }

    /// A challenge is put into both HSMs, and the claim of the old HSM is kept equal to the new one's.
    async fn set_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
        text: &str,
    ) -> Result<(), HsmError> {
        let (to, from) = self.both();
        to.set_claim(deployment, kind, text).await?;
        if let Some(from) = from
            && !from.claim(deployment, kind).await?.is_empty()
        {
            from.set_claim(deployment, kind, text).await?;
        }
        Ok(())
    }

    async fn claims(&self) -> Result<Vec<(DeploymentId, String)>, HsmError> {
        let (to, from) = self.both();
        let mut claims = to.claims().await?;
        if let Some(from) = from {
            claims.extend(from.claims().await?);
        }
        Ok(claims)
    }

    async fn remove_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<(), HsmError> {
        let (to, from) = self.both();
        if let Some(from) = from {
            from.remove_claim(deployment, kind).await?;
        }
        to.remove_claim(deployment, kind).await
    }

    async fn create_signing_key(
        &self,
        deployment: DeploymentId,
        purpose: SigningPurpose,
    ) -> Result<VerificationKey, HsmError> {
        let made = self.both().0;
        made.create_signing_key(deployment, purpose).await
    }

    /// During a move those of the new HSM, which signs from then on.
    async fn verification_keys(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<VerificationKey>, HsmError> {
        let held = self.both().0;
        held.verification_keys(deployment).await
    }

    async fn signing_pairs(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<(HsmKeyId, SigningPurpose)>, HsmError> {
        let (to, from) = self.both();
        let mut pairs = to.signing_pairs(deployment).await?;
        if let Some(from) = from {
            pairs.extend(from.signing_pairs(deployment).await?);
        }
        Ok(pairs)
    }

    async fn destroy_signing_pair(
        &self,
        deployment: DeploymentId,
        id: HsmKeyId,
        purpose: SigningPurpose,
    ) -> Result<(), HsmError> {
        let (to, from) = self.both();
        if let Some(from) = from {
            from.destroy_signing_pair(deployment, id, purpose).await?;
        }
        to.destroy_signing_pair(deployment, id, purpose).await
    }

    async fn sign(&self, key: HsmKeyId, message: &[u8]) -> Result<[u8; 64], HsmError> {
        with_holder!(self, |hsm| hsm.sign(key, message).await)
    }

    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError> {
        self.both().0.random(length).await
    }

    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError> {
        let (to, from) = self.both();
        let mut status = to.status(deployment).await?;
        if let Some(from) = from {
            // Both HSMs must answer. The counts of objects are those of the new one.
            let old = from.status(deployment).await?;
            status.claim = status.claim.or(old.claim);
        }
        Ok(status)
    }
}
