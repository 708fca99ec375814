//! Arguments and exit code.

use std::alloc::System;
use std::process::ExitCode;

use clap::Parser;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed, and what a growing buffer moves away from, whoever owned it: JSON, HTTP
/// and TLS buffers hold data keys too. What it costs: `docs/adr/0003-memory.md`.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    lethe::cli::Cli::parse().run()
}
