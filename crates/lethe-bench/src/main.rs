//! Arguments and exit code.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;

use clap::Parser;
use lethe_bench::cli::Cli;

fn main() -> std::process::ExitCode {
    match Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when that fails.
            let _ = writeln!(std::io::stderr(), "lethe-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
