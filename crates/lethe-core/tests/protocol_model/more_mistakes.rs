//! More rules of the protocol, and those that many nodes need: each is needed.

use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::properties::{FORGOTTEN, KEPT, SILENT};
use crate::scope::{self, Scope};
use crate::search::breaks;

fn caught(mistake: &'static [Mutation; 1], scope: Scope, promise: &str) {
    breaks(Protocol::right(scope).but(mistake), promise);
}

#[test]
fn fence_without_the_lease() {
    caught(
        &[Mutation::FenceWithoutLease],
        scope::fail_over(),
        FORGOTTEN,
    );
}

#[test]
fn sweep_before_older_leases_lapse() {
    let mistake = &[Mutation::SweepBeforeLeasesLapse];
    caught(mistake, scope::fail_over(), FORGOTTEN);
}

#[test]
fn batch_without_the_barrier() {
    caught(&[Mutation::BatchWithoutBarrier], scope::fail_over(), KEPT);
}

#[test]
fn read_back_unchecked() {
    caught(&[Mutation::ReadBackUnchecked], scope::fail_over(), KEPT);
}

#[test]
fn answer_without_the_last_look() {
    let mistake = &[Mutation::AnswerWithoutLooking];
    caught(mistake, scope::embedded(), FORGOTTEN);
}

#[test]
fn leases_listed_before_the_commit() {
    caught(
        &[Mutation::LeasesListedBeforeCommit],
        scope::reads(),
        SILENT,
    );
}

#[test]
fn lease_that_is_not_flushed() {
    let mistake = &[Mutation::LeaseUnflushed];
    caught(mistake, scope::reads_over_fail_over(), SILENT);
}

#[test]
fn read_before_the_lease() {
    caught(&[Mutation::ReadBeforeLease], scope::reads(), SILENT);
}

#[test]
fn stale_insert() {
    caught(&[Mutation::StaleInsert], scope::reads(), SILENT);
}

#[test]
fn answer_unchecked() {
    caught(&[Mutation::AnswerUnchecked], scope::reads(), SILENT);
}

/// The COMMIT of a node that died is done after the recovery has read meta.
#[test]
fn take_over_without_the_lock() {
    caught(&[Mutation::TakeOverWithoutLock], scope::embedded(), KEPT);
}

#[test]
fn take_over_that_is_not_flushed() {
    caught(&[Mutation::TakeOverUnflushed], scope::contended(), KEPT);
}

#[test]
fn fence_by_number() {
    caught(&[Mutation::FenceByNumber], scope::contended(), KEPT);
}

/// Of the old primary's batch, taken for that of the new one.
#[test]
fn acknowledgement_of_a_sequence() {
    let mistake = &[Mutation::AcknowledgeSequence];
    caught(mistake, scope::reads_over_fail_over(), SILENT);
}
