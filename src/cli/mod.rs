//! The command line: one file per command.

mod approve;
mod clock;
mod dev;
mod environment;
mod init;
mod keys;
mod keyspace;
mod members;
mod openapi;
mod output;
mod pki;
mod receipt;
mod remote;
mod rewrap;
mod rotate;
mod serve;
mod shred;
mod status;
mod takeover;
mod withdraw;

use std::io::Write;
use std::path::Path;

use clap::builder::Resettable;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use lethe_core::ports::HsmError;

use crate::app::AppError;
use crate::config::Config;
use crate::observability::logging;
use output::{Output, printable};

/// A key management service that forgets.
#[derive(Parser)]
#[command(name = "lethe", version, propagate_version = true)]
struct Cli {
    /// Shows results for people (text) or for programs (json).
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything for development in one folder: service, simulated HSM, throwaway PKI.
    Dev(dev::Dev),
    /// Runs the service.
    Serve(serve::Serve),
    /// Prepares the store and the HSM of a configuration. Changes nothing that is there already.
    Init(init::Init),
    /// Lists, shows, sets and erases keyspaces.
    #[command(subcommand)]
    Keyspace(keyspace::KeyspaceCommand),
    /// Makes conversations unreadable, for everyone and for good.
    Shred(shred::Shred),
    /// Makes a new key version or a new root, or moves to another HSM.
    #[command(subcommand)]
    Rotate(rotate::Rotate),
    /// Lists what waits for a second operator, or approves it.
    Approve(approve::Approve),
    /// Withdraws what waits for a second operator, so that nothing is done.
    Withdraw(withdraw::Withdraw),
    /// Confirms the service's wall clock after a jump.
    #[command(subcommand)]
    Clock(clock::Clock),
    /// Makes this store the one that is served, after the deployment's store was moved.
    Takeover(takeover::Takeover),
    /// Shows the copies of a database in PostgreSQL, or says which of them could be promoted.
    Members(members::Members),
    /// Brings a file of wrapped keys to the newest key version.
    Rewrap(rewrap::Rewrap),
    /// Prints the public keys that check receipts.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Checks receipts, offline.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Shows what would be readable if everything were seized now.
    Status(status::Status),
    /// Makes certificates for development and small set-ups.
    #[command(subcommand)]
    Pki(pki::Pki),
    /// Prints the specification of the API.
    Openapi,
}

/// Exit code of any failure that has no code of its own.
const FAILED: u8 = 1;
/// The service halted: restarting does not help.
const HALTED: u8 = 3;
/// The HSM refuses the PIN: restarting makes it worse.
const PIN_REFUSED: u8 = 4;

/// A failure, in one line.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string().replace('\n', " ");
        let mut source = error.source();
        while let Some(inner) = source {
            let inner_text = inner.to_string();
            if !message.contains(&inner_text) {
                message.push_str(": ");
                message.push_str(&inner_text);
            }
            source = inner.source();
        }
        Self {
            message,
            code: FAILED,
        }
    }
}

impl Failure {
    /// A message of our own.
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: FAILED,
        }
    }
}

/// A failure that a restart cannot mend has an exit code of its own.
fn app_failure(error: AppError) -> Failure {
    let code = match &error {
        AppError::Halted(_) => HALTED,
        AppError::Hsm(HsmError::Pin(_)) => PIN_REFUSED,
        _ => FAILED,
    };
    Failure {
        code,
        ..Failure::from(error)
    }
}

/// Parses the arguments and runs the command. The exit code is 0 on success, 2 for wrong arguments, 3
/// when the service halted, 4 when the HSM refuses the PIN, and 1 for any other failure.
#[must_use]
pub fn run() -> u8 {
    let parsed = without_empty_variables(Cli::command())
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let code = match parsed {
        Ok(cli) => cli.run(),
        // Help and version are errors to clap, of code 0.
        Err(error) => match error.print() {
            Ok(()) => u8::try_from(error.exit_code()).unwrap_or(FAILED),
            Err(_) => FAILED,
        },
    };
    let flushed = std::io::stdout().flush();
    logging::flush();
    if flushed.is_err() {
        code.max(FAILED)
    } else {
        code
    }
}

/// An environment variable with an empty value counts as not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let variable = arg.get_env().and_then(std::env::var_os);
        variable.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| match is_empty(&arg) {
            true => arg.env(Resettable::Reset),
            false => arg,
        })
        .mut_subcommands(without_empty_variables)
}

impl Cli {
    fn run(self) -> u8 {
        match self.run_command() {
            Ok(()) => 0,
            Err(failure) => {
                logging::say(&format!("lethe: {}", printable(&failure.message)));
                failure.code
            }
        }
    }

    fn run_command(self) -> Result<(), Failure> {
        match self.command {
            Command::Dev(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Init(command) => command.run(self.output),
            Command::Keyspace(command) => command.run(self.output),
            Command::Shred(command) => command.run(self.output),
            Command::Rotate(command) => command.run(self.output),
            Command::Approve(command) => command.run(self.output),
            Command::Withdraw(command) => command.run(self.output),
            Command::Clock(command) => command.run(self.output),
            Command::Takeover(command) => command.run(self.output),
            Command::Members(command) => command.run(self.output),
            Command::Rewrap(command) => command.run(self.output),
            Command::Keys(command) => command.run(self.output),
            Command::Receipt(command) => command.run(self.output),
            Command::Status(command) => command.run(self.output),
            Command::Pki(command) => command.run(self.output),
            Command::Openapi => openapi::run(),
        }
    }
}

/// Refuses a file that everybody may change: whoever changes it may do what the service may do.
fn warn_of_writers(config: &Config, path: &Path, warn: impl Fn(&str)) -> Result<(), Failure> {
    config.writers(path)?.iter().for_each(|who| warn(who));
    Ok(())
}

/// A runtime for commands; `serve` takes all cores.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Runtime::new()?.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// Finds mistakes such as two arguments with one name, at which the command would panic.
    #[test]
    fn all_commands_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
