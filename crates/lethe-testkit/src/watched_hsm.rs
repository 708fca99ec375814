//! An [`Hsm`] whose calls a test hears of before they are made.

use std::sync::Arc;

use async_trait::async_trait;
use lethe_core::for_each_hsm_call;
use lethe_core::identity::{DeploymentId, HsmKeyId};
use lethe_core::ports::{
    ClaimKind, Hsm, HsmError, HsmKey, HsmStatus, KeyLabel, SealedSecret, SigningPurpose,
    VerificationKey,
};
use lethe_core::secret::Secret32;

/// Hears of each call.
#[async_trait]
pub trait Watcher: Send + Sync {
    /// Called before the call of this name is made. After an error it is not made, and fails with that.
    async fn before(&self, call: &'static str) -> Result<(), HsmError>;
}

/// Passes calls on to another HSM when its watcher has heard of them.
pub struct WatchedHsm<W> {
    inner: Arc<dyn Hsm>,
    /// Hears of each call.
    pub watcher: W,
}

impl<W> WatchedHsm<W> {
    /// Over `inner`.
    pub const fn new(inner: Arc<dyn Hsm>, watcher: W) -> Self {
        Self { inner, watcher }
    }
}

macro_rules! watched {
    ($($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl<W: Watcher> Hsm for WatchedHsm<W> {
            $(async fn $call(&self, $($argument: $type),*) -> Result<$answer, HsmError> {
                self.watcher.before(stringify!($call)).await?;
                self.inner.$call($($argument),*).await
            })*
        }
    };
}
for_each_hsm_call!(watched);
