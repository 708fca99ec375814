//! The `hsm-sim` binary.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match hsm_sim::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when that fails.
            let _ = writeln!(std::io::stderr(), "hsm-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
