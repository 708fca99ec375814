//! Arguments and exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    lethe::cli::Cli::parse().run()
}
