use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{
    BatchError, Current, Epoch, Finished, Halt, Node, Opened, Ports, Reader, Recovered, Work,
};
use lethe_core::buckets::Buckets;
use lethe_core::hsm_move::Devices;
use lethe_core::time::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::{Command, KeeperHandle};
use super::handles::Handles;
use super::hsm_move::Moving;
use super::tick::TICK;
use crate::erasure::PendingErasures;
use crate::leader::hsm_moves::HsmMoves;
use crate::node::key_state::KeyState;
use crate::node::status::Seen;
use crate::permissions::Permissions;

/// Owns what the deployment holds: root, directory, buckets. It alone changes them.
pub struct Keeper {
    pub(super) ports: Ports,
    /// What the ports' HSM is.
    pub(super) devices: Arc<Devices>,
    /// What the configuration says of HSMs.
    pub(super) moves: Arc<HsmMoves>,
    /// A move to another HSM that is under way.
    pub(super) moving: Option<Moving>,
    pub(super) max_objects: u64,
    /// How long receipts are kept, in milliseconds.
    pub(super) keep_receipts: u64,
    /// From a request's look at the keyring to its answer, in milliseconds.
    pub(super) longest_request: u64,
    /// A version that has forgotten so many leaves is replaced.
    pub(super) rotate_after_shreds: u64,
    /// None after an error: only a recovery tells what holds.
    pub(super) current: Option<Current>,
    pub(super) buckets: Buckets,
    pub(super) key_state: Arc<KeyState>,
    pub(super) pending_erasures: Arc<PendingErasures>,
    /// What waits for a second operator.
    pub(super) permissions: Arc<Permissions>,
    /// Nobody doubts the time; false until it was looked at.
    pub(super) clock_is_sound: bool,
    /// The log says that it is doubted.
    pub(super) clock_was_said: bool,
    /// The last batch failed; the next one waits for the tick.
    pub(super) paused: bool,
    /// When buckets may be made again.
    pub(super) buckets_after: Duration,
    pub(super) ticked: Duration,
    pub(super) marked: Timestamp,
    pub(super) tidied: Timestamp,
    pub(super) looked: Timestamp,
    /// A call failed: the next look is due.
    pub(super) hsm_failed: bool,
    /// What the HSM said of itself last.
    pub(super) seen: Option<Seen>,
    commands: mpsc::Receiver<Command>,
}

/// What a keeper needs to know beside its ports.
#[derive(Debug, Clone, Copy)]
pub struct KeeperLimits {
    /// Objects that the token may hold.
    pub max_objects: u64,
    /// How long receipts are kept.
    pub keep_receipts: Duration,
    /// How long a request may take.
    pub longest_request: Duration,
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
        key_state: Arc<KeyState>,
        pending_erasures: Arc<PendingErasures>,
        permissions: Arc<Permissions>,
        limits: KeeperLimits,
        (devices, moves): (Arc<Devices>, Arc<HsmMoves>),
    ) -> Result<(Self, KeeperHandle), BatchError> {
        let node = Node {
            ports: &ports,
            pages: &key_state.pages,
            holders: key_state.as_ref(),
        };
        let epoch = Epoch::next(&ports).await?;
        let opened = Opened::open(Reader::of(&ports)).await?;
        let recovered = if limits.is_alone {
            opened.recover(node, epoch).await
        } else {
            opened.take_over(node, epoch).await
        };
        let Recovered { current, finished } = recovered?;
        let now = ports.clock.now();
        let (buckets, keys) = Buckets::load(&ports, current.deployment(), now).await?;
        key_state.add_buckets(keys);
        let (handle, commands) = KeeperHandle::new();
        let mut keeper = Self {
            ports,
            moving: devices.pair().map(|_| Moving::found()),
            devices,
            moves,
            max_objects: limits.max_objects,
            keep_receipts: millis(limits.keep_receipts),
            longest_request: millis(limits.longest_request + TICK),
            rotate_after_shreds: limits.rotate_after_shreds,
            current: Some(current),
            buckets,
            key_state,
            pending_erasures,
            permissions,
            clock_is_sound: false,
            clock_was_said: false,
            paused: false,
            buckets_after: Duration::ZERO,
            ticked: Duration::ZERO,
            marked: Timestamp::from_millis(0),
            tidied: Timestamp::from_millis(0),
            looked: Timestamp::from_millis(0),
            hsm_failed: false,
            seen: None,
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
    pub async fn run(mut self, handles: Handles, stop: CancellationToken) -> Result<(), Halt> {
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let waits = !self.paused && self.pending_erasures.backlog().erasures > 0;
            let command = if waits || self.move_is_due() {
                self.commands.try_recv().ok()
            } else {
                let due = tokio::time::sleep(self.pause());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return Ok(()),
                    command = self.commands.recv() => command,
                    () = self.pending_erasures.more(), if !self.paused => None,
                    () = due => None,
                }
            };
            self.forget(&handles).await?;
            if let Some(command) = command {
                self.handle_command(&handles, command).await?;
            }
            if self.move_is_due() {
                self.advance_migration(&handles).await?;
            }
            if self.tick_is_due() {
                self.tick(&handles).await?;
            }
        }
    }

    /// Runs one batch. After an error only a recovery tells what holds.
    pub(super) async fn batch(&mut self, work: Work) -> Result<(), BatchError> {
        let current = self.current.take().ok_or(Halt::NotInitialised)?;
        let node = Node {
            ports: &self.ports,
            pages: &self.key_state.pages,
            holders: self.key_state.as_ref(),
        };
        let (current, finished) = current.run(node, work).await?;
        self.current = Some(current);
        if let Some(finished) = finished {
            self.pending_erasures.finish(finished, self.boot_time());
        }
        Ok(())
    }

    /// Never steps: what is done is refused for so long after, whatever the wall clock does.
    pub(super) fn boot_time(&self) -> Timestamp {
        Timestamp::from_millis(millis(self.ports.clock.since_boot()))
    }

    /// After an error finds out what holds; the open requests are those of the store.
    pub(super) async fn recovered(&mut self) -> Result<(), BatchError> {
        if self.current.is_some() {
            return Ok(());
        }
        let node = Node {
            ports: &self.ports,
            pages: &self.key_state.pages,
            holders: self.key_state.as_ref(),
        };
        let epoch = Epoch::next(&self.ports).await?;
        let opened = Opened::open(Reader::of(&self.ports)).await?;
        let Recovered { current, finished } = opened.recover(node, epoch).await?;
        self.current = Some(current);
        self.reload_erasures(finished).await
    }

    /// After a recovery: what was done is said, what is open is refused and waits.
    async fn reload_erasures(&mut self, finished: Option<Finished>) -> Result<(), BatchError> {
        if let Some(finished) = finished {
            self.pending_erasures.finish(finished, self.boot_time());
        }
        let commitments = self.current.as_ref().and_then(Current::commitments);
        let done = match commitments {
            Some(commitments) => commitments.fulfilled,
            None => self.ports.store.fulfilled_up_to().await?,
        };
        self.pending_erasures.reload(done, self.boot_time()).await?;
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
