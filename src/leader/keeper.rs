use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{
    BatchError, Current, Epoch, Finished, Halt, Opened, Ports, Reader, Recovered, Work,
};
use lethe_core::buckets::Buckets;
use lethe_core::hsm_move::Devices;
use lethe_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::{Command, KeeperHandle};
use super::handles::Handles;
use super::hsm_move::Hsms;
use crate::leader::hsm_moves::HsmMoves;

/// Owns what the deployment holds: root, directory, buckets. It alone changes them.
pub struct Keeper {
    pub(super) ports: Ports,
    pub(super) handles: Handles,
    pub(super) hsms: Hsms,
    pub(super) limits: KeeperLimits,
    /// None after an error: only a recovery tells what holds.
    pub(super) current: Option<Current>,
    pub(super) buckets: Buckets,
    pub(super) due: Due,
    commands: mpsc::Receiver<Command>,
}

/// What has to be done, and from when on.
pub(super) struct Due {
    /// The last tick, by the time since boot.
    pub(super) ticked: Duration,
    /// The last batch failed; the next one waits for the tick.
    pub(super) paused: bool,
    /// A call of the HSM failed: nobody says that all is well before the HSM was looked at again.
    pub(super) look: bool,
    /// When buckets may be made again, by the time since boot.
    pub(super) buckets_after: Duration,
    /// When rows were tidied last.
    pub(super) tidied: Timestamp,
}

/// What a keeper needs to know beside its ports.
#[derive(Debug, Clone, Copy)]
pub struct KeeperLimits {
    /// Objects that the token may hold.
    pub max_objects: u64,
    /// How long receipts are kept.
    pub keep_receipts: Duration,
    /// A version that has forgotten so many leaves is replaced.
    pub rotate_after_shreds: u64,
    /// No other process can be at work on the HSM for this deployment.
    pub is_alone: bool,
}

impl Keeper {
    /// Opens the deployment: root first, then directory, keyspaces, buckets, open requests.
    ///
    /// # Errors
    /// [`BatchError`]; nothing was destroyed.
    pub async fn open(
        ports: Ports,
        handles: Handles,
        limits: KeeperLimits,
        (devices, moves): (Arc<Devices>, Arc<HsmMoves>),
    ) -> Result<(Self, KeeperHandle), BatchError> {
        let epoch = Epoch::next(&ports).await?;
        let opened = Opened::open(Reader::of(&ports)).await?;
        let node = handles.as_node(&ports);
        let recovered = if limits.is_alone {
            opened.recover(node, epoch).await
        } else {
            opened.take_over(node, epoch).await
        };
        let Recovered { current, finished } = recovered?;
        let now = ports.clock.now();
        let (buckets, keys) = Buckets::load(&ports, current.deployment(), now).await?;
        handles.node.key_state.add_buckets(keys);
        let (handle, commands) = KeeperHandle::new();
        let mut keeper = Self {
            ports,
            handles,
            hsms: Hsms::new(devices, moves, limits.max_objects),
            limits,
            current: Some(current),
            buckets,
            due: Due {
                ticked: Duration::ZERO,
                paused: false,
                look: false,
                buckets_after: Duration::ZERO,
                tidied: Timestamp::from_millis(0),
            },
            commands,
        };
        keeper.reload_erasures(finished).await?;
        keeper.begin_commitments().await?;
        keeper.adjust_times().await?;
        keeper.make_buckets().await?;
        Ok((keeper, handle))
    }

    /// Works until `stop`, or until it must halt.
    ///
    /// # Errors
    /// [`Halt`]: a person has to look.
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
            self.forget().await?;
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

    /// Runs one batch. After an error only a recovery tells what holds.
    pub(super) async fn batch(&mut self, work: Work) -> Result<(), BatchError> {
        let current = self.current.take().ok_or(Halt::NotInitialised)?;
        let node = self.handles.as_node(&self.ports);
        let (current, finished) = current.run(node, work).await?;
        self.current = Some(current);
        self.finish(finished);
        Ok(())
    }

    /// After an error finds out what holds; the open requests are those of the store.
    pub(super) async fn recovered(&mut self) -> Result<(), BatchError> {
        if self.current.is_some() {
            return Ok(());
        }
        let epoch = Epoch::next(&self.ports).await?;
        let opened = Opened::open(Reader::of(&self.ports)).await?;
        let node = self.handles.as_node(&self.ports);
        let Recovered { current, finished } = opened.recover(node, epoch).await?;
        self.current = Some(current);
        self.reload_erasures(finished).await
    }

    /// Those who wait for receipts get them.
    fn finish(&self, finished: Option<Finished>) {
        if let Some(finished) = finished {
            let now = self.handles.node.boot_time();
            self.handles.pending_erasures.finish(finished, now);
        }
    }

    /// After a recovery: what was done is said, what is open is refused and waits.
    async fn reload_erasures(&mut self, finished: Option<Finished>) -> Result<(), BatchError> {
        self.finish(finished);
        let commitments = self.current.as_ref().and_then(Current::commitments);
        let done = match commitments {
            Some(commitments) => commitments.fulfilled,
            None => self.ports.store.fulfilled_up_to().await?,
        };
        let now = self.handles.node.boot_time();
        self.handles.pending_erasures.reload(done, now).await?;
        Ok(())
    }

    /// The first batch of this release commits to what the store holds.
    async fn begin_commitments(&mut self) -> Result<(), BatchError> {
        let current = self.current.as_ref();
        match current.and_then(Current::commitments) {
            Some(_) => Ok(()),
            None => self.batch(Work::default()).await,
        }
    }
}
