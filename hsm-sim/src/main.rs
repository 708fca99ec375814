//! The `hsm-sim` binary.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match hsm_sim::cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hsm-sim: {error}");
            ExitCode::FAILURE
        }
    }
}
