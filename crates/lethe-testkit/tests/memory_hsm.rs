//! The HSM in memory keeps the contract of the port.

use std::sync::Arc;

use lethe_testkit::hsm_contract::Clause;
use lethe_testkit::memory_hsm::MemoryHsm;

fn on_memory(_: &str, clause: Clause) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(clause(Arc::<MemoryHsm>::default()));
}

lethe_testkit::hsm_contract!(on_memory);
