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

/// The time from a failed step to the next try.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The HSMs of the keeper, and the move between them.
pub(super) struct Hsms {
    /// The devices that the HSM of the ports stands for: one, or two during a move.
    devices: Arc<Devices>,
    /// The HSMs of the configuration, and the progress that is shown.
    moves: Arc<HsmMoves>,
    /// The move that is under way, if there is one.
    moving: Option<Moving>,
    /// The number of objects that the HSM for new keys may hold.
    pub(super) max_objects: u64,
}

impl Hsms {
    /// The state at the start of the process.
    pub(super) fn new(devices: Arc<Devices>, moves: Arc<HsmMoves>, max_objects: u64) -> Self {
        Self {
            moving: devices.pair().map(|_| Moving::resumed()),
            devices,
            moves,
            max_objects,
        }
    }
}

/// A move to another HSM that is under way.
#[derive(Default)]
struct Moving {
    /// The buckets that are still in the old HSM; none if that is not known.
    remaining: Option<Vec<Expiry>>,
    /// Whether the new signing keys are published and used.
    published: bool,
    /// When the next step may be taken, by the time since boot.
    retry_at: Duration,
}

impl Moving {
    /// A move that an earlier process began: the keys are published and used already.
    fn resumed() -> Self {
        Self {
            published: true,
            ..Self::default()
        }
    }
}

impl Keeper {
    /// Begins a move to the second HSM of the configuration. The keeper takes its steps between its other work.
    pub(super) async fn begin_move(
        &mut self,
        approval: Option<&ApprovalDecision>,
    ) -> Result<(), KeeperError> {
        if self.hsms.moving.is_some() {
            return Ok(());
        }
        self.maintain().await?;
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
        self.check_capacity_of(limit)?;
        if self.handles.permissions.required() && approval.is_none() {
            let action = Box::new(Action::MoveHsm);
            return Err(KeeperError::NeedsApproval(action, None));
        }
        let approval = approval.map(|decision| (self.handles.permissions.store.as_ref(), decision));
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
        self.hsms.moves.update(|progress| {
            progress.state = MoveState::Moving;
            progress.buckets = buckets;
        });
        Ok(())
    }

    /// Whether the next step may be taken.
    pub(super) fn move_is_due(&self) -> bool {
        let now = self.ports.clock.since_boot();
        self.hsms
            .moving
            .as_ref()
            .is_some_and(|it| it.retry_at <= now)
    }

    /// Takes one step. A step that failed is tried again later.
    pub(super) async fn advance_migration(&mut self) -> Result<(), Halt> {
        match self.move_step().await {
            Ok(()) => {
                self.hsms.moves.update(|progress| progress.trouble = None);
                Ok(())
            }
            Err(BatchError::Halt(halt)) => Err(halt),
            Err(error) => {
                tracing::warn!(%error, "a step of the move to another HSM failed; trying again");
                let retry_at = self.ports.clock.since_boot() + RETRY_INTERVAL;
                if let Some(moving) = &mut self.hsms.moving {
                    moving.retry_at = retry_at;
                    // Some of its buckets may have moved.
                    moving.remaining = None;
                }
                let trouble = Some(error.to_string());
                self.hsms
                    .moves
                    .update(|progress| progress.trouble = trouble);
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
        self.recover().await?;
        let remaining = self.hsms.moving.as_mut();
        let remaining = remaining.and_then(|it| it.remaining.take());
        let mut remaining = match remaining {
            Some(remaining) => remaining,
            None => self.buckets.in_hsm(pair.from.as_ref()).await?,
        };
        if !remaining.is_empty() {
            let mut usable = Vec::new();
            let (buckets, ports) = (&mut self.buckets, &self.ports);
            let moved = buckets
                .move_some(ports, &pair, &mut remaining, &mut usable)
                .await;
            self.handles.node.key_state.add_buckets(usable);
            self.show_progress(remaining.len());
            moved?;
            if let Some(moving) = &mut self.hsms.moving
                && !remaining.is_empty()
            {
                moving.remaining = Some(remaining);
            }
            return Ok(());
        }
        self.show_progress(0);
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
                .update(|progress| progress.state = MoveState::Moved);
        }
        Ok(())
    }

    /// Signs receipts with the new keys from now on. The old keys stay published.
    async fn use_new_signing_keys(&mut self) -> Result<(), BatchError> {
        let (store, hsm) = (self.ports.store.as_ref(), self.ports.hsm.as_ref());
        let keys = published_keys(store, hsm, self.handles.node.deployment).await?;
        // They are published before the first signature.
        self.handles
            .node
            .verification_keys
            .send_replace(keys.into());
        // The recovery signs with the new key what is not signed yet.
        self.current = None;
        self.recover().await?;
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

    fn show_progress(&self, remaining: usize) {
        let buckets = self.buckets.count();
        self.hsms.moves.update(|progress| {
            progress.buckets = buckets;
            progress.moved = buckets.saturating_sub(remaining);
        });
    }
}
