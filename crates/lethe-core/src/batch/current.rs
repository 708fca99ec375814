//! The state that the store and the HSM agree on; step 1; and recovery.

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

/// The state that the store and the HSM agree on, and no other root beside it.
pub struct Current {
    pub(super) deployment: DeploymentId,
    /// This leader's.
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    /// Signs receipts.
    pub(super) signing_key: HsmKeyId,
    /// None before the first batch.
    pub(super) root: Option<HsmKey>,
    pub(super) directory: Directory,
}

/// What a recovery found.
pub struct Recovered {
    /// The state.
    pub current: Current,
    /// A batch that was done but for its signature.
    pub finished: Option<Finished>,
}

impl Current {
    /// Finds out what holds, after a start or an error: opens the store's root in the HSM first,
    /// and only then finishes what a batch may have left unfinished, from the barrier on.
    ///
    /// # Errors
    /// [`Halt`] when the store's root does not open; then nothing was destroyed.
    pub async fn recover(node: Node<'_>) -> Result<Recovered, BatchError> {
        let (current, finished) = Self::found(node.ports).await?.finish(node).await?;
        Ok(Recovered { current, finished })
    }

    /// The same where another process may not have noticed yet that the store is not its own any more:
    /// it may be about to destroy the root that the store names. Nothing is destroyed before the store
    /// names a root that only this process knows of.
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

    /// What the store names.
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
            // All: these rows have lain where others may write.
            sample: unsigned.iter().flat_map(Unsigned::leaves).collect(),
            erasures: Vec::new(),
            unsigned,
        })
    }

    /// Makes the first root and an empty directory. The store must have its deployment id and no
    /// meta row, the HSM its claim and signing keys.
    ///
    /// # Errors
    /// Those of the ports; can be run again after any of them.
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

    /// One batch: does the work under a new root, and makes the old one unreadable.
    ///
    /// # Errors
    /// After any error only [`Self::recover`] tells whether the work was done.
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

    /// What the directory says of the store's other rows.
    #[must_use]
    pub const fn commitments(&self) -> Option<&Commitments> {
        self.directory.commitments()
    }

    /// Whose state this is.
    #[must_use]
    pub const fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// Batches so far.
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

    /// Step 1. Whoever has lost its root to another copy of the store makes no other.
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
