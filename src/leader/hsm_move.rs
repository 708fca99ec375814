use std::sync::Arc;
use std::time::Duration;

use lethe_core::approval::{Action, ApprovalDecision};
use lethe_core::batch::{BatchError, Halt, Work};
use lethe_core::hsm_move::{self, Devices, HsmMoveError, published_keys};
use lethe_core::ports::{Hsm, HsmError};
use lethe_core::time::Expiry;

use super::handle::KeeperError;
use super::keeper::Keeper;
use crate::leader::hsm_moves::{HsmMoves, MoveState};

/// Between two tries of a step that failed.
const BETWEEN_TRIES: Duration = Duration::from_secs(2);

/// The HSMs, and the move from one to another.
pub(super) struct Hsms {
    /// What the ports' HSM is.
    devices: Arc<Devices>,
    /// What the configuration says of HSMs.
    moves: Arc<HsmMoves>,
    /// A move that is under way.
    moving: Option<Moving>,
    /// Objects that the HSM of new keys may hold.
    pub(super) max_objects: u64,
}

impl Hsms {
    /// As they are found at a start.
    pub(super) fn new(devices: Arc<Devices>, moves: Arc<HsmMoves>, max_objects: u64) -> Self {
        Self {
            moving: devices.pair().map(|_| Moving::found()),
            devices,
            moves,
            max_objects,
        }
    }
}

/// A move to another HSM that is under way.
#[derive(Default)]
struct Moving {
    /// Buckets still in the old HSM; none when that is not known.
    left: Option<Vec<Expiry>>,
    /// The new signing keys are told and used.
    published: bool,
    /// When the next step may be tried.
    after: Duration,
}

impl Moving {
    /// Found at a start: the keys are told and used already.
    fn found() -> Self {
        Self {
            published: true,
            ..Self::default()
        }
    }
}

impl Keeper {
    /// Begins a move to the second HSM of the configuration; its steps are taken between all else.
    pub(super) async fn begin_move(
        &mut self,
        approval: Option<&ApprovalDecision>,
    ) -> Result<(), KeeperError> {
        if self.hsms.moving.is_some() {
            return Ok(());
        }
        self.upkeep().await?;
        let next = self
            .hsms
            .moves
            .opened()
            .zip(self.hsms.moves.next_max_objects());
        let (opened, limit) = next.ok_or(KeeperError::NoOtherHsm)?;
        if self.hsms.moves.progress().state == MoveState::Moved {
            return Ok(());
        }
        let to = opened.map_err(KeeperError::OtherHsm)?;
        self.check_room_in(limit)?;
        if self.handles.permissions.required() && approval.is_none() {
            let action = Box::new(Action::MoveHsm);
            return Err(KeeperError::NeedsApproval(action, None));
        }
        let approval = approval.map(|given| (self.handles.permissions.store.as_ref(), given));
        match hsm_move::begin(&self.ports, &self.hsms.devices, to, approval).await {
            Ok(()) => {}
            Err(HsmMoveError::NotWaiting) => return Err(KeeperError::NotWaiting),
            Err(HsmMoveError::Batch(error)) => return Err(error.into()),
            Err(refused) => return Err(KeeperError::HsmMoveError(refused)),
        }
        tracing::info!("the move to another HSM has begun");
        self.hsms.max_objects = limit;
        self.hsms.moving = Some(Moving::default());
        let buckets = self.buckets.count();
        self.hsms.moves.note(|progress| {
            progress.state = MoveState::Moving;
            progress.buckets = buckets;
        });
        Ok(())
    }

    /// Whether the next step may be taken.
    pub(super) fn move_is_due(&self) -> bool {
        let now = self.ports.clock.since_boot();
        self.hsms.moving.as_ref().is_some_and(|it| it.after <= now)
    }

    /// One step. What fails is tried again.
    pub(super) async fn advance_migration(&mut self) -> Result<(), Halt> {
        match self.move_step().await {
            Ok(()) => {
                self.hsms.moves.note(|progress| progress.trouble = None);
                Ok(())
            }
            Err(BatchError::Halt(halt)) => Err(halt),
            Err(error) => {
                tracing::warn!(%error, "a step of the move to another HSM failed; trying again");
                let after = self.ports.clock.since_boot() + BETWEEN_TRIES;
                if let Some(moving) = &mut self.hsms.moving {
                    moving.after = after;
                    // Some of it may be done.
                    moving.left = None;
                }
                let trouble = Some(error.to_string());
                self.hsms.moves.note(|progress| progress.trouble = trouble);
                Ok(())
            }
        }
    }

    async fn move_step(&mut self) -> Result<(), BatchError> {
        let Some(pair) = self.hsms.devices.pair() else {
            self.hsms.moving = None;
            return Ok(());
        };
        if self.hsms.moving.as_ref().is_some_and(|it| !it.published) {
            return self.use_new_signing_keys().await;
        }
        self.recovered().await?;
        let left = self.hsms.moving.as_mut().and_then(|it| it.left.take());
        let mut left = match left {
            Some(left) => left,
            None => self.buckets.in_hsm(pair.from.as_ref()).await?,
        };
        if !left.is_empty() {
            let mut usable = Vec::new();
            let (buckets, ports) = (&mut self.buckets, &self.ports);
            let moved = buckets
                .move_some(ports, &pair, &mut left, &mut usable)
                .await;
            self.handles.node.key_state.add_buckets(usable);
            self.note_moved(left.len());
            moved?;
            if let Some(moving) = &mut self.hsms.moving
                && !left.is_empty()
            {
                moving.left = Some(left);
            }
            return Ok(());
        }
        self.note_moved(0);
        if !self.root_is_in(pair.to.as_ref()).await? {
            self.batch(Work::default()).await?;
            // A new HSM that is full leaves the root in the old one.
            return match self.root_is_in(pair.to.as_ref()).await? {
                true => Ok(()),
                false => Err(HsmError::Full.into()),
            };
        }
        if hsm_move::empty(
            &self.ports,
            &self.hsms.devices,
            self.handles.node.deployment,
        )
        .await?
        {
            tracing::info!("the move to another HSM is done: the old one is empty");
            self.hsms.moving = None;
            self.hsms
                .moves
                .note(|progress| progress.state = MoveState::Moved);
        }
        Ok(())
    }

    /// Old keys stay published; receipts are signed by the new one from now on.
    async fn use_new_signing_keys(&mut self) -> Result<(), BatchError> {
        let (store, hsm) = (self.ports.store.as_ref(), self.ports.hsm.as_ref());
        let keys = published_keys(store, hsm, self.handles.node.deployment).await?;
        // Before the first signature.
        self.handles
            .node
            .verification_keys
            .send_replace(keys.into());
        // What is left unsigned is signed by the new key, too.
        self.current = None;
        self.recovered().await?;
        let current = self.current.as_ref().ok_or(Halt::NotInitialised)?;
        self.buckets.sign_with(current.signing_key());
        if let Some(moving) = &mut self.hsms.moving {
            moving.published = true;
        }
        Ok(())
    }

    async fn root_is_in(&self, hsm: &dyn Hsm) -> Result<bool, BatchError> {
        let current = self.current.as_ref().ok_or(Halt::NotInitialised)?;
        let keys = hsm.keys(current.deployment()).await?;
        Ok(keys.iter().any(|key| Some(key.id) == current.root()))
    }

    fn note_moved(&self, left: usize) {
        let buckets = self.buckets.count();
        self.hsms.moves.note(|progress| {
            progress.buckets = buckets;
            progress.moved = buckets.saturating_sub(left);
        });
    }
}
