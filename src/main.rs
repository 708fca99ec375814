//! Arguments and exit code.

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed, and what a growing buffer moves away from, whoever owned it: JSON, HTTP
/// and TLS buffers hold data keys too. What it costs: `docs/adr/0003-memory.md`.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Ends without handlers of the libraries in it: a PKCS#11 module's run beside those of its threads that
/// are still in a call, and SoftHSM2 crashes then. All that has to be closed is closed by now.
fn main() {
    let code = lethe::cli::run();
    signal_hook::low_level::exit(code.into())
}
