use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{BatchError, Current, Finished, Halt, Node, Ports, Recovered, Work};
use lethe_core::buckets::{Buckets, Made, required};
use lethe_core::hsm_move::Devices;
use lethe_core::time::{Expiry, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::handle::{Command, KeeperError, KeeperHandle, Put};
use super::handles::Handles;
use super::hsm_move::Moving;
use crate::erasure::PendingErasures;
use crate::leader::hsm_moves::HsmMoves;
use crate::node::key_state::KeyState;
use crate::node::status::Seen;
use crate::permissions::Permissions;

/// Longest pause between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// How often the high-water mark of the clock is written.
const MARK: u64 = 10_000;
/// How often the HSM is looked at.
const LOOK: u64 = 5_000;
/// Between two tries to make buckets that failed.
const BETWEEN_TRIES: Duration = Duration::from_secs(5);

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
    buckets_after: Duration,
    ticked: Duration,
    marked: Timestamp,
    tidied: Timestamp,
    looked: Timestamp,
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
        let recovered = if limits.is_alone {
            Current::recover(node).await
        } else {
            Current::take_over(node).await
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
        let Recovered { current, finished } = Current::recover(node).await?;
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

    async fn handle_command(&mut self, handles: &Handles, command: Command) -> Result<(), Halt> {
        match command {
            Command::PutKeyspace(name, policy, answer) => {
                let result = self.put_keyspace(name.clone(), *policy).await;
                if let Ok(Put::Updated { lengthened: true }) = result {
                    handles.metrics.lengthened_keyspaces.inc();
                    tracing::warn!(keyspace = %name, "keys, or leases of them, live longer from now on");
                }
                self.answered(handles, result, answer)
            }
            Command::Rotate(name, answer) => {
                let result = self.rotate(&name).await;
                self.answered(handles, result, answer)
            }
            Command::RotateRoot(answer) => {
                let result = self.rotate_root().await;
                self.answered(handles, result, answer)
            }
            Command::MoveHsm(approval, answer) => {
                let result = self.begin_move(approval.as_ref()).await;
                self.answered(handles, result, answer)
            }
            Command::ConfirmClock(approval, answer) => {
                let result = self.confirm_clock(handles, approval.as_ref()).await;
                self.answered(handles, result, answer)
            }
        }
    }

    fn answered<T>(
        &mut self,
        handles: &Handles,
        result: Result<T, KeeperError>,
        answer: tokio::sync::oneshot::Sender<Result<T, KeeperError>>,
    ) -> Result<(), Halt> {
        let halt = match &result {
            Err(KeeperError::Batch(BatchError::Halt(halt))) => Err(halt.clone()),
            _ => Ok(()),
        };
        self.measure(handles);
        // Who asked may be gone.
        let _ = answer.send(result);
        halt
    }

    fn tick_is_due(&self) -> bool {
        let since = self.ports.clock.since_boot().saturating_sub(self.ticked);
        since >= TICK.min(self.until_expiry())
    }

    async fn tick(&mut self, handles: &Handles) -> Result<(), Halt> {
        self.ticked = self.ports.clock.since_boot();
        if let Some(row) = self.ports.store.altered() {
            // Whoever asked for it.
            return Err(Halt::Altered(row.to_owned()));
        }
        self.watch_clock(handles);
        self.write_mark(handles).await;
        self.reap(handles).await?;
        let marked = self.marked;
        let done = self.upkeep().await;
        let well = done.is_ok();
        self.report(handles, done)?;
        if self.marked != marked {
            handles.node.flush_key_uses().await;
        }
        if well {
            self.rotate_what_is_due(handles).await?;
        }
        Ok(())
    }

    /// Every few seconds, whatever else works or is doubted.
    async fn write_mark(&mut self, handles: &Handles) {
        let now = self.ports.clock.now();
        if now.as_millis() < self.marked.as_millis() + MARK {
            return;
        }
        match handles.node.mark.write().await {
            Ok(()) => self.marked = now,
            Err(error) => tracing::warn!(%error, "the time is not written down"),
        }
    }

    pub(super) async fn upkeep(&mut self) -> Result<(), BatchError> {
        self.recovered().await?;
        // Shreds need no buckets.
        self.paused = false;
        self.adjust_times().await?;
        self.make_buckets().await?;
        let now = self.ports.clock.now();
        if self.clock_is_sound && now.as_millis() >= self.tidied.as_millis() + MARK {
            self.tidy(now).await?;
            self.tidied = now;
        }
        // With nothing to do nobody would find out that the device is gone, or is back.
        if self.hsm_failed || now.as_millis() >= self.looked.as_millis() + LOOK {
            self.looked = now;
            let current = self.current.as_ref().ok_or(Halt::NotInitialised)?;
            let status = self.ports.hsm.status(current.deployment()).await?;
            self.seen = Some(Seen { at: now, status });
            self.hsm_failed = false;
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        let since = self.ports.clock.since_boot().saturating_sub(self.ticked);
        TICK.min(self.until_expiry()).saturating_sub(since)
    }

    /// An overdue destroy is tried again at the pace of the tick.
    fn until_expiry(&self) -> Duration {
        let now = self.ports.clock.now().as_millis();
        let due = self
            .buckets
            .next_expiry()
            .map_or(0, |expiry| expiry.instant().as_millis().saturating_sub(now));
        if due == 0 {
            TICK
        } else {
            Duration::from_millis(due)
        }
    }

    pub(super) async fn make_buckets(&mut self) -> Result<(), BatchError> {
        let now = self.ports.clock.now();
        let keyring = self.key_state.keyring();
        let policies = keyring.keyspaces.values().map(|keyspace| keyspace.policy);
        let wanted: BTreeSet<_> = policies.flat_map(|policy| required(&policy, now)).collect();
        drop(keyring);
        if self.ports.clock.since_boot() < self.buckets_after {
            return Ok(());
        }
        self.make(&wanted).await
    }

    /// Makes buckets; what failed is not tried again at once: a key that was made in vain stays in
    /// the HSM until the expiry that its label says.
    pub(super) async fn make(&mut self, wanted: &BTreeSet<Expiry>) -> Result<(), BatchError> {
        let Made { keys, failed } = self.buckets.make(&self.ports, wanted).await;
        self.key_state.add_buckets(keys);
        match failed {
            None => Ok(()),
            Some(error) => {
                self.buckets_after = self.ports.clock.since_boot() + BETWEEN_TRIES;
                Err(error)
            }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
