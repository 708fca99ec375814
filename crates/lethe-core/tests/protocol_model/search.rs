//! Runs a search to its end, or to the first broken promise.

use std::collections::BTreeSet;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::model::Protocol;

/// All promises hold in every state, and all was reached that should be.
pub(crate) fn holds(protocol: Protocol) {
    let search = protocol.checker().spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    search.assert_properties();
}

/// This promise, and no other, is broken in the shortest histories that break any.
pub(crate) fn breaks(protocol: Protocol, promise: &str) {
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures);
    let search = checker.spawn_bfs().join();
    println!("{} states", search.unique_state_count());
    let mut broken = BTreeSet::new();
    for (name, history) in search.discoveries() {
        if protocol.property(name).expectation == Expectation::Always {
            broken.insert(name);
            println!("{name}:");
            let actions = history.into_actions().into_iter();
            actions.for_each(|action| println!("    {action:?}"));
        }
    }
    assert_eq!(broken, BTreeSet::from([promise]));
}
