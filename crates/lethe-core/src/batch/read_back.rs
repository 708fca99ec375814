//! Steps 4 to 6: the barrier; the read-back; and the acknowledgement of all lease holders.

use super::commit::Committed;
use super::commitments::check_batch;
use super::lease_holders::NewState;
use super::load::{Overlay, load};
use super::opened::{authenticate, open_directory};
use super::{BatchError, Halt, Node, Ports, Reader};
use crate::directory::Directory;
use crate::erasure::{AcceptedErasure, ErasureKind};
use crate::ports::Strength;
use crate::tree::{LeafId, Lookup};

/// The commit has passed the barrier.
pub(super) struct Flushed(Committed);

/// The new state was read and opened in the same way as after a restart.
pub(super) struct ReadBack {
    committed: Committed,
    directory: Directory,
}

/// No node holds anything below the old root any more.
pub(super) struct Acknowledged {
    pub(super) committed: Committed,
    pub(super) directory: Directory,
}

impl Committed {
    /// Step 4.
    pub(super) async fn flush(self, ports: &Ports) -> Result<Flushed, BatchError> {
        ports.store.barrier(Strength::Destroying).await?;
        Ok(Flushed(self))
    }
}

impl Flushed {
    /// Step 5: reads what was written, opens it through the root in the HSM, and checks that the leaves are
    /// destroyed.
    pub(super) async fn read_back(self, ports: &Ports) -> Result<ReadBack, BatchError> {
        let committed = self.0;
        let reader = Reader::of(ports);
        let meta = reader.meta().await?;
        if meta.root(committed.deployment) != committed.root {
            return Err(Halt::RootDoesNotOpen(committed.root.id.to_string()).into());
        }
        let directory = open_directory(reader, committed.deployment, &meta).await?;
        authenticate(reader, &directory).await?;
        if let Some(commitments) = directory.commitments() {
            check_batch(ports, commitments, committed.unsigned.as_ref()).await?;
        }
        let unsigned = committed.unsigned.iter().flat_map(|it| &it.erasures);
        check_gone(&directory, committed.erasures.iter().chain(unsigned))?;
        let mut pages = Overlay::default();
        for leaf in &committed.sample {
            check_forgotten(ports, &committed, &directory, *leaf, &mut pages).await?;
        }
        Ok(ReadBack {
            committed,
            directory,
        })
    }
}

/// Checks that erased keyspaces and dropped versions are not in the directory.
fn check_gone<'r>(
    directory: &Directory,
    erasures: impl Iterator<Item = &'r AcceptedErasure>,
) -> Result<(), Halt> {
    for AcceptedErasure { erasure, .. } in erasures {
        let keyspace = erasure.keyspace;
        let exists = match &erasure.kind {
            ErasureKind::Shred { .. } => false,
            ErasureKind::EraseKeyspace(_) => {
                let mut entries = directory.entries().iter();
                entries.any(|entry| entry.keyspace == keyspace)
            }
            ErasureKind::DropVersion(version) => directory.entry(keyspace, *version).is_some(),
        };
        if exists {
            return Err(Halt::NotForgotten);
        }
    }
    Ok(())
}

/// Checks that a leaf is destroyed, with pages from the store and not from the cache. In a tree that is dropped
/// all leaves are destroyed.
async fn check_forgotten(
    ports: &Ports,
    committed: &Committed,
    directory: &Directory,
    leaf: LeafId,
    pages: &mut Overlay<'_>,
) -> Result<(), BatchError> {
    let Some(entry) = directory.entry(leaf.tree.keyspace, leaf.tree.version) else {
        return Ok(());
    };
    loop {
        match entry.tree().lookup(leaf.address, &*pages) {
            Lookup::Forgotten => return Ok(()),
            Lookup::Leaf(_) => return Err(Halt::NotForgotten.into()),
            Lookup::Missing(page) => {
                let store = ports.store.as_ref();
                load(store, committed.deployment, &[page], pages).await?;
            }
        }
    }
}

impl ReadBack {
    /// Step 6.
    pub(super) async fn acknowledge(self, node: Node<'_>) -> Result<Acknowledged, BatchError> {
        let Self {
            mut committed,
            directory,
        } = self;
        let state = NewState {
            sequence: committed.sequence,
            directory: &directory,
            deltas: committed.deltas.take(),
            keyspaces_changed: committed.keyspaces_changed,
            dropped: std::mem::take(&mut committed.dropped),
        };
        node.holders.advance(state).await?;
        Ok(Acknowledged {
            committed,
            directory,
        })
    }
}
