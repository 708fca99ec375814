use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use crate::secret::Secret32;

/// The HSMs of a move.
#[derive(Clone)]
pub struct Pair {
    /// Where the keys were.
    pub from: Arc<dyn Hsm>,
    /// Where they are to be.
    pub to: Arc<dyn Hsm>,
}

#[derive(Clone)]
enum Stand {
    At(Arc<dyn Hsm>),
    Between(Pair),
}

/// The deployment's HSM; while it moves, both: keys are looked for in the new one first, and made
/// there unless it is full.
pub struct Devices {
    stand: RwLock<Stand>,
}

impl Devices {
    /// All keys are in one.
    #[must_use]
    pub fn at(hsm: Arc<dyn Hsm>) -> Self {
        Self {
            stand: RwLock::new(Stand::At(hsm)),
        }
    }

    /// A move is under way.
    #[must_use]
    pub fn between(pair: Pair) -> Self {
        Self {
            stand: RwLock::new(Stand::Between(pair)),
        }
    }

    /// The HSMs of the move that is under way.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        match &*self.stand.read() {
            Stand::At(_) => None,
            Stand::Between(pair) => Some(pair.clone()),
        }
    }

    /// Where new keys are made.
    #[must_use]
    pub fn newest(&self) -> Arc<dyn Hsm> {
        self.both().0
    }

    /// Only after the store says that a move is under way.
    pub(super) fn begin(&self, pair: Pair) {
        *self.stand.write() = Stand::Between(pair);
    }

    /// Only after the old one is empty.
    pub(super) fn arrive(&self) {
        let mut stand = self.stand.write();
        if let Stand::Between(pair) = &*stand {
            *stand = Stand::At(Arc::clone(&pair.to));
        }
    }

    fn both(&self) -> (Arc<dyn Hsm>, Option<Arc<dyn Hsm>>) {
        match &*self.stand.read() {
            Stand::At(hsm) => (Arc::clone(hsm), None),
            Stand::Between(pair) => (Arc::clone(&pair.to), Some(Arc::clone(&pair.from))),
        }
    }
}

/// Asks the old HSM when the new one does not have the key.
macro_rules! where_it_is {
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
    /// A new HSM that is full must not keep the old one from working.
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
        where_it_is!(self, |hsm| hsm.seal(key, aad, secret).await)
    }

    async fn open(
        &self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError> {
        where_it_is!(self, |hsm| hsm.open(key, aad, sealed).await)
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        where_it_is!(self, |hsm| hsm.destroy(key).await)
    }

    /// The old one has lost its claim when it is empty.
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

    /// Who looks sees a question in either; the old one's claim goes with it.
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

    /// During a move those of the new one, which sign from now on.
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
        where_it_is!(self, |hsm| hsm.sign(key, message).await)
    }

    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError> {
        self.both().0.random(length).await
    }

    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError> {
        let (to, from) = self.both();
        let mut status = to.status(deployment).await?;
        if let Some(from) = from {
            // Both must answer; the objects that count are those of the one that goes on.
            let left = from.status(deployment).await?;
            status.claim = status.claim.or(left.claim);
        }
        Ok(status)
    }
}
