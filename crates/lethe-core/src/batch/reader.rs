use super::{BatchError, Halt, Ports};
use crate::clock::Mark;
use crate::deployment_key::DeploymentKey;
use crate::identity::DeploymentId;
use crate::ports::{HsmError, HsmKey, MetaRow, SealedSecret, StoreError};
use crate::secret::Secret32;

/// Read access to store and HSM, for a node that opens the state. Nothing that it can be asked for creates,
/// destroys or writes:
///
/// ```compile_fail
/// # use lethe_core::{batch::{Ports, Reader}, ports::HsmKey};
/// # async fn destroy(ports: &Ports, root: HsmKey) {
/// Reader::of(ports).destroy(root).await;
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    // Only the functions below can reach them.
    ports: &'a Ports,
}

impl<'a> Reader<'a> {
    /// Of these ports.
    #[must_use]
    pub const fn of(ports: &'a Ports) -> Self {
        Self { ports }
    }

    /// The deployment of the store.
    pub(super) async fn deployment(self) -> Result<DeploymentId, BatchError> {
        let deployment = self.ports.store.deployment().await?;
        Ok(deployment.ok_or(Halt::NotInitialised)?)
    }

    /// The row that names the present root.
    pub(super) async fn meta(self) -> Result<MetaRow, BatchError> {
        Ok(self.ports.store.meta().await?.ok_or(Halt::NotInitialised)?)
    }

    /// Opens what is sealed under a key of the HSM.
    pub(super) async fn open(
        self,
        key: HsmKey,
        aad: &[u8],
        sealed: &SealedSecret,
    ) -> Result<Secret32, HsmError> {
        self.ports.hsm.open(key, aad, sealed).await
    }

    /// From now on the store checks each row that it reads.
    pub(super) async fn authenticate(self, key: &DeploymentKey) -> Result<(), StoreError> {
        self.ports.store.authenticate(key).await
    }

    /// The time that the store has.
    pub(super) async fn clock_mark(self) -> Result<Mark, StoreError> {
        self.ports.store.clock_mark().await
    }
}
