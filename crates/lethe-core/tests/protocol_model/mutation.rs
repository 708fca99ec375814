//! What a protocol may have less, or more, than `docs/design.md#batch` says.

/// One rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    // Those that `docs/design.md#mistakes` lists, in its order.
    /// Step 7 before the commit of step 3.
    DestroyBeforeCommit,
    /// A fail-over goes to a copy that the barrier does not ask.
    AsynchronousFailOver,
    /// Step 8 does not wait for what step 7 finds.
    AnswerBeforeConfirmed,
    /// Page bytes go out, then the fence is checked.
    PagesBeforeFence,
    /// The fence is checked, then R' is made.
    FenceBeforeRoot,
    /// Step 7 destroys newer leaders' roots, too.
    SweepWithoutEpochGuard,
    /// Recovery opens meta when it has swept.
    SweepBeforeOpening,
    /// Recovery skips step 4.
    RecoveryWithoutBarrier,
    /// The labels in the HSM do not count for a new leader's epoch.
    EpochFromStore,
    /// A rewrap wraps under the state that it finds when it wraps.
    RewrapAcrossShred,
    /// A retried transaction seals other pages under the keys of the first attempt.
    RetryKeepsPageKeys,

    // More rules of the protocol.
    /// Step 2 checks the epoch in its database, not its own lease.
    FenceWithoutLease,
    /// The first sweep does not wait for older leases.
    SweepBeforeLeasesLapse,
    /// A batch skips step 4.
    BatchWithoutBarrier,
    /// Step 5 takes whatever it reads.
    ReadBackUnchecked,
    /// Step 7 does not look again.
    AnswerWithoutLooking,
    /// The leases of step 6 are listed before the commit.
    LeasesListedBeforeCommit,
    /// A reader's lease counts before it is flushed.
    LeaseUnflushed,
    /// A reader reads meta, then takes its lease.
    ReadBeforeLease,
    /// A reader's cache takes what is older than it acknowledged.
    StaleInsert,
    /// A reader does not check again before it answers.
    AnswerUnchecked,

    // Rules for many nodes that the model needs.
    /// A take-over does not wait for the lock of the meta row.
    TakeOverWithoutLock,
    /// Step 5 does not read the fence back, so a take-over counts before it is flushed.
    TakeOverUnflushed,
    /// The fence is a number and does not say whose.
    FenceByNumber,
    /// An acknowledgement names a sequence, which two leaders can use.
    AcknowledgeSequence,
}

/// One rule more, against what the model found the protocol to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amendment {
    /// Recovery waits out older leases before it opens meta, not only before it sweeps.
    WaitBeforeOpening,
    /// Where recovery finds other roots, somebody may be about to destroy the one that meta
    /// names. It commits under a new root of its own epoch before it relies on the store.
    FreshRoot,
    /// Step 8 needs a lease.
    AnswerWithLease,
    /// The claim in the HSM says which epoch was taken last, on whatever store.
    EpochInClaim,
    /// Step 7 sweeps again while what it finds is not newer than the leader.
    SweepAgain,
}
