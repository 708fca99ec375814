use async_trait::async_trait;
use lethe_core::for_each_hsm_call;
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

/// Counts and times every call of an HSM, and adds it to the trace of its caller.
pub struct MeteredHsm<H> {
    inner: H,
    metrics: Metrics,
}

impl<H: Hsm> MeteredHsm<H> {
    /// Counts the calls of `inner`.
    pub const fn new(inner: H, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    async fn call<T>(
        &self,
        name: &'static str,
        call: impl Future<Output = Result<T, HsmError>>,
    ) -> Result<T, HsmError> {
        if LOOKS.contains(&name) {
            return call.await;
        }
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

/// These calls are not counted: they only look whether the HSM is there and what it has, whatever the
/// load.
const LOOKS: [&str; 3] = ["holds", "claim", "status"];

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

/// Shows every call and result from the start, with 0.
pub(super) fn begin(calls: &Family<Call, Counter>) {
    for call in CALLS.iter().copied().filter(|call| !LOOKS.contains(call)) {
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

macro_rules! metered {
    ($($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        /// All calls of an HSM.
        const CALLS: &[&str] = &[$(stringify!($call)),*];

        #[async_trait]
        impl<H: Hsm> Hsm for MeteredHsm<H> {
            $(async fn $call(&self, $($argument: $type),*) -> Result<$answer, HsmError> {
                self.call(stringify!($call), self.inner.$call($($argument),*)).await
            })*
        }
    };
}
for_each_hsm_call!(metered);
