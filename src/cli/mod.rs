//! The command line: one file per command.

mod approve;
mod clock;
mod dev;
mod environment;
mod init;
mod keys;
mod keyspace;
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
    /// How results are shown.
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
    /// Prepares store and HSM of a configuration.
    Init(init::Init),
    /// Shows and sets policies.
    #[command(subcommand)]
    Keyspace(keyspace::KeyspaceCommand),
    /// Makes conversations unreadable, for everyone and for good.
    Shred(shred::Shred),
    /// Replaces key versions and the root.
    #[command(subcommand)]
    Rotate(rotate::Rotate),
    /// What waits for a second operator; approves it.
    Approve(approve::Approve),
    /// Takes back what waits for a second operator.
    Withdraw(withdraw::Withdraw),
    /// After the service's wall clock jumped.
    #[command(subcommand)]
    Clock(clock::Clock),
    /// After a deployment's store was moved: makes this one the one that is served.
    Takeover(takeover::Takeover),
    /// Brings a file of wrapped keys to the newest key version.
    Rewrap(rewrap::Rewrap),
    /// Public keys for auditors.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Checks receipts, offline.
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// What would be readable if everything were seized now.
    Status(status::Status),
    /// Makes certificates for development and small set-ups.
    #[command(subcommand)]
    Pki(pki::Pki),
    /// Prints the specification of the API.
    Openapi,
}

/// Any failure but those below.
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

/// What a restart cannot mend is told apart by its exit code.
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

/// Parses the arguments and runs the command; the exit code is 0 on success, 2 for arguments that
/// are none, 3 when the service halted, 4 when the HSM refuses the PIN, else 1.
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

/// A variable that is set to nothing is not set.
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
        match self.obey() {
            Ok(()) => 0,
            Err(failure) => {
                logging::say(&format!("lethe: {}", printable(&failure.message)));
                failure.code
            }
        }
    }

    fn obey(self) -> Result<(), Failure> {
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
            Command::Rewrap(command) => command.run(self.output),
            Command::Keys(command) => command.run(self.output),
            Command::Receipt(command) => command.run(self.output),
            Command::Status(command) => command.run(self.output),
            Command::Pki(command) => command.run(self.output),
            Command::Openapi => openapi::run(),
        }
    }
}

/// Who may change what a service relies on may do what it may: refuses where that is everybody.
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

    /// Two arguments of one name, and the like, which else panic when the command is used.
    #[test]
    fn all_commands_are_well_formed() {
        super::Cli::command().debug_assert();
    }
}
