//! Where the rules of `docs/design.md#batch` are not enough for many nodes, and what would be.

use crate::model::Protocol;
use crate::mutation::Amendment::{
    self, AnswerWithLease, EpochInClaim, FreshRoot, SweepAgain, WaitBeforeOpening,
};
use crate::properties::{FORGOTTEN, KEPT};
use crate::scope;
use crate::search::{breaks, holds};

/// An old copy is started while a node lives that has lost its database and still has the HSM.
fn after_a_disaster(amendments: &'static [Amendment]) -> Protocol {
    Protocol::right(scope::restored_beside_living()).with(amendments)
}

/// The node destroys the root that the old copy stands on.
#[test]
fn a_living_node_outdoes_a_restore() {
    breaks(after_a_disaster(&[]), KEPT);
}

#[test]
fn four_rules_survive_it() {
    const ALL: &[Amendment] = &[WaitBeforeOpening, FreshRoot, AnswerWithLease, EpochInClaim];
    holds(after_a_disaster(ALL));
    for scope in [scope::embedded(), scope::restored(), scope::fail_over()] {
        holds(Protocol::right(scope).with(ALL));
    }
}

#[test]
fn each_of_the_four_is_needed() {
    let without: [(&[Amendment], _); 4] = [
        (&[FreshRoot, AnswerWithLease, EpochInClaim], FORGOTTEN),
        (&[WaitBeforeOpening, AnswerWithLease, EpochInClaim], KEPT),
        (&[WaitBeforeOpening, FreshRoot, EpochInClaim], FORGOTTEN),
        (&[WaitBeforeOpening, FreshRoot, AnswerWithLease], KEPT),
    ];
    for (amendments, promise) in without {
        breaks(after_a_disaster(amendments), promise);
    }
}

/// All nodes were stopped, but the HSM had not yet done the last destroy of one.
#[test]
fn a_late_destroy_outdoes_a_restore() {
    breaks(Protocol::right(scope::restored_too_soon()), KEPT);
    holds(Protocol::right(scope::restored_too_soon()).with(&[FreshRoot]));
}

/// A root that is made too late, by a leader that is fenced off or by a call that was given up
/// on, halts a leader without this rule: `right_order` finds that. With it none halts.
#[test]
fn sweeping_again_needs_no_person() {
    for scope in [scope::embedded(), scope::fail_over()] {
        holds(Protocol::right(scope).with(&[SweepAgain]));
    }
}
