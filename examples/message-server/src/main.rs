//! Arguments and exit code.

// They panic when standard output or error is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use message_server::cli::{Cli, Command};
use message_server::{replay, serve};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(arguments) => serve::run(arguments).await.map(|()| true),
        Command::Replay(arguments) => replay::run(arguments).await,
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // There is nobody left to tell when that fails.
            let _ = writeln!(std::io::stderr(), "message-server: {error}");
            ExitCode::FAILURE
        }
    }
}
