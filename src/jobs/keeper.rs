use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lethe_core::batch::{BatchError, Current, Halt, Ports};
use lethe_core::buckets::{Buckets, required};
use lethe_core::clock::SteadyClock;
use lethe_core::directory::Entry;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyring::{Keyring, LiveKeyspace, LiveVersion};
use lethe_core::keyspace::{KeyVersion, KeyspaceName, Policy};
use lethe_core::ports::{Entropy, KeyspaceChange, KeyspaceRow, VersionRow};
use lethe_core::secret::Secret32;
use lethe_core::time::Timestamp;
use lethe_core::tree::{AddressKey, Cover, CoverRoot};
use tokio::sync::{mpsc, watch};

use super::handle::{Command, KeeperError, KeeperHandle, Put};
use crate::clock::SystemClock;
use crate::service::Service;

/// Longest pause between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);
/// How often the high-water mark of the clock is written.
const MARK: u64 = 10_000;
/// How often the HSM is looked at.
const LOOK: u64 = 5_000;
/// Objects beside buckets: two roots, the claim, signing keys.
const OTHER_OBJECTS: u64 = 8;

/// Owns what the deployment holds: root, directory, buckets.
pub struct Keeper {
    pub(super) ports: Ports,
    max_objects: u64,
    pub(super) clock: Arc<SteadyClock<SystemClock>>,
    /// None after an error: only a recovery tells what holds.
    current: Option<Current>,
    pub(super) buckets: Buckets,
    keyspaces: Vec<KeyspaceRow>,
    pub(super) keyring: Keyring,
    marked: Timestamp,
    looked: Timestamp,
    commands: mpsc::Receiver<Command>,
}

impl Keeper {
    /// Opens the deployment: root first, then directory, keyspaces, buckets.
    ///
    /// # Errors
    /// [`BatchError`]; nothing was destroyed.
    pub async fn open(
        ports: Ports,
        clock: Arc<SteadyClock<SystemClock>>,
        max_objects: u64,
    ) -> Result<(Self, KeeperHandle), BatchError> {
        let current = Current::recover(&ports).await?;
        let now = clock.now();
        let (buckets, keys) = Buckets::load(&ports, current.deployment(), now).await?;
        let (handle, commands) = KeeperHandle::new();
        let mut keeper = Self {
            ports,
            max_objects,
            clock,
            current: Some(current),
            buckets,
            keyspaces: Vec::new(),
            keyring: Keyring::default(),
            marked: Timestamp::from_millis(0),
            looked: Timestamp::from_millis(0),
            commands,
        };
        keeper.keyring.buckets.extend(keys);
        keeper.load_keyspaces().await?;
        keeper.make_buckets().await?;
        Ok((keeper, handle))
    }

