//! Opening, which any node may do; and recovery, which is for the process that runs batches
//! (`docs/design.md#recovery`).

use super::commit::Committed;
use super::finished::Finished;
use super::lease_holders::NewState;
use super::sign::Unsigned;
use super::work::Work;
use super::{BatchError, Current, Epoch, Halt, Node, Ports, Reader, signing_key};
use crate::directory::{Directory, root_aad};
use crate::identity::DeploymentId;
use crate::ports::{HsmError, HsmKey, MetaRow, Strength};

/// The state that the store names, opened through its root in the HSM. The HSM may hold other roots, and the
/// last batch may lack its signature: batches run only on what was recovered.
///
/// ```
/// # use lethe_core::batch::{BatchError, Epoch, Node, Opened, Reader, Work};
/// # async fn lead(node: Node<'_>) -> Result<(), BatchError> {
/// let epoch = Epoch::next(node.ports).await?;
/// let opened = Opened::open(Reader::of(node.ports)).await?;
/// let recovered = opened.recover(node, epoch).await?;
/// recovered.current.run(node, Work::default()).await?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail
/// # use lethe_core::batch::{BatchError, Node, Opened, Reader, Work};
/// # async fn lead(node: Node<'_>) -> Result<(), BatchError> {
/// let opened = Opened::open(Reader::of(node.ports)).await?;
/// opened.run(node, Work::default()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Opened {
    deployment: DeploymentId,
    sequence: u64,
    root: HsmKey,
    directory: Directory,
}

/// The result of a recovery.
pub struct Recovered {
    /// The present state.
    pub current: Current,
    /// A batch that only lacked its signature; it is signed now.
    pub finished: Option<Finished>,
}

impl Opened {
    /// Opens the directory through the store's own root, and checks rows that were read before. Changes
    /// nothing, so that it may be called beside a process that runs batches.
    ///
    /// # Errors
    /// [`Halt`] if the store's root does not open the directory key, or the directory does not open.
    pub async fn open(reader: Reader<'_>) -> Result<Self, BatchError> {
        let deployment = reader.deployment().await?;
        let mut meta = reader.meta().await?;
        loop {
            let opened = Self::named_by(reader, deployment, &meta).await;
            let Err(BatchError::Halt(_)) = opened else {
                return opened;
            };
            // A batch may have replaced the root since the row was read: look again.
            let present = reader.meta().await?;
            if present == meta {
                return opened;
            }
            meta = present;
        }
    }

    async fn named_by(
        reader: Reader<'_>,
        deployment: DeploymentId,
        meta: &MetaRow,
    ) -> Result<Self, BatchError> {
        let directory = open_directory(reader, deployment, meta).await?;
        authenticate(reader, &directory).await?;
        Ok(Self {
            deployment,
            sequence: meta.sequence,
            root: meta.root(deployment),
            directory,
        })
    }

    /// The node serves this state. Enough copies have to hold it: see
    /// [`Strength::Answered`](crate::ports::Strength::Answered).
    ///
    /// # Errors
    /// Of the store; a [`Halt`] if it is not what the directory commits to.
    pub async fn serve(&self, node: Node<'_>) -> Result<(), BatchError> {
        node.ports.store.barrier(Strength::Answered).await?;
        let state = NewState {
            sequence: self.sequence,
            directory: &self.directory,
            deltas: None,
            keyspaces_changed: true,
            dropped: Vec::new(),
        };
        node.holders.advance(state).await
    }

    /// Finishes the last batch, from the barrier on: reads everything again, destroys all other roots, and
    /// signs the batch if it has no signature.
    ///
    /// # Errors
    /// [`Halt`] if a person has to look. Behind any error the state has to be opened again.
    pub async fn recover(self, node: Node<'_>, epoch: Epoch) -> Result<Recovered, BatchError> {
        let committed = self.committed(node.ports, epoch).await?;
        let (current, finished) = committed.finish(node).await?;
        Ok(Recovered { current, finished })
    }

    /// As [`Self::recover`], if another process may not know yet that it has lost the store: that process may
    /// be about to destroy the root that the store names. So nothing is destroyed before the store names a
    /// root that only this process knows.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub async fn take_over(self, node: Node<'_>, epoch: Epoch) -> Result<Recovered, BatchError> {
        let committed = self.committed(node.ports, epoch).await?;
        let mut acknowledged = committed.acknowledged(node).await?;
        let unsigned = acknowledged.committed.unsigned.take();
        let (current, _) = acknowledged.unswept().run(node, Work::default()).await?;
        let finished = match unsigned {
            Some(unsigned) => Some(unsigned.sign(node.ports, &current).await?),
            None => None,
        };
        Ok(Recovered { current, finished })
    }

    /// As after step 3 of the batch that led to this state.
    async fn committed(self, ports: &Ports, epoch: Epoch) -> Result<Committed, BatchError> {
        let signing_key = signing_key(ports, self.deployment).await?;
        let unsigned = Unsigned::find(ports).await?;
        Ok(Committed {
            deployment: self.deployment,
            epoch: epoch.0,
            sequence: self.sequence,
            signing_key,
            root: self.root,
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

    /// The deployment.
    #[must_use]
    pub const fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The number of the batch that led to this state.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// All key versions and their secrets.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// Opens the directory of a meta row through the row's root in the HSM.
pub(super) async fn open_directory(
    reader: Reader<'_>,
    deployment: DeploymentId,
    meta: &MetaRow,
) -> Result<Directory, BatchError> {
    let (root, sequence) = (meta.root(deployment), meta.sequence);
    let aad = root_aad(deployment, sequence, root.id);
    let opened = reader.open(root, &aad, &meta.share.sealed).await;
    let key = opened.map_err(|error| match error {
        HsmError::DoesNotOpen | HsmError::NotFound => {
            BatchError::Halt(Halt::RootDoesNotOpen(root.id.to_string()))
        }
        other => other.into(),
    })?;
    let directory = Directory::open(&meta.directory, &key, deployment, sequence);
    Ok(directory.map_err(|_| Halt::DirectoryDoesNotOpen)?)
}

/// Checks rows that were read before the directory was open.
pub(super) async fn authenticate(
    reader: Reader<'_>,
    directory: &Directory,
) -> Result<(), BatchError> {
    let Some(commitments) = directory.commitments() else {
        return Ok(());
    };
    reader.authenticate(&commitments.key()).await?;
    if reader.clock_mark().await?.high_water < Some(commitments.time) {
        return Err(Halt::Altered("deployment: the clock's mark".into()).into());
    }
    Ok(())
}
