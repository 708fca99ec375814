use lethe_core::approval::{ApprovalDecision, ApprovalState, Scope};
use lethe_core::batch::{BatchError, Halt, IssueRules, NewVersion, Work, checked_keyspaces};
use lethe_core::buckets::required;
use lethe_core::directory::Entry;
use lethe_core::identity::KeyspaceId;
use lethe_core::keyring::LiveKeyspace;
use lethe_core::keyspace::{KeyVersion, KeyspaceName, MAX_LIVE_VERSIONS, Policy};
use lethe_core::ports::{Entropy, KeyspaceRow, StoreError, VersionRow};
use lethe_core::refusals::{Refusal, Target};
use lethe_core::secret::Secret32;
use lethe_core::time::Timestamp;
use lethe_core::tree::CoverRoot;

use super::handle::{KeeperError, PutOutcome, Settings};
use super::keeper::Keeper;
use crate::permissions::{SettingsCheck, lengthens};

/// The objects that are no buckets: two roots, the claim, and the signing keys.
const OTHER_OBJECTS: u64 = 8;

impl Keeper {
    pub(super) async fn put_keyspace(
        &mut self,
        name: KeyspaceName,
        settings: Settings,
    ) -> Result<PutOutcome, KeeperError> {
        self.maintain().await?;
        let present = self
            .handles
            .node
            .key_state
            .keyring()
            .keyspaces
            .get(&name)
            .cloned();
        let id = present.as_ref().map(|it| it.id);
        if settings.keyspace.is_some() && settings.keyspace != id {
            return Err(KeeperError::UnknownKeyspace);
        }
        let policy = settings.policy.or(present.as_ref().map(|it| it.policy));
        let policy = policy.ok_or(KeeperError::UnknownKeyspace)?;
        self.check_capacity(&name, &policy)?;
        let minimum = match &present {
            None => settings.minimum_version.unwrap_or(KeyVersion::FIRST),
            Some(present) => {
                self.check_not_erased(present.id)?;
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
            return Ok(PutOutcome::Created);
        };
        // Until the keyring is replaced, keys are issued by the old settings.
        let since = self.ports.clock.now();
        let row = self.keyspace_row(present.id).await?;
        let lease = since.saturating_add(present.policy.cache_ttl().as_millis());
        let expiry = since.saturating_add(present.policy.longest_life_seconds() * 1_000);
        let row = KeyspaceRow {
            policy,
            minimum_version: minimum,
            leases_until: present.leases_until.max(lease),
            expiries_until: present.expiries_until.max(expiry),
            ..row
        };
        if let Some(decision) = &settings.approval {
            self.check_waits(decision).await?;
        }
        let work = Work {
            keyspaces: vec![row],
            approved: settings.approval,
            ..Work::default()
        };
        match self.change_rules(since, work).await {
            // Another call has ended or approved it meanwhile: nothing was changed.
            Err(BatchError::Store(StoreError::NotWaiting)) => return Err(KeeperError::NotWaiting),
            done => done?,
        }
        let lengthened = lengthens(&present.policy, &policy);
        Ok(PutOutcome::Updated { lengthened })
    }

    /// Checks that the approval waits, before the HSM does any work. The transaction of the batch checks it
    /// again.
    async fn check_waits(&self, decision: &ApprovalDecision) -> Result<(), KeeperError> {
        let approval = self.handles.permissions.store.approval(decision.id).await;
        let approval = approval.map_err(BatchError::from)?;
        match approval.map(|it| it.state) {
            Some(ApprovalState::Waiting) => Ok(()),
            _ => Err(KeeperError::NotWaiting),
        }
    }

    /// The minimum version of the new settings, if they may be set now. Only the keeper changes settings, so
    /// they stay as they are after the check.
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
        let needed = self
            .handles
            .permissions
            .check_settings(present, policy, minimum);
        match (needed, &settings.approval) {
            (SettingsCheck::Refused, _) => Err(KeeperError::MinimumVersion),
            (SettingsCheck::Allowed, _) | (_, Some(_)) => Ok(minimum),
            (SettingsCheck::SetAlone, None) => Err(KeeperError::SetAlone),
            (SettingsCheck::NeedsApproval(action), None) => {
                let scope = Scope {
                    id: present.id,
                    name: present.name.clone(),
                };
                Err(KeeperError::NeedsApproval(Box::new(action), Some(scope)))
            }
        }
    }

    async fn keyspace_row(&self, id: KeyspaceId) -> Result<KeyspaceRow, KeeperError> {
        let current = self.current.as_ref().ok_or(Halt::NotInitialised);
        let directory = current.map_err(BatchError::from)?.directory();
        let rows = checked_keyspaces(&self.ports, directory).await?;
        let mut rows = rows.into_iter();
        rows.find(|row| row.id == id)
            .ok_or(KeeperError::UnknownKeyspace)
    }