    /// What is open now.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        Keyring {
            keyspaces: self.keyring.keyspaces.clone(),
            buckets: self.keyring.buckets.clone(),
        }
    }

    /// Works until `stop`, or until it must halt.
    ///
    /// # Errors
    /// [`Halt`]: a person has to look.
    pub async fn run(
        mut self,
        service: Arc<Service>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Halt> {
        loop {
            let due = tokio::time::sleep(self.pause());
            let command = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                command = self.commands.recv() => command,
                () = due => None,
            };
            if let Some(command) = command {
                self.obey(&service, command).await?;
            }
            self.tick(&service).await?;
        }
    }

    async fn obey(&mut self, service: &Service, command: Command) -> Result<(), Halt> {
        let Command::PutKeyspace(name, policy, answer) = command;
        let result = self.put_keyspace(name, policy).await;
        service.keyring.store(Arc::new(self.keyring()));
        let halt = match &result {
            Err(KeeperError::Batch(BatchError::Halt(halt))) => Err(halt.clone()),
            _ => Ok(()),
        };
        // Who asked may be gone.
        let _ = answer.send(result);
        halt
    }

    async fn tick(&mut self, service: &Service) -> Result<(), Halt> {
        self.reap(service).await?;
        let done = self.upkeep().await;
        service.keyring.store(Arc::new(self.keyring()));
        self.report(service, done)
    }

    async fn upkeep(&mut self) -> Result<(), BatchError> {
        if self.current.is_none() {
            self.current = Some(Current::recover(&self.ports).await?);
            self.load_keyspaces().await?;
        }
        self.make_buckets().await?;
        let now = self.clock.now();
        if now.as_millis() >= self.marked.as_millis() + MARK {
            self.ports.store.raise_clock_high_water(now).await?;
            self.marked = now;
        }
        // With nothing to do nobody would find out that the device is gone.
        if now.as_millis() >= self.looked.as_millis() + LOOK {
            self.looked = now;
            let deployment = self
                .current
                .as_ref()
                .ok_or(Halt::NotInitialised)?
                .deployment();
            self.ports.hsm.status(deployment).await?;
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        let now = self.clock.now().as_millis();
        let next = self.buckets.next_expiry();
        let due = next.map_or(u64::MAX, |expiry| {
            expiry.instant().as_millis().saturating_sub(now)
        });
        // An overdue destroy is tried again at the pace of the tick.
        let due = if due == 0 { u64::MAX } else { due };
        TICK.min(Duration::from_millis(due))
    }

    async fn make_buckets(&mut self) -> Result<(), BatchError> {
        let now = self.clock.now();
        let policies = self.keyspaces.iter().map(|keyspace| keyspace.policy);
        let wanted: BTreeSet<_> = policies.flat_map(|policy| required(&policy, now)).collect();
        let made = self.buckets.make(&self.ports, &wanted).await?;
        self.keyring.buckets.extend(made);
        Ok(())
    }

    async fn put_keyspace(
        &mut self,
        name: KeyspaceName,
        policy: Policy,
    ) -> Result<Put, KeeperError> {
        self.upkeep().await?;
        self.check_room(&name, &policy)?;
        let wanted = required(&policy, self.clock.now());
        let made = self.buckets.make(&self.ports, &wanted).await?;
        self.keyring.buckets.extend(made);
        let put = match self.keyspaces.iter().find(|keyspace| keyspace.name == name) {
            Some(keyspace) => {
                self.ports
                    .store
                    .set_policy(keyspace.id, &policy)
                    .await
                    .map_err(BatchError::from)?;
                Put::Updated
            }
            None => {
                self.create_keyspace(name, policy).await?;
                Put::Created
            }
        };
        self.load_keyspaces().await?;
        Ok(put)
    }

    /// Each live bucket is an object in the HSM.
    fn check_room(&self, name: &KeyspaceName, policy: &Policy) -> Result<(), KeeperError> {
        let others = self
            .keyspaces
            .iter()
            .filter(|keyspace| keyspace.name != *name);
        let planned: u64 = others.map(|keyspace| keyspace.policy.live_buckets()).sum();
        let planned = planned + policy.live_buckets();
        let needed = planned.max(self.buckets.objects() as u64) + OTHER_OBJECTS;
        if needed > self.max_objects {
            return Err(KeeperError::TooManyBuckets {
                needed,
                limit: self.max_objects,
            });
        }
        Ok(())
    }

    async fn create_keyspace(
        &mut self,
        name: KeyspaceName,
        policy: Policy,
    ) -> Result<(), BatchError> {
        let entropy = &self.ports.entropy;
        let mut id = [0; 16];
        entropy.fill(&mut id)?;
        let entry = draw_entry(
            entropy.as_ref(),
            KeyspaceId::from_bytes(id),
            KeyVersion::FIRST,
        )?;
        let row = KeyspaceRow {
            id: entry.keyspace,
            name,
            policy,
            versions: vec![VersionRow {
                version: entry.version,
                created_at: self.clock.now(),
            }],
        };
        let current = self.current.take().ok_or(Halt::NotInitialised)?;
        let changes = vec![KeyspaceChange::Create(row)];
        let changed = current.run(&self.ports, changes, |directory| directory.insert(entry));
        self.current = Some(changed.await?);
        Ok(())
    }

    /// Tables and directory must name the same versions.
    async fn load_keyspaces(&mut self) -> Result<(), BatchError> {
        let rows = self.ports.store.keyspaces().await?;
        let current = self.current.as_ref().ok_or(Halt::NotInitialised)?;
        let entries = current.directory().entries();
        let versions: usize = rows.iter().map(|row| row.versions.len()).sum();
        if versions != entries.len() {
            return Err(Halt::DirectoryDisagrees.into());
        }
        let live = rows.iter().map(|row| live_keyspace(row, entries));
        let live = live
            .collect::<Option<Vec<_>>>()
            .ok_or(Halt::DirectoryDisagrees)?;
        let named = live
            .into_iter()
            .map(|keyspace| (keyspace.name.clone(), Arc::new(keyspace)));
        self.keyring.keyspaces = named.collect();
        self.keyspaces = rows;
        Ok(())
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn draw_entry(
    entropy: &dyn Entropy,
    keyspace: KeyspaceId,
    version: KeyVersion,
) -> Result<Entry, BatchError> {
    Ok(Entry {
        keyspace,
        version,
        address_key: Secret32::try_filled(|bytes| entropy.fill(bytes))?,
        root: CoverRoot::Whole(Secret32::try_filled(|bytes| entropy.fill(bytes))?),
    })
}

fn live_keyspace(row: &KeyspaceRow, entries: &[Entry]) -> Option<LiveKeyspace> {
    let versions = row.versions.iter().map(|version| {
        let entry = entries
            .iter()
            .find(|entry| (entry.keyspace, entry.version) == (row.id, version.version))?;
        // No batch punctures yet, so every cover is whole.
        let CoverRoot::Whole(seed) = &entry.root else {
            return None;
        };
        let seed = Secret32::filled(|bytes| bytes.copy_from_slice(seed.expose()));
        Some(Arc::new(LiveVersion {
            version: version.version,
            created_at: version.created_at,
            address_key: AddressKey::new(&entry.address_key),
            cover: Cover::whole(seed),
        }))
    });
    Some(LiveKeyspace {
        id: row.id,
        name: row.name.clone(),
        policy: row.policy,
        versions: versions.collect::<Option<_>>()?,
    })
}
