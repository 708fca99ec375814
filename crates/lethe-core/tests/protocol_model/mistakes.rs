//! The mistakes that `docs/design.md#mistakes` lists, in its order: each is caught.

use crate::model::Protocol;
use crate::mutation::Mutation;
use crate::properties::{FORGOTTEN, KEPT, RUNS};
use crate::scope::{self, Scope};
use crate::search::breaks;

/// One mistake.
fn caught(mistake: &'static [Mutation; 1], scope: Scope, promise: &str) {
    breaks(Protocol::right(scope).but(mistake), promise);
}

#[test]
fn destroy_before_commit() {
    caught(&[Mutation::DestroyBeforeCommit], scope::embedded(), KEPT);
}

#[test]
fn asynchronous_fail_over() {
    caught(&[Mutation::AsynchronousFailOver], scope::fail_over(), KEPT);
}

#[test]
fn answer_before_the_destroy_is_confirmed() {
    let mistake = &[Mutation::AnswerBeforeConfirmed];
    caught(mistake, scope::embedded(), FORGOTTEN);
}

#[test]
fn page_bytes_before_the_fence() {
    caught(&[Mutation::PagesBeforeFence], scope::fail_over(), FORGOTTEN);
}

#[test]
fn fence_before_the_root() {
    caught(&[Mutation::FenceBeforeRoot], scope::fail_over(), FORGOTTEN);
}

#[test]
fn sweep_without_the_epoch_guard() {
    caught(
        &[Mutation::SweepWithoutEpochGuard],
        scope::fail_over(),
        KEPT,
    );
}

#[test]
fn sweep_before_opening() {
    caught(&[Mutation::SweepBeforeOpening], scope::restored(), KEPT);
}

#[test]
fn recovery_without_the_barrier() {
    caught(
        &[Mutation::RecoveryWithoutBarrier],
        scope::fail_over(),
        KEPT,
    );
}

/// On the old primary, two leaderships of a node bear one number.
#[test]
fn epoch_from_a_store_that_a_fail_over_left_behind() {
    caught(&[Mutation::EpochFromStore], scope::contended(), KEPT);
}

/// A root of a higher epoch is in the way for ever.
#[test]
fn epoch_from_a_restored_store() {
    caught(&[Mutation::EpochFromStore], scope::behind(), RUNS);
}

/// Without the look that makes it halt, the receipt would be false.
#[test]
fn epoch_from_a_restored_store_without_the_last_look() {
    let mistakes = &[Mutation::EpochFromStore, Mutation::AnswerWithoutLooking];
    breaks(Protocol::right(scope::behind()).but(mistakes), FORGOTTEN);
}

#[test]
fn rewrap_across_a_shred() {
    caught(&[Mutation::RewrapAcrossShred], scope::reads(), FORGOTTEN);
}

#[test]
fn retry_with_the_old_page_keys() {
    caught(
        &[Mutation::RetryKeepsPageKeys],
        scope::embedded(),
        FORGOTTEN,
    );
}
