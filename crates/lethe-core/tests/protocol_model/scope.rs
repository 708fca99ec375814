//! How much may happen in one exhaustive search.

/// How often each may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    /// Starts and recoveries.
    pub(crate) take_overs: u8,
    /// Crashes, lost answers, calls of the HSM or the store that fail.
    pub(crate) failures: u8,
    /// Calls of the HSM that are given up on, and done later.
    pub(crate) late_calls: u8,
    /// Destroys that answer well and keep the key.
    pub(crate) lies: u8,
    /// Batches that forget nothing: new key versions.
    pub(crate) rotations: u8,
    /// Transactions that are begun anew.
    pub(crate) retries: u8,
    pub(crate) fail_overs: u8,
    /// Connections that find the promoted copy by themselves.
    pub(crate) reconnects: u8,
    /// Copies that are taken of the serving database, as a backup or by asynchronous replication.
    pub(crate) backups: u8,
    /// Starts of the old copy.
    pub(crate) restores: u8,
    /// Leases that the reader asks for.
    pub(crate) reader_leases: u8,
}

/// What a deployment runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// SQLite: one node, one copy.
    Embedded,
    /// Postgres: two nodes, a primary, and a synchronous standby that every commit must reach.
    Cluster,
}

/// One search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) topology: Topology,
    pub(crate) budget: Budget,
    /// The HSM holds a root of a higher epoch than the store's, and W pages below it.
    pub(crate) store_is_behind: bool,
    /// The old copy may be started while a node lives that has lost its database, not its HSM.
    pub(crate) restore_beside_living: bool,
}

impl Scope {
    const fn new(topology: Topology, budget: Budget) -> Self {
        Self {
            topology,
            budget,
            store_is_behind: false,
            restore_beside_living: false,
        }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.topology == Topology::Cluster
    }
}

macro_rules! budget {
    ($($what:ident: $count:literal),*) => {
        Budget { $($what: $count,)* ..Budget::default() }
    };
}

/// One node that crashes and retries, an HSM that fails and lies.
pub(crate) fn embedded() -> Scope {
    let budget = budget! {
        take_overs: 2, failures: 2, late_calls: 1, lies: 1, rotations: 1, retries: 1
    };
    Scope::new(Topology::Embedded, budget)
}

/// One node, and an operator who starts an old copy and puts the right one back.
pub(crate) fn restored() -> Scope {
    let budget = budget! { take_overs: 3, failures: 2, rotations: 1, backups: 1, restores: 1 };
    Scope::new(Topology::Embedded, budget)
}

/// One node on a store that is older than some root in the HSM.
pub(crate) fn behind() -> Scope {
    Scope {
        store_is_behind: true,
        ..Scope::new(
            Topology::Embedded,
            budget! { take_overs: 2, failures: 1, rotations: 1 },
        )
    }
}

/// One fail-over; the old leader goes on with its old primary, or finds the new one.
pub(crate) fn fail_over() -> Scope {
    let budget = budget! { take_overs: 1, rotations: 1, fail_overs: 1, reconnects: 1 };
    Scope::new(Topology::Cluster, budget)
}

/// Both nodes take over, before and after a fail-over, on either side of it.
pub(crate) fn contended() -> Scope {
    let budget = budget! { take_overs: 2, failures: 1, fail_overs: 1, reconnects: 2 };
    Scope::new(Topology::Cluster, budget)
}

/// A fail-over, an old copy started, and the right one put back.
pub(crate) fn wide() -> Scope {
    let budget = budget! {
        take_overs: 3, failures: 2, fail_overs: 1, reconnects: 1, backups: 1, restores: 1
    };
    Scope::new(Topology::Cluster, budget)
}

/// A reader beside one leader, each step of its requests by itself.
pub(crate) fn reads() -> Scope {
    let budget = budget! { take_overs: 1, failures: 1, reader_leases: 2 };
    Scope::new(Topology::Embedded, budget)
}

/// A reader that a fail-over leaves with the old primary.
pub(crate) fn reads_over_fail_over() -> Scope {
    let budget = budget! { take_overs: 1, rotations: 1, fail_overs: 1, reader_leases: 1 };
    Scope::new(Topology::Cluster, budget)
}

/// An old copy is started after a disaster, and a node of before wakes up.
pub(crate) fn restored_beside_living() -> Scope {
    Scope {
        restore_beside_living: true,
        ..Scope::new(
            Topology::Cluster,
            budget! { take_overs: 2, rotations: 1, restores: 1 },
        )
    }
}

/// An old copy is started while the HSM still has a call to do of before.
pub(crate) fn restored_too_soon() -> Scope {
    let budget = budget! { take_overs: 2, failures: 1, rotations: 1, restores: 1, late_calls: 1 };
    Scope::new(Topology::Embedded, budget)
}
