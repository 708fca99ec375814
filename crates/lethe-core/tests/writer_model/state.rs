//! What there is: rows that the writer reaches, and what he does not.

use std::collections::BTreeSet;

/// A conversation; or its leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    First,
    Second,
    /// Nobody ever asks to forget it.
    NeverAsked,
}

/// A request to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Request {
    /// Whom its commitment, and so its receipt, speaks of.
    pub(crate) of: Who,
    /// What it punctures.
    pub(crate) leaf: Who,
}

/// Its row: `mac` is the number and the request that the MAC was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) request: Request,
    pub(crate) mac: Option<(u8, Request)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Running,
    Stopped,
    Halted,
}

/// Requests `first` to `last`; of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) sequence: u8,
    pub(crate) first: u8,
    pub(crate) last: u8,
}

/// Sealed under the HSM's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Directory {
    pub(crate) sequence: u8,
    /// Requests up to this one, from 1.
    pub(crate) fulfilled: u8,
    pub(crate) batch: Option<Batch>,
    pub(crate) minimum: u8,
}

/// Places for requests.
pub(crate) const ROWS: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) phase: Phase,
    pub(crate) crashed: bool,
    /// Edits so far.
    pub(crate) edits: u8,
    // The database.
    pub(crate) requests: [Option<Row>; ROWS],
    pub(crate) unsigned: Option<Batch>,
    /// An expired bucket: whether its row has its MAC.
    pub(crate) bucket: Option<bool>,
    pub(crate) minimum: u8,
    // Sealed, or in the HSM.
    pub(crate) directory: Directory,
    pub(crate) forgotten: BTreeSet<Who>,
    // What happened.
    pub(crate) accepted: Vec<Who>,
    pub(crate) receipts: BTreeSet<Who>,
    pub(crate) false_expiry: bool,
    /// Rows with their MACs, as they ever stood there.
    pub(crate) archive: BTreeSet<(u8, Row)>,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Running,
            crashed: false,
            edits: 0,
            requests: [None; ROWS],
            unsigned: None,
            bucket: None,
            minimum: 0,
            directory: Directory {
                sequence: 1,
                fulfilled: 0,
                batch: None,
                minimum: 0,
            },
            forgotten: BTreeSet::new(),
            accepted: Vec::new(),
            receipts: BTreeSet::new(),
            false_expiry: false,
            archive: BTreeSet::new(),
        }
    }
}
