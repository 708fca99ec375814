//! Each rule that is not kept is caught.

use super::{Mistake, caught};

#[test]
fn an_id_that_was_known_a_moment_ago() {
    caught(Mistake::TwoLooks);
}

#[test]
fn an_approval_that_was_there_a_moment_ago() {
    caught(Mistake::TwoLooksAtApproval);
}

#[test]
fn an_approval_of_what_its_client_may_not_ask_any_more() {
    caught(Mistake::GrantNotAsked);
}

#[test]
fn an_approval_by_who_asked() {
    caught(Mistake::OwnApproval);
}

#[test]
fn a_sweep_that_takes_a_forgotten_receipt_for_work_to_do() {
    caught(Mistake::AcceptedBySweep);
}
