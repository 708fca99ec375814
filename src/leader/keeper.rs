use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{
    BatchError, Current, Epoch, Finished, Halt, Opened, Ports, Reader, Recovered, Work,
};
use lethe_core::buckets::Buckets;
use lethe_core::claim::confirm;
use lethe_core::erasure::ErasureNumber;
use lethe_core::hsm_move::Devices;
use lethe_core::ports::StoreError;
use lethe_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::{Command, KeeperHandle};
use super::handles::Handles;
use super::hsm_move::Hsms;
use crate::leader::hsm_moves::HsmMoves;

/// Owns the root, the directory and the buckets of the deployment. Nothing else changes them.
pub struct Keeper {
    pub(super) ports: Ports,
    pub(super) handles: Handles,
    pub(super) hsms: Hsms,
    pub(super) limits: KeeperLimits,
    /// The state after the last batch; none after an error, until a recovery has found the state.
    pub(super) current: Option<Current>,
    pub(super) buckets: Buckets,
    pub(super) due: Due,
    commands: mpsc::Receiver<Command>,
}

/// Which work is due.
pub(super) struct Due {
    /// When the last tick was, by the time since boot.
    pub(super) last_tick: Duration,
    /// Whether the last batch failed: the next one waits for the next tick.
    pub(super) paused: bool,
    /// Whether a call of the HSM failed: its status is asked for before it counts as working again.
    pub(super) check_hsm: bool,
    /// When buckets may be made again, by the time since boot.
    pub(super) buckets_after: Duration,
    /// When old rows were last deleted.
    pub(super) last_tidy: Timestamp,
}

/// The settings of a keeper.
#[derive(Debug, Clone, Copy)]
pub struct KeeperLimits {
    /// The number of objects that the token may hold.
    pub max_objects: u64,
    /// How long receipts are kept.
    pub keep_receipts: Duration,
    /// After so many shreds a key version is replaced by a new one.
    pub rotate_after_shreds: u64,
    /// Whether no other process can work on the HSM for this deployment.
    pub is_alone: bool,
}

impl Keeper {
    /// Opens the deployment: first the root, then the directory, the keyspaces, the buckets and the open erasures.
    ///
    /// # Errors
    /// [`BatchError`]; then nothing was destroyed.
    pub async fn open(
        ports: Ports,
        handles: Handles,
        limits: KeeperLimits,
        (devices, moves): (Arc<Devices>, Arc<HsmMoves>),
    ) -> Result<(Self, KeeperHandle), BatchError> {
        let opened = Opened::open(Reader::of(&ports)).await?;
        let now = ports.clock.now();
        let (buckets, keys) = Buckets::load(&ports, opened.deployment(), now).await?;
        let (handle, commands) = KeeperHandle::new();
        let mut keeper = Self {
            ports,
            handles,
            hsms: Hsms::new(devices, moves, limits.max_objects),
            limits,
            current: None,
            buckets,
            due: Due {
                last_tick: Duration::ZERO,
                paused: false,
                check_hsm: false,
                buckets_after: Duration::ZERO,
                last_tidy: Timestamp::from_millis(0),
            },
            commands,
        };
        let is_authenticated = opened.directory().commitments().is_some();
        match keeper.recover_from(opened).await {
            Ok(()) => {}
            Err(BatchError::Store(StoreError::Unavailable(why))) if is_authenticated => {
                tracing::warn!(why, "the last batch is not finished yet");
                keeper.serve_unrecovered().await?;
            }
            Err(error) => return Err(error),
        }
        keeper.handles.node.key_state.add_buckets(keys);
        if keeper.current.is_some() {
            keeper.begin_commitments().await?;
            keeper.adjust_times().await?;
        }
        keeper.make_buckets().await?;
        Ok((keeper, handle))
    }

    /// Works until `stop`, or until it must halt.
    ///
    /// # Errors
    /// [`Halt`]: an operator has to find out what happened.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Halt> {
        let pending = Arc::clone(&self.handles.pending_erasures);
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let waits = !self.due.paused && pending.backlog().erasures > 0;
            let command = if waits || self.move_is_due() {
                self.commands.try_recv().ok()
            } else {
                let due = tokio::time::sleep(self.pause());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    command = self.commands.recv() => command,
                    () = pending.more(), if !self.due.paused => None,
                    () = due => None,
                }
            };
            self.run_next_batch().await?;
            if let Some(command) = command {
                self.handle_command(command).await?;
            }
            if self.move_is_due() {
                self.advance_migration().await?;
            }
            if self.tick_is_due() {
                self.tick().await?;
            }
        }
    }

    /// Runs one batch. After an error the state is unknown until a recovery.
    pub(super) async fn batch(&mut self, work: Work) -> Result<(), BatchError> {
        let current = self.current.take().ok_or(Halt::NotInitialised)?;
        let node = self.handles.as_node(&self.ports);
        let (current, finished) = current.run(node, work).await?;
        self.current = Some(current);
        self.finish(finished);
        Ok(())
    }

    /// Recovers the state if the last batch failed. The open erasures are read from the store again.
    pub(super) async fn recover(&mut self) -> Result<(), BatchError> {
        if self.current.is_some() {
            return Ok(());
        }
        let opened = Opened::open(Reader::of(&self.ports)).await?;
        self.recover_from(opened).await
    }

    async fn recover_from(&mut self, opened: Opened) -> Result<(), BatchError> {
        let epoch = Epoch::next(&self.ports).await?;
        let node = self.handles.as_node(&self.ports);
        let recovered = if self.limits.is_alone {
            opened.recover(node, epoch).await
        } else {
            opened.take_over(node, epoch).await
        };
        let Recovered { current, finished } = recovered?;
        if !self.limits.is_alone {
            // The store names a root now that only this process knows.
            confirm(&self.ports, current.deployment()).await?;
            self.limits.is_alone = true;
        }
        let done = current.commitments().map(|it| it.fulfilled);
        self.current = Some(current);
        self.finish(finished);
        self.refuse_open_erasures(done).await
    }

    /// Answers the callers that wait for these receipts.
    fn finish(&self, finished: Option<Finished>) {
        if let Some(finished) = finished {
            let now = self.handles.node.boot_time();
            self.handles.pending_erasures.finish(finished, now);
        }
    }

    /// Serves although a copy of the store is away. What was accepted is refused, and destroyed when the copy is
    /// back. The rows can be told from those of others: this deployment has had its first batch.
    async fn serve_unrecovered(&self) -> Result<(), BatchError> {
        let opened = Opened::open(Reader::of(&self.ports)).await?;
        opened.serve(self.handles.as_node(&self.ports)).await?;
        let done = opened.directory().commitments().map(|it| it.fulfilled);
        self.refuse_open_erasures(done).await
    }

    /// What is open is refused and waits: all after `done`, which the store says if the directory does not.
    async fn refuse_open_erasures(&self, done: Option<ErasureNumber>) -> Result<(), BatchError> {
        let done = match done {
            Some(done) => done,
            None => self.ports.store.fulfilled_up_to().await?,
        };
        let now = self.handles.node.boot_time();
        self.handles.pending_erasures.reload(done, now).await?;
        Ok(())
    }

    /// Runs the batch that writes the first commitments, if the directory has none yet.
    async fn begin_commitments(&mut self) -> Result<(), BatchError> {
        let current = self.current.as_ref();
        match current.and_then(Current::commitments) {
            Some(_) => Ok(()),
            None => self.batch(Work::default()).await,
        }
    }
}
