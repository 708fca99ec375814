use lethe_core::approval::Scope;
use lethe_core::batch::{BatchError, NewVersion, Work};
use lethe_core::buckets::required;
use lethe_core::directory::Entry;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyring::LiveKeyspace;
use lethe_core::keyspace::{KeyVersion, KeyspaceName, MAX_LIVE_VERSIONS, Policy};
use lethe_core::ports::{Effect, Entropy, KeyspaceRow, SettingsChange, VersionRow};
use lethe_core::refusals::{Refusal, Target};
use lethe_core::secret::Secret32;
use lethe_core::time::Timestamp;
use lethe_core::tree::CoverRoot;

use super::handle::{KeeperError, Put, Settings};
use super::keeper::Keeper;
use crate::approvals::{Needed, lengthens};

/// Objects beside buckets: two roots, the claim, signing keys.
const OTHER_OBJECTS: u64 = 8;
/// A write to a busy store, at most, in milliseconds.
const WRITING: u64 = 15_000;
/// Rows that go at one time, in transactions.
const TIDIED: usize = 20;

impl Keeper {
    pub(super) async fn put_keyspace(
        &mut self,
        name: KeyspaceName,
        settings: Settings,
    ) -> Result<Put, KeeperError> {
        self.upkeep().await?;
        let present = self.live.keyring().keyspaces.get(&name).cloned();
        let id = present.as_ref().map(|it| it.id);
        if settings.keyspace.is_some() && settings.keyspace != id {
            return Err(KeeperError::UnknownKeyspace);
        }
        let policy = settings.policy.or(present.as_ref().map(|it| it.policy));
        let policy = policy.ok_or(KeeperError::UnknownKeyspace)?;
        self.check_room(&name, &policy)?;
        let minimum = match &present {
            None => settings.minimum_version.unwrap_or(KeyVersion::FIRST),
            Some(present) => {
                self.check_lives(present.id)?;
                self.check_settings(present, &settings, policy)?
            }
        };
        let wanted = required(&policy, self.ports.clock.now());
        self.make(&wanted).await?;
        let Some(present) = present else {
            if minimum != KeyVersion::FIRST {
                return Err(KeeperError::MinimumVersion);
            }
            self.create_keyspace(name, policy).await?;
            return Ok(Put::Created);
        };
        // Calls under way, and those until the keyring is replaced, go by the old settings.
        let until = self
            .ports
            .clock
            .now()
            .saturating_add(self.longest_request + WRITING);
        let change = SettingsChange {
            policy,
            minimum_version: minimum,
            leases_until: until.saturating_add(present.policy.cache_ttl().as_millis()),
            expiries_until: until.saturating_add(present.policy.longest_life_seconds() * 1_000),
        };
        let set = match &settings.approval {
            None => self.ports.store.set_policy(present.id, &change).await,
            Some(given) => {
                let effect = Effect::Settings(present.id, &change);
                let approved = self.approvals.store.approve(given, effect).await;
                approved.map(|it| it.is_some())
            }
        };
        if !set.map_err(BatchError::from)? && settings.approval.is_some() {
            return Err(KeeperError::NotWaiting);
        }
        self.reload_keyspaces().await?;
        let lengthened = lengthens(&present.policy, &policy);
        Ok(Put::Updated { lengthened })
    }

    /// Here, where nothing changes meanwhile: the smallest version, unless the settings are to wait, or
    /// are refused whoever sets them.
    fn check_settings(
        &self,
        present: &LiveKeyspace,
        settings: &Settings,
        policy: Policy,
    ) -> Result<KeyVersion, KeeperError> {
        let minimum = settings.minimum_version.unwrap_or(present.minimum_version);
        let newest = present.versions.last().map(|it| it.tree.version);
        if Some(minimum) > newest {
            return Err(KeeperError::MinimumVersion);
        }
        if settings.expected.is_some_and(|it| it != present.policy) {
            return Err(KeeperError::Outdated);
        }
        let needed = self.approvals.needed(present, policy, minimum);
        match (needed, &settings.approval) {
            (Needed::Refused, _) => Err(KeeperError::MinimumVersion),
            (Needed::Nothing, _) | (_, Some(_)) => Ok(minimum),
            (Needed::SetAlone, None) => Err(KeeperError::SetAlone),
            (Needed::Approval(action), None) => {
                let scope = Scope {
                    id: present.id,
                    name: present.name.clone(),
                };
                Err(KeeperError::NeedsApproval(Box::new(action), Some(scope)))
            }
        }
    }

