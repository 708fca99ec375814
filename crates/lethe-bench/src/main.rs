//! Arguments and exit code.

use clap::Parser;
use lethe_bench::cli::Cli;

fn main() -> std::process::ExitCode {
    match Cli::parse().run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lethe-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
