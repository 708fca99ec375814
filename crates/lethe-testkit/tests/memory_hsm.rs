//! The HSM in memory keeps the contract of the port.

use std::sync::Arc;

use lethe_core::ports::{Hsm, HsmError};
use lethe_testkit::hsm_contract::Clause;
use lethe_testkit::memory_hsm::{Fault, MemoryHsm};

fn on_memory(_: &str, clause: Clause) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(clause(Arc::<MemoryHsm>::default()));
}

lethe_testkit::hsm_contract!(on_memory);

#[tokio::test]
async fn it_fails_and_hangs_for_as_long_as_it_is_told() {
    let hsm = Arc::<MemoryHsm>::default();
    hsm.set_fault(Fault::Fails(HsmError::Full));
    assert_eq!(hsm.random(1).await, Err(HsmError::Full));
    hsm.set_fault(Fault::FailsAfter(1, HsmError::Full));
    assert!(hsm.random(1).await.is_ok());
    for _ in 0..2 {
        assert_eq!(hsm.random(1).await, Err(HsmError::Full));
    }
    hsm.set_fault(Fault::Hangs);
    let waits = Arc::clone(&hsm);
    let waits = tokio::spawn(async move { waits.claims().await });
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    hsm.set_fault(Fault::None);
    assert_eq!(waits.await.expect("no panic"), Ok(Vec::new()));
}
