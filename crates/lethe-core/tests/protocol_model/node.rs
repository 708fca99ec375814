//! A node that leads: its lease, and where it stands in a batch.

use crate::names::{CopyName, Epoch, PageKeys, RootId};
use crate::set::Set;
use crate::store::Meta;

/// A lease on leadership. Its lapse, to a successor that waits, is the holder's: drift is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lease {
    Running,
    Lapsed,
}

/// How a batch came to its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// This node wrote it.
    Written,
    /// A recovery found it in the store.
    Found,
}

/// A batch up to its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) base: Meta,
    pub(crate) next: Meta,
}

/// A batch from its commit on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) meta: Meta,
    pub(crate) origin: Origin,
}

/// Why a node stopped for a person to look. It has destroyed nothing since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Halt {
    /// The store's root does not open in the HSM.
    RootDoesNotOpen,
    /// A root of a newer leader, or one that outlived its destroy.
    ForeignRoot,
    /// A root of an older epoch that was made while this node swept.
    LateRoot,
    /// A root that had been there when the recovery began, and could have been swept.
    KnownRoot,
}

/// The steps of `docs/design.md#batch`; the number is the last one that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Crashed, or after an error: knows nothing.
    Down,
    Halted(Halt),
    /// Recovery has the fence and has opened nothing.
    TakenOver,
    /// Ready for a batch on this state. The keys are those of an attempt that failed, for the
    /// mistake that takes them again.
    Ready(Meta, Option<PageKeys>),
    /// Amendment: a recovery that replaces the root before it sweeps.
    Mistrusting(Meta),
    /// Mistake: 2 without 1. The root that `next` names is still the old one.
    FencedFirst(Change),
    /// 1
    Rooted(Change),
    /// 2
    Fenced(Change),
    /// Mistake: 3 without 2.
    WrittenFirst(Change),
    /// 3, bytes sent
    Written(Change),
    /// 3, COMMIT sent
    Committing(Meta),
    /// 3
    Committed(Batch),
    /// 4
    Flushed(Batch),
    /// 5
    ReadBack(Batch),
    /// 6
    Acknowledged(Batch),
    /// 7, listed; these are still to be destroyed.
    Sweeping(Batch, Set<RootId>),
    /// 7
    Alone(Batch),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) step: Step,
    pub(crate) epoch: Epoch,
    pub(crate) lease: Lease,
    /// The copy that it talks to.
    pub(crate) at: CopyName,
    /// Older roots were there when it took over.
    pub(crate) first_unknown: RootId,
}

impl Node {
    /// A crash forgets all, so all nodes that are down are alike.
    pub(crate) const fn stopped(step: Step) -> Self {
        Self {
            step,
            epoch: Epoch(0),
            lease: Lease::Lapsed,
            at: CopyName::Primary,
            first_unknown: RootId(0),
        }
    }

    pub(crate) const fn is_stopped(&self) -> bool {
        matches!(self.step, Step::Down | Step::Halted(_))
    }

    /// From the check of the fence to COMMIT the node's transaction holds the meta row. A database
    /// ends it when the node is gone.
    pub(crate) const fn holds_lock(&self) -> bool {
        matches!(
            self.step,
            Step::FencedFirst(_) | Step::Fenced(_) | Step::Written(_) | Step::Committing(_)
        )
    }

    /// From step 7 on the HSM is enough.
    pub(crate) const fn needs_store(&self) -> bool {
        !matches!(
            self.step,
            Step::Acknowledged(_) | Step::Sweeping(..) | Step::Alone(_)
        )
    }
}
