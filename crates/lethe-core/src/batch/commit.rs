//! Steps 2 and 3: destroy leaves and versions, seal everything with new keys under the new root, and commit.

use std::collections::BTreeMap;

use super::commitments::{Change, check_next, commit_to};
use super::load::{Overlay, load};
use super::sign::Unsigned;
use super::work::Work;
use super::{BatchError, Current, Node};
use crate::directory::root_aad;
use crate::erasure::AcceptedErasure;
use crate::identity::{DeploymentId, HsmKeyId};
use crate::page_cache::TreeDelta;
use crate::ports::{BatchCommit, Fulfilled, HsmKey, MetaRow, RootShare, StoreError, TreeChange};
use crate::secret::Secret32;
use crate::tree::{
    Address, CoverRoot, LeafId, PageVersion, Puncture, PunctureError, Punctured, TreeId,
};

/// The number of leaves that the read-back checks: all leaves of a small batch, a sample of a large one.
const MAX_SAMPLE: usize = 8;

/// A new root is in the HSM. The store does not name it yet.
pub(super) struct Rooted {
    pub(super) current: Current,
    pub(super) root: HsmKey,
}

/// The store names the new root. The old root is still in the HSM.
pub(super) struct Committed {
    pub(super) deployment: DeploymentId,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) signing_key: HsmKeyId,
    pub(super) root: HsmKey,
    /// The root that the new one replaces; none in the first batch and after a recovery.
    pub(super) replaced: Option<HsmKey>,
    /// The changes of trees, for caches; none after a recovery.
    pub(super) deltas: Option<Vec<TreeDelta>>,
    pub(super) keyspaces_changed: bool,
    pub(super) dropped: Vec<TreeId>,
    /// Leaves for which the read-back checks that they are destroyed.
    pub(super) sample: Vec<LeafId>,
    /// The erasures that the batch fulfils.
    pub(super) erasures: Vec<AcceptedErasure>,
    /// An earlier batch without a signature, if a recovery found one.
    pub(super) unsigned: Option<Unsigned>,
}

impl Rooted {
    /// Draws all keys, seals the pages and the directory, and writes everything in one transaction.
    pub(super) async fn commit(self, node: Node<'_>, work: Work) -> Result<Committed, BatchError> {
        let Self { mut current, root } = self;
        let sequence = current.sequence + 1;
        let replaced = current.root;
        let rules = work.rules;
        let approved = work.approved.clone();
        check_next(&current.directory, &work.erasures)?;
        let (plan, erasures) = work.plan(&mut current.directory);
        let sample = sample(&plan.leaves);
        let (mut trees, mut deltas) = (Vec::new(), Vec::new());
        for (tree, leaves) in plan.leaves {
            if let Some(punctured) = puncture(node, &current, sequence, tree, &leaves).await? {
                let (change, new_root, delta) = split(tree, leaves, punctured);
                current.directory.set_root(tree, new_root);
                trees.push(change);
                deltas.push(delta);
            }
        }
        let fulfilled = fulfilled(&erasures, replaced.map(|root| root.id));
        let mark = node.ports.clock.mark();
        let change = Change {
            keyspaces: &plan.keyspaces,
            fulfilled,
            rules,
            mark: &mark,
        };
        let begins = commit_to(node.ports, &mut current, change).await?;
        let meta = seal_meta(node, &current, sequence, root).await?;
        let commit = BatchCommit {
            meta,
            keyspaces: plan.keyspaces,
            trees,
            fulfilled,
            mark,
            begins,
            approved,
        };
        node.ports.store.commit_batch(&commit).await?;
        Ok(Committed {
            deployment: current.deployment,
            epoch: current.epoch,
            sequence,
            signing_key: current.signing_key,
            root,
            replaced,
            deltas: Some(deltas),
            keyspaces_changed: !commit.keyspaces.is_empty(),
            dropped: plan.dropped,
            sample,
            erasures,
            unsigned: None,
        })
    }
}

fn fulfilled(erasures: &[AcceptedErasure], replaced: Option<HsmKeyId>) -> Option<Fulfilled> {
    Some(Fulfilled {
        first: erasures.first()?.number,
        last: erasures.last()?.number,
        replaced_root: replaced?,
    })
}

/// The meta row: the directory key sealed by the new root in the HSM, and the directory sealed by that key.
async fn seal_meta(
    node: Node<'_>,
    current: &Current,
    sequence: u64,
    root: HsmKey,
) -> Result<MetaRow, BatchError> {
    let Current {
        deployment,
        epoch,
        directory,
        ..
    } = current;
    let key = Secret32::try_filled(|bytes| node.ports.entropy.fill(bytes))?;
    let aad = root_aad(*deployment, sequence, root.id);
    let sealed = node.ports.hsm.seal(root, &aad, &key).await?;
    let share = RootShare {
        root: root.id,
        sealed,
    };
    Ok(MetaRow {
        sequence,
        epoch: *epoch,
        share,
        directory: directory.seal(&key, *deployment, sequence),
    })
}

/// Destroys leaves of one tree. Loads the pages that are needed.
async fn puncture(
    node: Node<'_>,
    current: &Current,
    sequence: u64,
    tree: TreeId,
    leaves: &[Address],
) -> Result<Option<Punctured>, BatchError> {
    let Some(entry) = current.directory.entry(tree.keyspace, tree.version) else {
        return Ok(None);
    };
    let store = node.ports.store.as_ref();
    let puncture = Puncture {
        deployment: current.deployment,
        version: PageVersion::new(sequence),
        next_tail: store.next_tail(tree).await?,
        entropy: node.ports.entropy.as_ref(),
    };
    let mut pages = Overlay::over(node.pages);
    loop {
        match entry.tree().puncture(leaves, &pages, puncture) {
            Ok(done) => {
                // The old pages stay in the cache for the present state, in case the HSM is away after the
                // commit.
                pages.share(current.sequence);
                return Ok(done);
            }
            Err(PunctureError::Missing(missing)) => {
                load(store, current.deployment, &missing, &mut pages).await?;
            }
            Err(PunctureError::TailIds(_)) => {
                return Err(StoreError::Corrupt("tree.next_tail".into()).into());
            }
            Err(PunctureError::Entropy(error)) => return Err(error.into()),
        }
    }
}

fn split(
    tree: TreeId,
    forgotten: Vec<Address>,
    punctured: Punctured,
) -> (TreeChange, CoverRoot, TreeDelta) {
    let Punctured {
        root,
        pages,
        tails,
        superseded,
        next_tail,
        loaded,
    } = punctured;
    let bytes = pages.iter().map(|page| page.bytes.len());
    let bytes = bytes.chain(tails.iter().map(|tail| tail.bytes.len()));
    let delta = TreeDelta {
        tree,
        forgotten,
        loaded,
        superseded: superseded.clone(),
        bytes: bytes.sum::<usize>() as u64,
    };
    let change = TreeChange {
        tree,
        pages,
        tails,
        superseded,
        next_tail,
    };
    (change, root, delta)
}

/// Leaves at even distances.
fn sample(leaves: &BTreeMap<TreeId, Vec<Address>>) -> Vec<LeafId> {
    let all: usize = leaves.values().map(Vec::len).sum();
    let step = all.div_ceil(MAX_SAMPLE).max(1);
    let each = leaves.iter().flat_map(|(tree, addresses)| {
        addresses.iter().map(|address| LeafId {
            tree: *tree,
            address: *address,
        })
    });
    each.step_by(step).collect()
}
