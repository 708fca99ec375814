//! A node that only reads. `docs/design.md#reads`.
//!
//! It stays with the primary, so a fail-over leaves it with the old one.

mod moves;

use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::names::{Leaf, RootId, Sequence};
use crate::scope::Topology;
use crate::set::Set;
use crate::state::State;
use crate::store::Meta;

/// A lease to serve keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lease {
    None,
    /// In the store, but perhaps not on the copy that is promoted next.
    Asked,
    Running,
}

/// The state of the shreds as of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct View {
    sequence: Sequence,
    live: Set<Leaf>,
}

/// A request for a data key of [`Leaf::Shredded`]; its audit record is being made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Request {
    Unwrap,
    /// Opened under this view.
    Rewrap(View),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    lease: Lease,
    cache: Option<View>,
    /// Read from the store, not yet in the cache.
    loading: Option<View>,
    /// The cache takes nothing older.
    floor: Sequence,
    /// Root of the batch that it acknowledged last.
    acknowledged: RootId,
    request: Option<Request>,
    /// It gave out a data key of a leaf that a receipt covers.
    pub(crate) answered_too_late: bool,
}

impl Reader {
    pub(crate) const NEW: Self = Self {
        lease: Lease::None,
        cache: None,
        loading: None,
        floor: Sequence(0),
        acknowledged: RootId(0),
        request: None,
        answered_too_late: false,
    };

    pub(crate) fn is_serving(&self) -> bool {
        self.serves().is_some()
    }

    fn serves(&self) -> Option<View> {
        self.cache.filter(|_| self.lease == Lease::Running)
    }
}

/// What a reader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReaderMove {
    AskForLease,
    LeaseCounts,
    LeaseLapses,
    Read,
    Insert,
    Acknowledge,
    BeginUnwrap,
    BeginRewrap,
    Answer,
    /// Read and insert at once.
    Load,
    /// An unwrap from beginning to end.
    Serve,
}

impl ReaderMove {
    /// Beside two leaders, who make states enough, the reader takes larger steps.
    pub(crate) const fn for_topology(topology: Topology) -> &'static [Self] {
        match topology {
            Topology::Embedded => &[
                Self::AskForLease,
                Self::LeaseCounts,
                Self::LeaseLapses,
                Self::Read,
                Self::Insert,
                Self::Acknowledge,
                Self::BeginUnwrap,
                Self::BeginRewrap,
                Self::Answer,
            ],
            Topology::Cluster => &[
                Self::AskForLease,
                Self::LeaseCounts,
                Self::LeaseLapses,
                Self::Load,
                Self::Acknowledge,
                Self::Serve,
            ],
        }
    }
}

impl Protocol {
    /// Step 6 need not wait: what was cached below older roots is gone.
    pub(crate) fn has_acknowledged(&self, state: &State, batch: &Meta) -> bool {
        let reader = &state.reader;
        let acknowledged = if self.makes(Mutation::AcknowledgeSequence) {
            reader.floor >= batch.sequence
        } else {
            reader.acknowledged == batch.root
        };
        acknowledged || reader.lease == Lease::None
    }
}
