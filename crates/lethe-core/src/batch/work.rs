//! What a batch is to do, and what that changes in the directory.

use std::collections::BTreeMap;

use super::IssueRules;
use crate::approval::ApprovalDecision;
use crate::directory::{Directory, Entry};
use crate::erasure::{AcceptedErasure, ErasureKind};
use crate::identity::KeyspaceId;
use crate::ports::{KeyspaceChange, KeyspaceRow, VersionRow};
use crate::tree::{Address, TreeId};

/// A version to be made, with its fresh secrets.
pub enum NewVersion {
    /// The first of a new keyspace.
    First(KeyspaceRow, Entry),
    /// The newest of one that is there.
    Next(VersionRow, Entry),
}

/// What one batch does, in order: erasures, new versions, other settings.
#[derive(Default)]
pub struct Work {
    /// Neighbours in the order of acceptance.
    pub erasures: Vec<AcceptedErasure>,
    /// New versions.
    pub versions: Vec<NewVersion>,
    /// Keyspaces that are there, as they are to be.
    pub keyspaces: Vec<KeyspaceRow>,
    /// Whether keys are issued by other rules afterwards.
    pub rules: IssueRules,
    /// A second operator's approval that it carries out: given with the batch's commit.
    pub approved: Option<ApprovalDecision>,
}

/// What it comes down to.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) keyspaces: Vec<KeyspaceChange>,
    /// Leaves to forget, in trees that go on.
    pub(super) leaves: BTreeMap<TreeId, Vec<Address>>,
    /// Trees that are forgotten whole.
    pub(super) dropped: Vec<TreeId>,
}

impl Work {
    /// Changes the directory but for the covers of trees that go on. What is gone already is as
    /// good as forgotten.
    pub(super) fn plan(self, directory: &mut Directory) -> (Plan, Vec<AcceptedErasure>) {
        let mut plan = Plan::default();
        for AcceptedErasure { erasure, .. } in &self.erasures {
            match &erasure.kind {
                ErasureKind::Shred { .. } => {
                    for leaf in erasure.leaves() {
                        let leaves = plan.leaves.entry(leaf.tree).or_default();
                        leaves.push(leaf.address);
                    }
                }
                ErasureKind::EraseKeyspace(_) => plan.erase(directory, erasure.keyspace),
                ErasureKind::DropVersion(version) => plan.drop_version(
                    directory,
                    TreeId {
                        keyspace: erasure.keyspace,
                        version: *version,
                    },
                ),
            }
        }
        let lives = |tree: &TreeId| directory.entry(tree.keyspace, tree.version).is_some();
        plan.leaves.retain(|tree, _| lives(tree));
        for version in self.versions {
            plan.add(directory, version);
        }
        let replaced = self.keyspaces.into_iter().map(KeyspaceChange::Replace);
        plan.keyspaces.extend(replaced);
        (plan, self.erasures)
    }
}

impl Plan {
    fn erase(&mut self, directory: &mut Directory, keyspace: KeyspaceId) {
        let versions = directory.remove_keyspace(keyspace);
        if versions.is_empty() {
            return;
        }
        self.keyspaces.push(KeyspaceChange::DropKeyspace(keyspace));
        let tree = |version| TreeId { keyspace, version };
        self.dropped.extend(versions.into_iter().map(tree));
    }

    fn drop_version(&mut self, directory: &mut Directory, tree: TreeId) {
        if directory.remove(tree.keyspace, tree.version) {
            let change = KeyspaceChange::DropVersion(tree.keyspace, tree.version);
            self.keyspaces.push(change);
            self.dropped.push(tree);
        }
    }

    fn add(&mut self, directory: &mut Directory, version: NewVersion) {
        let (change, entry) = match version {
            NewVersion::First(row, entry) => (KeyspaceChange::Create(row), entry),
            NewVersion::Next(row, entry) => {
                (KeyspaceChange::AddVersion(entry.keyspace, row), entry)
            }
        };
        self.keyspaces.push(change);
        directory.insert(entry);
    }
}
