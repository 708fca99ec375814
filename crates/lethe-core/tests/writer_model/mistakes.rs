//! Each check is needed.

use super::{ASKED, BORN, DONE, Mistake, RETIRED, TRUE, breaks};

#[test]
fn a_request_that_was_altered_or_made_up() {
    breaks(Mistake::RequestWithoutMac, TRUE);
    breaks(Mistake::RequestWithoutMac, ASKED);
}

#[test]
fn a_request_in_the_place_of_another_one() {
    breaks(Mistake::MacWithoutNumber, DONE);
}

#[test]
fn a_request_that_was_removed() {
    breaks(Mistake::GapsPass, DONE);
}

/// Its request was accepted, and is open.
#[test]
fn a_batch_of_a_sequence_long_gone() {
    breaks(Mistake::AnyUnsignedBatch, TRUE);
}

#[test]
fn a_batch_of_the_present_sequence() {
    breaks(Mistake::BatchNotCommitted, TRUE);
}

#[test]
fn a_bucket_that_never_was() {
    breaks(Mistake::BucketWithoutMac, BORN);
}

#[test]
fn a_smaller_minimum_version() {
    breaks(Mistake::KeyspacesNotCommitted, RETIRED);
}
