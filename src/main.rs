//! Arguments and exit code.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed, and what a growing buffer moves away from, whoever owned it: JSON, HTTP
/// and TLS buffers hold data keys too. What it costs, and why mimalloc below it: `docs/adr/0003-memory.md`.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    lethe::cli::Cli::parse().run()
}
