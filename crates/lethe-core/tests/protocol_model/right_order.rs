//! The protocol of `docs/design.md#batch`, searched to the end.

use crate::model::Protocol;
use crate::scope;
use crate::search::holds;

#[test]
fn holds_on_one_node() {
    holds(Protocol::right(scope::embedded()));
}

#[test]
fn holds_when_an_old_copy_is_started() {
    holds(Protocol::right(scope::restored()));
}

#[test]
fn holds_on_a_store_that_is_behind_the_hsm() {
    holds(Protocol::right(scope::behind()));
}

#[test]
fn holds_over_a_fail_over() {
    holds(Protocol::right(scope::fail_over()));
}

#[test]
fn holds_when_both_nodes_take_over() {
    holds(Protocol::right(scope::contended()));
}

#[test]
fn holds_for_reads() {
    holds(Protocol::right(scope::reads()));
}

#[test]
fn holds_for_reads_over_a_fail_over() {
    holds(Protocol::right(scope::reads_over_fail_over()));
}

#[test]
#[ignore = "19 million states, 2 GB: a minute or two in a release build"]
fn holds_for_all_at_once() {
    holds(Protocol::right(scope::wide()));
}
