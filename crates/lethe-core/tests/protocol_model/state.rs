//! The state of the world.

use crate::archive::Archive;
use crate::hsm::{Hsm, Label};
use crate::names::{Epoch, Fence, Leaf, NodeId, PageKeys, RootId, Sequence};
use crate::node::{Lease, Node, Step};
use crate::reader::Reader;
use crate::scope::{Budget, Scope};
use crate::set::Set;
use crate::store::{Meta, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) hsm: Hsm,
    pub(crate) store: Store,
    pub(crate) archive: Archive,
    first: Node,
    second: Node,
    pub(crate) reader: Reader,
    /// Accepted shreds.
    pub(crate) accepted: Set<Leaf>,
    /// Shreds that somebody holds a receipt of.
    pub(crate) receipts: Set<Leaf>,
    /// Mistake: whether the reader's lease was listed before the commit.
    pub(crate) listed_early: bool,
    pub(crate) left: Budget,
}

impl State {
    /// The first node leads, nothing is shredded, all copies are alike.
    pub(crate) fn new(scope: &Scope) -> Self {
        let (mut hsm, mut archive) = (Hsm::EMPTY, Archive::EMPTY);
        let meta = first_batch(&mut hsm, &mut archive);
        let holder = NodeId::First;
        let fence = Fence {
            epoch: meta.epoch,
            holder,
        };
        let mut state = Self {
            hsm,
            store: Store::new(meta, fence),
            archive,
            first: leader(meta),
            second: Node::stopped(Step::Down),
            reader: Reader::NEW,
            accepted: Set::EMPTY,
            receipts: Set::EMPTY,
            listed_early: false,
            left: scope.budget,
        };
        if scope.store_is_behind {
            state.fall_behind();
        }
        state
    }

    /// A leader of epoch 3 took over and crashed in its batch. Then its store was lost and one from
    /// before was restored, which knows of no epoch but 1.
    fn fall_behind(&mut self) {
        let root = self.hsm.create(Label {
            sequence: Sequence(2),
            epoch: Epoch(3),
        });
        self.archive.keep(root, PageKeys(root), Set::all());
        self.first = Node::stopped(Step::Down);
    }

    pub(crate) const fn node(&self, id: NodeId) -> &Node {
        match id {
            NodeId::First => &self.first,
            NodeId::Second => &self.second,
        }
    }

    pub(crate) const fn node_mut(&mut self, id: NodeId) -> &mut Node {
        match id {
            NodeId::First => &mut self.first,
            NodeId::Second => &mut self.second,
        }
    }

    pub(crate) const fn nodes(&self) -> [&Node; 2] {
        [&self.first, &self.second]
    }

    pub(crate) fn enter(&mut self, id: NodeId, step: Step) {
        let node = self.node_mut(id);
        node.step = step;
        if node.is_stopped() {
            *node = Node::stopped(step);
        }
    }

    /// Leaves that W and S give away together.
    pub(crate) fn derivable(&self) -> Set<Leaf> {
        self.archive.derivable(self.hsm.roots_up_to(Epoch::MAX))
    }
}

fn first_batch(hsm: &mut Hsm, archive: &mut Archive) -> Meta {
    let (sequence, epoch) = (Sequence(1), Epoch(1));
    let root = hsm.create(Label { sequence, epoch });
    let (keys, live) = (PageKeys(root), Set::all());
    archive.keep(root, keys, live);
    Meta {
        sequence,
        epoch,
        root,
        keys,
        live,
    }
}

fn leader(meta: Meta) -> Node {
    Node {
        step: Step::Ready(meta, None),
        epoch: meta.epoch,
        lease: Lease::Running,
        first_unknown: RootId(1),
        ..Node::stopped(Step::Down)
    }
}

/// Spends one of what is left; none when there is none.
pub(crate) fn spend(left: &mut u8) -> Option<()> {
    *left = left.checked_sub(1)?;
    Some(())
}
