use lethe_core::batch::BatchError;
use lethe_core::keyspace::{KeyspaceName, Policy};
use lethe_core::ports::HsmError;
use tokio::sync::{mpsc, oneshot};

/// A change that someone waits for.
pub(super) enum Command {
    /// Makes a keyspace or replaces its policy.
    PutKeyspace(
        KeyspaceName,
        Policy,
        oneshot::Sender<Result<Put, KeeperError>>,
    ),
}

/// What a `PUT` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was there.
    Updated,
}

/// Why a change was not made, or not for certain.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The HSM has no room for the buckets.
    #[error("needs {needed} objects in the HSM, which may hold {limit}")]
    TooManyBuckets {
        /// Objects with the change.
        needed: u64,
        /// `hsm.max_objects`.
        limit: u64,
    },
    /// Store or HSM failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

impl KeeperError {
    /// Whether the HSM is to blame.
    #[must_use]
    pub const fn is_hsm(&self) -> bool {
        matches!(self, Self::Batch(BatchError::Hsm(_)))
    }

    /// Whether the device is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Batch(BatchError::Hsm(HsmError::Full)))
    }
}

/// Asks the keeper.
#[derive(Clone)]
pub struct KeeperHandle(mpsc::Sender<Command>);

impl KeeperHandle {
    /// A handle, and where the keeper hears it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), receiver)
    }

    /// Makes a keyspace or replaces its policy; its first buckets are ready when it answers. Runs
    /// to its end even when nobody waits any more.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn put_keyspace(
        &self,
        name: KeyspaceName,
        policy: Policy,
    ) -> Result<Put, KeeperError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::PutKeyspace(name, policy, answer);
        self.0
            .send(command)
            .await
            .map_err(|_| KeeperError::Stopping)?;
        answered.await.map_err(|_| KeeperError::Stopping)?
    }
}
