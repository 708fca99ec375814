//! Steps 4 to 6: the barrier; reading back as a restart would; and everybody forgets.

use super::commit::Committed;
use super::holders::Advance;
use super::load::{Overlay, load};
use super::{BatchError, Halt, Node, Ports};
use crate::directory::{Directory, root_aad};
use crate::ports::HsmError;
use crate::tree::{LeafId, Lookup};

/// The commit is flushed to every copy that could ever be promoted.
pub(super) struct Flushed(Committed);

/// The new state was read and opened as a restart would.
pub(super) struct ReadBack {
    committed: Committed,
    directory: Directory,
}

/// Nobody holds anything below the old root any more.
pub(super) struct Acknowledged {
    pub(super) committed: Committed,
    pub(super) directory: Directory,
}

impl Committed {
    /// Step 4.
    pub(super) async fn flush(self, ports: &Ports) -> Result<Flushed, BatchError> {
        ports.store.barrier().await?;
        Ok(Flushed(self))
    }
}

impl Flushed {
    /// Step 5: reads what was written, opens it through the root in the HSM, and looks whether
    /// what was forgotten is.
    pub(super) async fn read_back(self, ports: &Ports) -> Result<ReadBack, BatchError> {
        let committed = self.0;
        let meta = ports.store.meta().await?.ok_or(Halt::NotInitialised)?;
        let unopened = || Halt::RootDoesNotOpen(committed.root.id.to_string());
        if meta.sequence != committed.sequence || meta.share.root != committed.root.id {
            return Err(unopened().into());
        }
        let aad = root_aad(committed.deployment, committed.sequence, committed.root.id);
        let opened = ports.hsm.open(committed.root, &aad, &meta.share.sealed);
        let key = opened.await.map_err(|error| match error {
            HsmError::DoesNotOpen | HsmError::NotFound => BatchError::Halt(unopened()),
            other => other.into(),
        })?;
        let directory = Directory::open(
            &meta.directory,
            &key,
            committed.deployment,
            committed.sequence,
        )
        .map_err(|_| Halt::DirectoryDoesNotOpen)?;
        for leaf in &committed.sample {
            check_forgotten(ports, &committed, &directory, *leaf).await?;
        }
        Ok(ReadBack {
            committed,
            directory,
        })
    }
}

/// By pages from the store alone.
async fn check_forgotten(
    ports: &Ports,
    committed: &Committed,
    directory: &Directory,
    leaf: LeafId,
) -> Result<(), BatchError> {
    let entry = directory.entry(leaf.tree.keyspace, leaf.tree.version);
    let entry = entry.ok_or(Halt::NotForgotten)?;
    let mut pages = Overlay::default();
    loop {
        match entry.tree().lookup(leaf.address, &pages) {
            Lookup::Forgotten => return Ok(()),
            Lookup::Leaf(_) => return Err(Halt::NotForgotten.into()),
            Lookup::Missing(page) => {
                let store = ports.store.as_ref();
                load(store, committed.deployment, &[page], &mut pages).await?;
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
        let advance = Advance {
            sequence: committed.sequence,
            directory: &directory,
            grown: committed.grown.take(),
            dropped: std::mem::take(&mut committed.dropped),
        };
        node.holders.advance(advance).await?;
        Ok(Acknowledged {
            committed,
            directory,
        })
    }
}
