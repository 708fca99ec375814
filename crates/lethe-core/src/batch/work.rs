//! The work of a batch, and what it changes in the directory.

use std::collections::BTreeMap;

use super::IssueRules;
use crate::approval::ApprovalDecision;
use crate::directory::{Directory, Entry};
use crate::erasure::{AcceptedErasure, ErasureKind};
use crate::identity::KeyspaceId;
use crate::ports::{KeyspaceChange, KeyspaceRow, VersionRow};
use crate::tree::{Address, TreeId};

/// A new key version with its secrets.
pub enum NewVersion {
    /// The first version of a new keyspace.
    First(KeyspaceRow, Entry),
    /// The next version of a keyspace.
    Next(VersionRow, Entry),
}

/// What one batch does: erasures, then new versions, then changed keyspaces.
#[derive(Default)]
pub struct Work {
    /// Erasures with consecutive numbers.
    pub erasures: Vec<AcceptedErasure>,
    /// New versions.
    pub versions: Vec<NewVersion>,
    /// Changed keyspaces, with their new rows.
    pub keyspaces: Vec<KeyspaceRow>,
    /// How it changes the rules by which keys are issued.
    pub rules: IssueRules,
    /// The approval of a second operator that the batch carries out. Its commit makes it approved.
    pub approved: Option<ApprovalDecision>,
}

/// The changes that the work makes.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) keyspaces: Vec<KeyspaceChange>,
    /// Leaves to destroy, in trees that are not dropped.
    pub(super) leaves: BTreeMap<TreeId, Vec<Address>>,
    /// Trees that are dropped.
    pub(super) dropped: Vec<TreeId>,
}

impl Work {
    /// Changes the directory, except the covers of trees that are not dropped. Leaves and versions that do
    /// not exist any more are left out.
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
        let exists = |tree: &TreeId| directory.entry(tree.keyspace, tree.version).is_some();
        plan.leaves.retain(|tree, _| exists(tree));
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
