//! Steps 2 and 3: with the new root in the HSM, forget, seal everything anew, and commit.

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

/// Leaves that the read-back looks at, at most: all of a small batch, a sample of a large one.
const SAMPLE: usize = 8;

/// A new root is in the HSM; nothing names it yet.
pub(super) struct Rooted {
    pub(super) current: Current,
    pub(super) root: HsmKey,
}

/// The store names the new root; the old one still lives.
pub(super) struct Committed {
    pub(super) deployment: DeploymentId,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) signing_key: HsmKeyId,
    pub(super) root: HsmKey,
    /// The root that it replaced.
    pub(super) replaced: Option<HsmKey>,
    /// For caches; none after a recovery.
    pub(super) deltas: Option<Vec<TreeDelta>>,
    pub(super) keyspaces_changed: bool,
    pub(super) dropped: Vec<TreeId>,
    /// Leaves that must be found forgotten.
    pub(super) sample: Vec<LeafId>,
    /// What it fulfils.
    pub(super) erasures: Vec<AcceptedErasure>,
    /// A batch that is still to be signed, where a recovery found one.
    pub(super) unsigned: Option<Unsigned>,
}

impl Rooted {
    /// Draws every key, seals, and writes all in one transaction.
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

/// The directory key under the new root, in the HSM; the directory under that key.
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

/// Forgets leaves of one tree, and loads the pages that it takes.
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
                // What is replaced stays at hand for the present state, should the HSM be away
                // between the commit and the next one.
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

/// Evenly from all of them.
fn sample(leaves: &BTreeMap<TreeId, Vec<Address>>) -> Vec<LeafId> {
    let all: usize = leaves.values().map(Vec::len).sum();
    let step = all.div_ceil(SAMPLE).max(1);
    let each = leaves.iter().flat_map(|(tree, addresses)| {
        addresses.iter().map(|address| LeafId {
            tree: *tree,
            address: *address,
        })
    });
    each.step_by(step).collect()
}