    /// Runs a batch that changes the rules by which keys are issued. Its times count from `since`. They are
    /// adjusted when no call issues by the old rules any more.
    async fn change_rules(&mut self, since: Timestamp, work: Work) -> Result<(), BatchError> {
        let work = Work {
            rules: IssueRules::ChangeFrom(since),
            ..work
        };
        self.batch(work).await?;
        match self.adjust_times().await {
            Err(BatchError::Halt(halt)) => Err(halt.into()),
            Err(error) => {
                // The change is made and the keyring has its times. The next tick tries again.
                tracing::warn!(%error, "the times of a change are not written down yet");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes until when keys were issued by the old rules, if that was not written yet. They were issued until
    /// now at the latest.
    pub(super) async fn adjust_times(&mut self) -> Result<(), BatchError> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let Some(commitments) = current.commitments() else {
            return Ok(());
        };
        if commitments.changing_since.is_none() {
            return Ok(());
        }
        let rows = checked_keyspaces(&self.ports, current.directory()).await?;
        let now = self.ports.clock.now();
        let moved = rows
            .iter()
            .map(|row| commitments.with_adjusted_times(row, now));
        let work = Work {
            keyspaces: moved.collect(),
            rules: IssueRules::TimesAdjusted,
            ..Work::default()
        };
        self.batch(work).await
    }

    /// Refuses a keyspace whose erase is accepted, or may be.
    fn check_not_erased(&self, keyspace: KeyspaceId) -> Result<(), KeeperError> {
        match self
            .handles
            .node
            .key_state
            .refusals
            .get(Target::Keyspace(keyspace))
        {
            None => Ok(()),
            Some(Refusal::Pending) => Err(KeeperError::MayBeErased),
            Some(_) => Err(KeeperError::BeingErased),
        }
    }

    /// Checks that the HSM has room for the buckets of a keyspace with this policy and of all others.
    fn check_capacity(&self, name: &KeyspaceName, policy: &Policy) -> Result<(), KeeperError> {
        let keyring = self.handles.node.key_state.keyring();
        let others = keyring.keyspaces.values().filter(|it| it.name != *name);
        let planned: u64 = others.map(|keyspace| keyspace.policy.live_buckets()).sum();
        let planned = planned + policy.live_buckets();
        let needed = planned.max(self.buckets.objects() as u64) + OTHER_OBJECTS;
        if needed > self.hsms.max_objects {
            return Err(KeeperError::TooManyBuckets {
                needed,
                limit: self.hsms.max_objects,
            });
        }
        Ok(())
    }

    /// Checks that an HSM with this limit has room for the buckets of all keyspaces.
    pub(super) fn check_capacity_of(&self, limit: u64) -> Result<(), KeeperError> {
        let keyring = self.handles.node.key_state.keyring();
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
            versions: vec![VersionRow {
                version: KeyVersion::FIRST,
                created_at: self.ports.clock.now(),
            }],
        };
        let work = Work {
            versions: vec![NewVersion::First(row, entry)],
            ..Work::default()
        };
        self.batch(work).await
    }

    /// Makes a new key version from new randomness.
    pub(super) async fn rotate(&mut self, name: &KeyspaceName) -> Result<(), KeeperError> {
        self.maintain().await?;
        let present = self
            .handles
            .node
            .key_state
            .keyring()
            .keyspaces
            .get(name)
            .cloned();
        let present = present.ok_or(KeeperError::UnknownKeyspace)?;
        self.check_not_erased(present.id)?;
        if present.versions.len() >= MAX_LIVE_VERSIONS {
            return Err(KeeperError::TooManyVersions(present.versions.len()));
        }
        let newest = present.versions.last().map(|it| it.tree.version.number());
        let next = newest.and_then(|newest| KeyVersion::new(newest.checked_add(1)?));
        let next = next.ok_or(KeeperError::TooManyVersions(present.versions.len()))?;
        let id = present.id;
        drop(present);
        let entry = draw_entry(self.ports.entropy.as_ref(), id, next)?;
        let since = self.ports.clock.now();
        let row = VersionRow {
            version: next,
            created_at: since,
        };
        let work = Work {
            versions: vec![NewVersion::Next(row, entry)],
            ..Work::default()
        };
        Ok(self.change_rules(since, work).await?)
    }

    /// Makes a new root. Nothing below it changes.
    pub(super) async fn rotate_root(&mut self) -> Result<(), KeeperError> {
        self.maintain().await?;
        Ok(self.batch(Work::default()).await?)
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
