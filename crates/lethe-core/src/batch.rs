//! The protocol by which the forgetting trees change (DESIGN section 6), as a typestate: each step
//! consumes the one before, so the wrong order does not compile.
//!
//! ```text
//! Current -> Rooted -> Committed -> ReadBack -> Current
//! ```
//!
//! A step that fails leaves nothing to go on with: [`Current::recover`] finds out what holds.

use std::sync::Arc;

use crate::directory::{Directory, root_aad};
use crate::identity::DeploymentId;
use crate::ports::{
    BatchCommit, Entropy, EntropyError, Hsm, HsmError, HsmKey, KeyLabel, KeyspaceChange, MetaRow,
    RootShare, Store, StoreError,
};
use crate::secret::Secret32;

/// The outside, as the use cases see it.
#[derive(Clone)]
pub struct Ports {
    /// The device.
    pub hsm: Arc<dyn Hsm>,
    /// What outlives the process.
    pub store: Arc<dyn Store>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// What nobody can tell the right of without a person: the service stops and touches nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// `lethe init` was never run, or not to its end.
    #[error("the deployment is not initialised: run `lethe init`")]
    NotInitialised,
    /// The HSM belongs to a deployment with another store.
    #[error(
        "the HSM is claimed by another store ({claimed}); this one is {ours}. If it was moved on purpose, run `lethe takeover`"
    )]
    ForeignClaim {
        /// What the HSM says.
        claimed: String,
        /// What this store is.
        ours: String,
    },
    /// The claim is gone from the HSM.
    #[error("the HSM holds no claim of this deployment: is it the right HSM?")]
    NoClaim,
    /// The store's root is not in the HSM, or does not open the directory key.
    #[error(
        "the store's root {0} does not open in the HSM: an old copy of the store, or the wrong HSM. Nothing was destroyed"
    )]
    RootDoesNotOpen(String),
    /// Directory and root do not belong together.
    #[error(
        "the directory of the store does not open: the store is damaged. Nothing was destroyed"
    )]
    DirectoryDoesNotOpen,
    /// Tables and directory name different key versions.
    #[error("keyspaces and directory of the store disagree: the store is damaged")]
    DirectoryDisagrees,
    /// An unexpired bucket's key is not in the HSM.
    #[error(
        "the HSM lacks the key of the bucket that expires at {0} (Unix seconds): an old copy of the store or of the HSM. Nothing was destroyed"
    )]
    BucketKeyMissing(u64),
    /// An unexpired bucket does not open.
    #[error(
        "the bucket that expires at {0} (Unix seconds) does not open in the HSM: store or HSM is damaged"
    )]
    BucketDoesNotOpen(u64),
    /// A root that should be gone, or that nobody knows of, is in the HSM.
    #[error(
        "root {0} is in the HSM beside the current one: another leader, or a destroy that did not destroy"
    )]
    ForeignRoot(String),
}

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Trying again may help, after [`Current::recover`].
    #[error(transparent)]
    Hsm(#[from] HsmError),
    /// Trying again may help, after [`Current::recover`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Trying again may help.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// A person has to look.
    #[error(transparent)]
    Halt(#[from] Halt),
}

/// The state that the store and the HSM agree on, and no other root beside it.
pub struct Current {
    deployment: DeploymentId,
    /// This leader's.
    epoch: u64,
    sequence: u64,
    directory: Directory,
}

/// A new root is in the HSM; nothing names it yet.
pub struct Rooted {
    current: Current,
    root: HsmKey,
}

/// The store names the new root; the old one still lives.
pub struct Committed {
    deployment: DeploymentId,
    epoch: u64,
    sequence: u64,
    root: HsmKey,
}

/// The new state was read and opened as a restart would.
pub struct ReadBack {
    committed: Committed,
    directory: Directory,
}

impl Current {
    /// Finds out what holds, after a start or an error: opens the store's root in the HSM first,
    /// and only then finishes what a batch may have left unfinished.
    ///
    /// # Errors
    /// [`Halt`] when the store's root does not open; then nothing was destroyed.
    pub async fn recover(ports: &Ports) -> Result<Self, BatchError> {
        let deployment = ports
            .store
            .deployment()
            .await?
            .ok_or(Halt::NotInitialised)?;
        let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
        check_claim(ports, deployment).await?;
        let roots = roots(ports, deployment).await?;
        let root = roots
            .iter()
            .find(|(key, _)| key.id == meta.share.root)
            .ok_or_else(|| Halt::RootDoesNotOpen(meta.share.root.to_string()))?;
        let newest = roots.iter().map(|(_, epoch)| *epoch).max().unwrap_or(0);
        let committed = Committed {
            deployment,
            epoch: newest.max(meta.epoch).saturating_add(1),
            sequence: meta.sequence,
            root: root.0,
        };
        committed.read_back(ports).await?.sweep(ports).await
    }

    /// Makes the first root and an empty directory. The store must have its deployment id and no
    /// meta row, the HSM its claim.
    ///
    /// # Errors
    /// Those of the ports; can be run again after any of them.
    pub async fn first(ports: &Ports, deployment: DeploymentId) -> Result<Self, BatchError> {
        let none = Self {
            deployment,
            epoch: 1,
            sequence: 0,
            directory: Directory::default(),
        };
        none.run(ports, Vec::new(), |_| {}).await
    }

    /// One batch: changes the directory, under a new root, and makes the old one unreadable.
    ///
    /// # Errors
    /// After any error only [`Self::recover`] tells whether the change was made.
    pub async fn run(
        self,
        ports: &Ports,
        keyspaces: Vec<KeyspaceChange>,
        change: impl FnOnce(&mut Directory) + Send,
    ) -> Result<Self, BatchError> {
        let mut rooted = self.new_root(ports).await?;
        change(&mut rooted.current.directory);
        let committed = rooted.commit(ports, keyspaces).await?;
        committed.read_back(ports).await?.sweep(ports).await
    }

    /// All key versions and their secrets.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
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

    async fn new_root(self, ports: &Ports) -> Result<Rooted, BatchError> {
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

impl Rooted {
    /// Draws the directory key, seals, and writes all in one transaction.
    async fn commit(
        self,
        ports: &Ports,
        keyspaces: Vec<KeyspaceChange>,
    ) -> Result<Committed, BatchError> {
        let Current {
            deployment,
            epoch,
            sequence,
            directory,
        } = self.current;
        let sequence = sequence + 1;
        let key = Secret32::try_filled(|bytes| ports.entropy.fill(bytes))?;
        let aad = root_aad(deployment, sequence, self.root.id);
        let sealed = ports.hsm.seal(self.root, &aad, &key).await?;
        let meta = MetaRow {
            sequence,
            epoch,
            share: RootShare {
                root: self.root.id,
                sealed,
            },
            directory: directory.seal(&key, deployment, sequence),
        };
        ports
            .store
            .commit_batch(&BatchCommit { meta, keyspaces })
            .await?;
        Ok(Committed {
            deployment,
            epoch,
            sequence,
            root: self.root,
        })
    }
}

impl Committed {
    /// Reads what was written and opens it through the root in the HSM.
    async fn read_back(self, ports: &Ports) -> Result<ReadBack, BatchError> {
        let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
        let unopened = || Halt::RootDoesNotOpen(self.root.id.to_string());
        if meta.sequence != self.sequence || meta.share.root != self.root.id {
            return Err(unopened().into());
        }
        let aad = root_aad(self.deployment, self.sequence, self.root.id);
        let opened = ports.hsm.open(self.root, &aad, &meta.share.sealed).await;
        let key = opened.map_err(|error| match error {
            HsmError::DoesNotOpen | HsmError::NotFound => BatchError::Halt(unopened()),
            other => other.into(),
        })?;
        let directory = Directory::open(&meta.directory, &key, self.deployment, self.sequence)
            .map_err(|_| Halt::DirectoryDoesNotOpen)?;
        Ok(ReadBack {
            committed: self,
            directory,
        })
    }
}

impl ReadBack {
    /// Destroys every other root up to our epoch, and makes sure that none is left.
    async fn sweep(self, ports: &Ports) -> Result<Current, BatchError> {
        let Committed {
            deployment,
            epoch,
            sequence,
            root,
        } = self.committed;
        check_claim(ports, deployment).await?;
        for (other, of_epoch) in roots(ports, deployment).await? {
            if other.id != root.id && of_epoch <= epoch {
                destroy(ports, other).await?;
            }
        }
        let left = roots(ports, deployment).await?;
        match left.iter().find(|(key, _)| key.id != root.id) {
            Some((key, _)) => Err(Halt::ForeignRoot(key.id.to_string()).into()),
            None => Ok(Current {
                deployment,
                epoch,
                sequence,
                directory: self.directory,
            }),
        }
    }
}

/// Gone already is as good.
pub(crate) async fn destroy(ports: &Ports, key: HsmKey) -> Result<(), HsmError> {
    match ports.hsm.destroy(key).await {
        Err(HsmError::NotFound) => Ok(()),
        done => done,
    }
}

/// All roots of the deployment with their epochs.
async fn roots(ports: &Ports, deployment: DeploymentId) -> Result<Vec<(HsmKey, u64)>, HsmError> {
    let keys = ports.hsm.keys(deployment).await?;
    let epoch = |key: HsmKey| match key.label {
        KeyLabel::Root { epoch, .. } => Some((key, epoch)),
        KeyLabel::Bucket { .. } => None,
    };
    Ok(keys.into_iter().filter_map(epoch).collect())
}

/// The HSM must name our store.
pub(crate) async fn check_claim(ports: &Ports, deployment: DeploymentId) -> Result<(), BatchError> {
    let ours = ports.store.instance();
    match ports.hsm.claim(deployment).await? {
        Some(claimed) if claimed == ours => Ok(()),
        Some(claimed) => Err(Halt::ForeignClaim {
            claimed,
            ours: ours.to_owned(),
        }
        .into()),
        None => Err(Halt::NoClaim.into()),
    }
}
