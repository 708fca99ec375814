use async_trait::async_trait;
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{
    ClaimKind, Clock, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use lethe_core::secret::Secret32;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{Call, Metrics};
use crate::node::clock::SystemClock;
use crate::observability::telemetry::Trace;

/// Counts and times every call of another HSM, and notes it where its caller is traced.
pub struct MeteredHsm<H> {
    inner: H,
    metrics: Metrics,
}

impl<H: Hsm> MeteredHsm<H> {
    /// Over `inner`.
    pub const fn new(inner: H, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, HsmError>>,
    ) -> Result<T, HsmError> {
        let mut part = Trace::current().hsm_call(name);
        let begun = SystemClock.since_boot();
        let result = call.await;
        let took = SystemClock.since_boot().saturating_sub(begun);
        let said = label(result.as_ref().err());
        part.result(said);
        self.metrics.hsm_called(name, said, took);
        result
    }
}

/// The calls that are counted.
const CALLS: [&str; 14] = [
    "claims",
    "remove_claim",
    "signing_pairs",
    "destroy_signing_pair",
    "create_key",
    "keys",
    "seal",
    "open",
    "destroy",
    "set_claim",
    "create_signing_key",
    "verification_keys",
    "sign",
    "random",
];

/// What [`label`] says.
const RESULTS: [&str; 8] = [
    "ok",
    "unavailable",
    "pin",
    "full",
    "not_found",
    "does_not_open",
    "ambiguous",
    "device",
];

/// Every call and result from 0 on.
pub(super) fn begin(calls: &Family<Call, Counter>) {
    for call in CALLS {
        for result in RESULTS {
            calls.get_or_create_owned(&Call { call, result });
        }
    }
}

const fn label(error: Option<&HsmError>) -> &'static str {
    match error {
        None => "ok",
        Some(HsmError::Unavailable(_)) => "unavailable",
        Some(HsmError::Pin(_)) => "pin",
        Some(HsmError::Full) => "full",
        Some(HsmError::NotFound) => "not_found",
        Some(HsmError::DoesNotOpen) => "does_not_open",
        Some(HsmError::Ambiguous) => "ambiguous",
        Some(HsmError::Device(_)) => "device",
    }
}

#[async_trait]
impl<H: Hsm> Hsm for MeteredHsm<H> {
    async fn create_key(&self, label: KeyLabel) -> Result<HsmKey, HsmError> {
        self.call("create_key", self.inner.create_key(label)).await
    }

    async fn keys(&self, deployment: DeploymentId) -> Result<Vec<HsmKey>, HsmError> {
        self.call("keys", self.inner.keys(deployment)).await
    }

    /// Not counted, as the claim and the status: they are looked at all the time, whatever the load.
    async fn holds(&self, key: HsmKey) -> Result<bool, HsmError> {
        self.inner.holds(key).await
    }

    async fn seal(
        &self,
        key: HsmKey,
        aad: &[u8],
        secret: &Secret32,
    ) -> Result<SealedSecret, HsmError> {
        self.call("seal", self.inner.seal(key, aad, secret)).await
    }

    async fn open(
        &self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError> {
        self.call("open", self.inner.open(key, aad, sealed)).await
    }

    async fn destroy(&self, key: HsmKey) -> Result<(), HsmError> {
        self.call("destroy", self.inner.destroy(key)).await
    }

    async fn claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<Vec<String>, HsmError> {
        self.inner.claim(deployment, kind).await
    }

    async fn set_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
        text: &str,
    ) -> Result<(), HsmError> {
        let set = self.inner.set_claim(deployment, kind, text);
        self.call("set_claim", set).await
    }

    async fn claims(&self) -> Result<Vec<(DeploymentId, String)>, HsmError> {
        self.call("claims", self.inner.claims()).await
    }

    async fn remove_claim(
        &self,
        deployment: DeploymentId,
        kind: ClaimKind,
    ) -> Result<(), HsmError> {
        let removed = self.inner.remove_claim(deployment, kind);
        self.call("remove_claim", removed).await
    }

    async fn create_signing_key(
        &self,
        deployment: DeploymentId,
        purpose: SigningPurpose,
    ) -> Result<VerificationKey, HsmError> {
        let made = self.inner.create_signing_key(deployment, purpose);
        self.call("create_signing_key", made).await
    }

    async fn verification_keys(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<VerificationKey>, HsmError> {
        self.call(
            "verification_keys",
            self.inner.verification_keys(deployment),
        )
        .await
    }

    async fn signing_pairs(
        &self,
        deployment: DeploymentId,
    ) -> Result<Vec<(HsmKeyId, SigningPurpose)>, HsmError> {
        let listed = self.inner.signing_pairs(deployment);
        self.call("signing_pairs", listed).await
    }

    async fn destroy_signing_pair(
        &self,
        deployment: DeploymentId,
        id: HsmKeyId,
        purpose: SigningPurpose,
    ) -> Result<(), HsmError> {
        let destroyed = self.inner.destroy_signing_pair(deployment, id, purpose);
        self.call("destroy_signing_pair", destroyed).await
    }

    async fn sign(&self, key: HsmKeyId, message: &[u8]) -> Result<[u8; 64], HsmError> {
        self.call("sign", self.inner.sign(key, message)).await
    }

    async fn random(&self, length: usize) -> Result<Vec<u8>, HsmError> {
        self.call("random", self.inner.random(length)).await
    }

    /// Not counted: it only looks whether the device is there, whatever the load.
    async fn status(&self, deployment: DeploymentId) -> Result<HsmStatus, HsmError> {
        self.inner.status(deployment).await
    }
}
