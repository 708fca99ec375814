//! The present state, and step 1.

use super::commit::{Committed, Rooted};
use super::finished::Finished;
use super::read_back::Acknowledged;
use super::work::Work;
use super::{BatchError, Halt, Node, Ports};
use crate::directory::{Commitments, Directory};
use crate::hsm_move::newest;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::ports::{HsmKey, KeyLabel, SigningPurpose};

/// The state on which store and HSM agree. The HSM has no other root of the deployment.
pub struct Current {
    pub(super) deployment: DeploymentId,
    /// The epoch of this process.
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// The key that signs receipts.
    pub(super) signing_key: HsmKeyId,
    /// The root in the HSM; none before the first batch.
    pub(super) root: Option<HsmKey>,
    pub(super) directory: Directory,
}

impl Current {
    /// Makes the first root and an empty directory. The store must have its deployment id and no meta row,
    /// and the HSM must have its claim and its signing keys.
    ///
    /// # Errors
    /// Those of the ports. It can be called again after each of them.
    pub async fn first(node: Node<'_>, deployment: DeploymentId) -> Result<Self, BatchError> {
        let none = Self {
            deployment,
            epoch: 1,
            sequence: 0,
            signing_key: signing_key(node.ports, deployment).await?,
            root: None,
            directory: Directory::default(),
        };
        Ok(none.run(node, Work::default()).await?.0)
    }

    /// Runs one batch: does the work under a new root, and destroys the old root.
    ///
    /// # Errors
    /// After any error only [`Opened::recover`](super::Opened::recover) finds out whether the work was done.
    pub async fn run(
        self,
        node: Node<'_>,
        work: Work,
    ) -> Result<(Self, Option<Finished>), BatchError> {
        let rooted = self.new_root(node.ports).await?;
        rooted.commit(node, work).await?.finish(node).await
    }

    /// All key versions and their secrets.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What the directory commits to; none before an upgraded deployment's first batch.
    #[must_use]
    pub const fn commitments(&self) -> Option<&Commitments> {
        self.directory.commitments()
    }

    /// The deployment.
    #[must_use]
    pub const fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The number of the last batch.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The root in the HSM; none before the first batch.
    #[must_use]
    pub const fn root(&self) -> Option<HsmKeyId> {
        match self.root {
            Some(root) => Some(root.id),
            None => None,
        }
    }

    /// The key that signs receipts.
    #[must_use]
    pub const fn signing_key(&self) -> HsmKeyId {
        self.signing_key
    }

    /// Step 1. If the present root is gone, another copy of the store is served, and no root is made.
    async fn new_root(self, ports: &Ports) -> Result<Rooted, BatchError> {
        if let Some(root) = self.root
            && !ports.hsm.holds(root).await?
        {
            return Err(Halt::OwnRootGone(root.id.to_string()).into());
        }
        let label = KeyLabel::Root {
            deployment: self.deployment,
            sequence: self.sequence + 1,
            epoch: self.epoch,
        };
        let root = ports.hsm.create_key(label).await?;
        Ok(Rooted {
            current: self,
            root,
        })
    }
}

impl Committed {
    /// Steps 4 to 8.
    pub(super) async fn finish(
        self,
        node: Node<'_>,
    ) -> Result<(Current, Option<Finished>), BatchError> {
        let swept = self.acknowledged(node).await?.sweep(node.ports).await?;
        swept.sign(node.ports).await
    }

    /// Steps 4 to 6.
    pub(super) async fn acknowledged(self, node: Node<'_>) -> Result<Acknowledged, BatchError> {
        let flushed = self.flush(node.ports).await?;
        let read_back = flushed.read_back(node.ports).await?;
        read_back.acknowledge(node).await
    }
}

/// The key that signs receipts.
pub(crate) async fn signing_key(
    ports: &Ports,
    deployment: DeploymentId,
) -> Result<HsmKeyId, BatchError> {
    let published = ports.store.signing_keys().await?;
    let held = ports.hsm.verification_keys(deployment).await?;
    let newest = newest(&published, &held, SigningPurpose::Receipt);
    Ok(newest.ok_or(Halt::NoSigningKey)?.id)
}
