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

/// A change that someone waits for.
pub(super) enum Command {
    /// Makes a keyspace or replaces its settings.
    PutKeyspace(KeyspaceName, Box<Settings>, Answer<Put>),
    /// A new key version.
    Rotate(KeyspaceName, Answer<()>),
    /// A new root.
    RotateRoot(Answer<()>),
    /// To the other HSM.
    MoveHsm(Option<ApprovalDecision>, Answer<()>),
    /// The wall clock is right.
    ConfirmClock(Option<ApprovalDecision>, Answer<ClockConfirmed>),
}

/// Settings of a keyspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Of this keyspace alone, whoever bears the name; none for any, and for a new one.
    pub keyspace: Option<KeyspaceId>,
    /// Counts for keys issued from now on; none leaves that of a keyspace as it is.
    pub policy: Option<Policy>,
    /// The policy that it takes the place of; none for any.
    pub expected: Option<Policy>,
    /// Older versions are refused; none leaves it as it is.
    pub minimum_version: Option<KeyVersion>,
    /// A second operator's approval, given in the transaction that sets them.
    pub approval: Option<ApprovalDecision>,
}

/// What a `PUT` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Created,
    /// It was there.
    Updated {
        /// Whether anything lives longer than before.
        lengthened: bool,
    },
}

/// What a confirmation of the clock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockConfirmed {
    /// What was doubted; nothing was done where nothing was.
    pub was: Option<Doubt>,
    /// The service's time then.
    pub now: Timestamp,
    /// By how much it is ahead of the wall clock.
    pub lag: Duration,
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
    /// No keyspace of this name.
    #[error("no such keyspace")]
    UnknownKeyspace,
    /// Its erase is accepted and not done.
    #[error("the keyspace is being erased")]
    BeingErased,
    /// Its erase is accepted or not: nobody knows yet.
    #[error("an erase of the keyspace is just being accepted, or not: ask again")]
    MayBeErased,
    /// A second operator has to approve this first: nothing was changed.
    #[error("a second operator has to approve it")]
    NeedsApproval(Box<Action>, Option<Scope>),
    /// The approval was withdrawn, has ended, or was given before.
    #[error("the approval does not wait any more")]
    NotWaiting,
    /// The settings are others than those when it was asked for.
    #[error("the settings have changed since it was asked for: ask again")]
    Outdated,
    /// It waits for a second operator, and the rest of the call must not.
    #[error(
        "minimum_version waits for a second operator: set it alone, other settings before or after"
    )]
    SetAlone,
    /// The newest version would be refused, or refused versions would open again by one operator.
    #[error(
        "minimum_version is the newest version at most; two operators can lower it ([approvals] required)"
    )]
    MinimumVersion,
    /// As many versions live as may.
    #[error("{0} key versions live, and no more may: old ones go with their last bucket")]
    TooManyVersions(usize),
    /// The configuration names one alone.
    #[error("the service's configuration names no HSM to move to: add [hsm_next] and restart it")]
    NoOtherHsm,
    /// The HSM to move to cannot be used.
    #[error("the HSM of [hsm_next]: {0}")]
    OtherHsm(HsmError),
    /// The HSM to move to must not be used.
    #[error(transparent)]
    HsmMoveError(HsmMoveError),
    /// Store or HSM failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

impl KeeperError {
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

    /// Makes a keyspace or replaces its settings; its first buckets are ready when it answers.
    /// Runs to its end even when nobody waits any more.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn put_keyspace(
        &self,
        name: KeyspaceName,
        settings: Settings,
    ) -> Result<Put, KeeperError> {
        self.ask(|answer| Command::PutKeyspace(name, Box::new(settings), answer))
            .await
    }

    /// Makes a new key version, which new issues use from then on.
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

    /// Begins to move everything to the HSM of `[hsm_next]`, or finds it begun. It goes on by itself,
    /// after a restart as well. Without an approval where one is required nothing begins.
    ///
    /// # Errors
    /// [`KeeperError`].
    pub async fn move_hsm(&self, approval: Option<ApprovalDecision>) -> Result<(), KeeperError> {
        self.ask(|answer| Command::MoveHsm(approval, answer)).await
    }

    /// Believes the wall clock, though it jumped. A jump ahead wants an approval where one is required.
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
