use std::time::Duration;

use lethe_core::approval::{Action, ApprovalDecision, Scope};
use lethe_core::batch::BatchError;
use lethe_core::clock::Doubt;
use lethe_core::hsm_move::HsmMoveError;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyspace::{KeyVersion, KeyspaceName, Policy};
use lethe_core::ports::HsmError;
use lethe_core::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

type Answer<T> = oneshot::Sender<Result<T, KeeperError>>;

/// A change, and the channel for its answer.
pub(super) enum Command {
    /// Makes a keyspace or replaces its settings.
    PutKeyspace(KeyspaceName, Box<Settings>, Answer<PutOutcome>),
    /// Makes a new key version of a keyspace.
    Rotate(KeyspaceName, Answer<()>),
    /// Makes a new root.
    RotateRoot(Answer<()>),
    /// Begins the move to the second HSM.
    MoveHsm(Option<ApprovalDecision>, Answer<()>),
    /// Confirms the wall clock.
    ConfirmClock(Option<ApprovalDecision>, Answer<ClockConfirmed>),
}

/// Settings of a keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The id that the keyspace must have; none if any keyspace of the name, or a new one, will do.
    pub keyspace: Option<KeyspaceId>,
    /// The policy for keys that are issued from now on; none leaves the present policy.
    pub policy: Option<Policy>,
    /// The policy that the keyspace must have before; none if any will do.
    pub expected: Option<Policy>,
    /// Keys of older versions are refused; none leaves the present minimum.
    pub minimum_version: Option<KeyVersion>,
    /// The decision of a second operator. The transaction that sets the settings also approves the approval.
    pub approval: Option<ApprovalDecision>,
}

/// What a `PUT` of a keyspace did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It made the keyspace.
    Created,
    /// It changed the settings of the keyspace.
    Updated {
        /// Whether keys or their leases live longer than before.
        lengthened: bool,
    },
}

/// What a confirmation of the clock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockConfirmed {
    /// The doubt that was confirmed away; none if the clock was not in doubt, and then nothing was done.
    pub was: Option<Doubt>,
    /// The service's time after it.
    pub now: Timestamp,
    /// How far the service's time is ahead of the wall clock.
    pub lag: Duration,
}

/// Why a change was not made, or may not have been made.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The HSM has no room for the buckets.
    #[error("needs {needed} objects in the HSM, which may hold {limit}")]
    TooManyBuckets {
        /// The number of objects after the change.
        needed: u64,
        /// The value of `hsm.max_objects`.
        limit: u64,
    },
    /// There is no keyspace of this name.
    #[error("no such keyspace")]
    UnknownKeyspace,
    /// The erase of the keyspace is accepted and not done yet.
    #[error("the keyspace is being erased")]
    BeingErased,
    /// An erase of the keyspace is being written: it may be accepted or not.
    #[error("an erase of the keyspace is just being accepted, or not: ask again")]
    MayBeErased,
    /// A second operator has to approve this first: nothing was changed.
    #[error("a second operator has to approve it")]
    NeedsApproval(Box<Action>, Option<Scope>),
    /// The approval was withdrawn, has ended, or was approved before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// The settings have changed since the approval was asked for.
    #[error("the settings have changed since it was asked for: ask again")]
    Outdated,
    /// The minimum version needs an approval, and the other settings of the call do not.
    #[error(
        "minimum_version waits for a second operator: set it alone, other settings before or after"
    )]
    SetAlone,
    /// The newest version would be refused; or the minimum would be lowered by one operator alone.
    #[error(
        "minimum_version is the newest version at most; two operators can lower it ([approvals] required)"
    )]
    MinimumVersion,
    /// The keyspace has as many live versions as it may have.
    #[error("{0} key versions live, and no more may: old ones go with their last bucket")]
    TooManyVersions(usize),
    /// The configuration names no second HSM.
    #[error("the service's configuration names no HSM to move to: add [hsm_next] and restart it")]
    NoOtherHsm,
    /// The second HSM cannot be opened.
    #[error("the HSM of [hsm_next]: {0}")]
    OtherHsm(HsmError),
    /// The move is refused.
    #[error(transparent)]
    HsmMoveError(HsmMoveError),
    /// The store or the HSM failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

impl KeeperError {
    /// Whether the HSM is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Batch(BatchError::Hsm(HsmError::Full)))
    }
}

/// Sends commands to the keeper.
#[derive(Clone)]
pub struct KeeperHandle(mpsc::Sender<Command>);

impl KeeperHandle {
    /// A handle, and the channel from which the keeper receives its commands.
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), receiver)
    }

    /// Makes a keyspace or replaces its settings. Its first buckets exist when this returns. The change is
    /// completed even if the caller does not wait any more.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn put_keyspace(
        &self,
        name: KeyspaceName,
        settings: Settings,
    ) -> Result<PutOutcome, KeeperError> {
        self.ask(|answer| Command::PutKeyspace(name, Box::new(settings), answer))
            .await
    }

    /// Makes a new key version. Keys are issued from it from then on.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn rotate(&self, name: KeyspaceName) -> Result<(), KeeperError> {
        self.ask(|answer| Command::Rotate(name, answer)).await
    }

    /// Replaces the root in the HSM.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn rotate_root(&self) -> Result<(), KeeperError> {
        self.ask(Command::RotateRoot).await
    }

    /// Begins the move to the HSM of `[hsm_next]`; does nothing if it has begun. The keeper then moves
    /// everything by itself, also after a restart. It does not begin without an approval if one is required.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn move_hsm(&self, approval: Option<ApprovalDecision>) -> Result<(), KeeperError> {
        self.ask(|answer| Command::MoveHsm(approval, answer)).await
    }

    /// Confirms the wall clock after a jump. A jump ahead needs an approval if approvals are required.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn confirm_clock(
        &self,
        approval: Option<ApprovalDecision>,
    ) -> Result<ClockConfirmed, KeeperError> {
        self.ask(|answer| Command::ConfirmClock(approval, answer))
            .await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, KeeperError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send(command(answer)).await;
        sent.map_err(|_| KeeperError::Stopping)?;
        answered.await.map_err(|_| KeeperError::Stopping)?
    }
}
