//! The present state; step 1; and recovery.

use super::commit::{Committed, Rooted};
use super::finished::Finished;
use super::read_back::Acknowledged;
use super::sign::Unsigned;
use super::work::Work;
use super::{BatchError, Halt, Node, Ports, check_claim, roots};
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

/// The result of a recovery.
pub struct Recovered {
    /// The present state.
    pub current: Current,
    /// A batch that only lacked its signature; it is signed now.
    pub finished: Option<Finished>,
}

impl Current {
    /// Finds out the present state after a start or an error. Opens the directory key through the store's
    /// root in the HSM first, and only then finishes an unfinished batch, from the barrier on.
    ///
    /// # Errors
    /// [`Halt`] if the store's root does not open the directory key; then nothing was destroyed.
    pub async fn recover(node: Node<'_>) -> Result<Recovered, BatchError> {
        let (current, finished) = Self::found(node.ports).await?.finish(node).await?;
        Ok(Recovered { current, finished })
    }

    /// As [`Self::recover`], if another process may not know yet that it has lost the store: that process may
    /// be about to destroy the root that the store names. So nothing is destroyed before the store names a
    /// root that only this process knows.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub async fn take_over(node: Node<'_>) -> Result<Recovered, BatchError> {
        let mut acknowledged = Self::found(node.ports).await?.acknowledged(node).await?;
        let unsigned = acknowledged.committed.unsigned.take();
        let (current, _) = acknowledged.unswept().run(node, Work::default()).await?;
        let finished = match unsigned {
            Some(unsigned) => Some(unsigned.sign(node.ports, &current).await?),
            None => None,
        };
        Ok(Recovered { current, finished })
    }

    /// The state that the store names.
    async fn found(ports: &Ports) -> Result<Committed, BatchError> {
        let deployment = ports.store.deployment().await?;
        let deployment = deployment.ok_or(Halt::NotInitialised)?;
        let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
        check_claim(ports, deployment).await?;
        let signing_key = signing_key(ports, deployment).await?;
        let roots = roots(ports, deployment).await?;
        let root = roots
            .iter()
            .find(|(key, _)| key.id == meta.share.root)
            .ok_or_else(|| Halt::RootDoesNotOpen(meta.share.root.to_string()))?;
        let newest = roots.iter().map(|(_, epoch)| *epoch).max().unwrap_or(0);
        let unsigned = Unsigned::find(ports).await?;
        Ok(Committed {
            deployment,
            epoch: newest.max(meta.epoch).saturating_add(1),
            sequence: meta.sequence,
            signing_key,
            root: root.0,
            replaced: None,
            deltas: None,
            keyspaces_changed: true,
            dropped: Vec::new(),
            // All leaves, because others may have written to the store since.
            sample: unsigned.iter().flat_map(Unsigned::leaves).collect(),
            erasures: Vec::new(),
            unsigned,
        })
    }

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
    /// After any error only [`Self::recover`] finds out whether the work was done.
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
    async fn finish(self, node: Node<'_>) -> Result<(Current, Option<Finished>), BatchError> {
        let swept = self.acknowledged(node).await?.sweep(node.ports).await?;
        swept.sign(node.ports).await
    }

    /// Steps 4 to 6.
    async fn acknowledged(self, node: Node<'_>) -> Result<Acknowledged, BatchError> {
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