    /// Not one whose erase is accepted.
    fn check_lives(&self, keyspace: KeyspaceId) -> Result<(), KeeperError> {
        match self.live.refusals.of(Target::Keyspace(keyspace)) {
            None => Ok(()),
            Some(Refusal::Pending) => Err(KeeperError::MayBeErased),
            Some(_) => Err(KeeperError::BeingErased),
        }
    }

    /// Each live bucket is an object in the HSM.
    fn check_room(&self, name: &KeyspaceName, policy: &Policy) -> Result<(), KeeperError> {
        let keyring = self.live.keyring();
        let others = keyring.keyspaces.values().filter(|it| it.name != *name);
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

    /// The same for all keyspaces in an HSM that may hold so many.
    pub(super) fn check_room_in(&self, limit: u64) -> Result<(), KeeperError> {
        let keyring = self.live.keyring();
        let planned = keyring
            .keyspaces
            .values()
            .map(|it| it.policy.live_buckets());
        let planned: u64 = planned.sum();
        let needed = planned.max(self.buckets.objects() as u64) + OTHER_OBJECTS;
        if needed > limit {
            return Err(KeeperError::TooManyBuckets { needed, limit });
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
        let id = KeyspaceId::from_bytes(id);
        let entry = draw_entry(entropy.as_ref(), id, KeyVersion::FIRST)?;
        let row = KeyspaceRow {
            id,
            name,
            policy,
            leases_until: Timestamp::from_millis(0),
            expiries_until: Timestamp::from_millis(0),
            minimum_version: KeyVersion::FIRST,
            versions: vec![self.version_row(KeyVersion::FIRST)],
        };
        self.make_version(NewVersion::First(row, entry)).await
    }

    /// A new newest version with randomness of its own.
    pub(super) async fn rotate(&mut self, name: &KeyspaceName) -> Result<(), KeeperError> {
        self.upkeep().await?;
        let present = self.live.keyring().keyspaces.get(name).cloned();
        let present = present.ok_or(KeeperError::UnknownKeyspace)?;
        self.check_lives(present.id)?;
        if present.versions.len() >= MAX_LIVE_VERSIONS {
            return Err(KeeperError::TooManyVersions(present.versions.len()));
        }
        let newest = present.versions.last().map(|it| it.tree.version.number());
        let next = newest.and_then(|newest| KeyVersion::new(newest.checked_add(1)?));
        let next = next.ok_or(KeeperError::TooManyVersions(present.versions.len()))?;
        let id = present.id;
        drop(present);
        let entry = draw_entry(self.ports.entropy.as_ref(), id, next)?;
        let row = self.version_row(next);
        Ok(self.make_version(NewVersion::Next(row, entry)).await?)
    }

    /// A new root; all below it is read as before.
    pub(super) async fn rotate_root(&mut self) -> Result<(), KeeperError> {
        self.upkeep().await?;
        Ok(self.batch(Work::default()).await?)
    }

    fn version_row(&self, version: KeyVersion) -> VersionRow {
        VersionRow {
            version,
            created_at: self.ports.clock.now(),
        }
    }

    async fn make_version(&mut self, version: NewVersion) -> Result<(), BatchError> {
        let work = Work {
            requests: Vec::new(),
            versions: vec![version],
        };
        self.batch(work).await
    }

    /// Rows of dropped trees, and receipts that were kept long enough, go bit by bit.
    pub(super) async fn tidy(&mut self, now: Timestamp) -> Result<(), BatchError> {
        let before = now.as_millis().saturating_sub(self.keep_receipts);
        for _ in 0..TIDIED {
            let store = &self.ports.store;
            let trees = store.sweep_dropped_trees().await?;
            let receipts = store
                .forget_receipts(Timestamp::from_millis(before))
                .await?;
            if !trees && !receipts {
                break;
            }
        }
        Ok(())
    }
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
