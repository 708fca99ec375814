//! The command line.

mod dump;
mod listen;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use crate::admin::{AdminRequest, Status, ask};
use crate::daemon::{self, Service};
use crate::faults::Fault;
use crate::token::{self, IvSource};

/// A simulator of a network HSM.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Initialises a token in a new directory.
    Init {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        label: String,
        #[arg(long)]
        so_pin_file: PathBuf,
        #[arg(long)]
        pin_file: PathBuf,
    },
    /// Serves the token until SIGTERM.
    Serve {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long)]
        socket: Option<PathBuf>,
        #[command(flatten)]
        tls: listen::Tls,
        /// Who chooses the IV of AES-GCM: some devices let no caller do it.
        #[arg(long, value_enum, default_value = "caller")]
        iv: IvSource,
        /// Ends as well when standard input closes, so that a killed parent leaves no orphan.
        #[arg(long)]
        exit_on_stdin_close: bool,
    },
    /// Shows how the running daemon is.
    Status(Target),
    /// Sets, clears or lists faults of the running daemon.
    Fault {
        #[command(subcommand)]
        action: Action,
    },
    /// Zeroizes the token of the running daemon.
    Tamper(Target),
    /// Prints what an invasive attacker reads out of the device now.
    Dump(Target),
}

#[derive(clap::Args)]
struct Target {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Action {
    /// Switches a fault on.
    Set {
        name: Fault,
        value: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// Switches a fault off, or all.
    Clear {
        #[arg(required_unless_present = "all")]
        name: Option<Fault>,
        #[arg(long, conflicts_with = "name")]
        all: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Lists the faults in force.
    List(Target),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// Whatever went wrong, for the user to read.
    pub fn run(self) -> io::Result<()> {
        match self.command {
            Command::Init {
                dir,
                label,
                so_pin_file,
                pin_file,
            } => token::initialise(&dir, &label, &pin(&so_pin_file)?, &pin(&pin_file)?),
            Command::Serve {
                dir,
                socket,
                tls,
                iv,
                exit_on_stdin_close,
            } => daemon::serve(&Service {
                dir,
                socket,
                tls: tls.wanted(),
                iv,
                exit_on_stdin_close,
            }),
            Command::Status(target) => send(&target, &AdminRequest::Status),
            Command::Tamper(target) => send(&target, &AdminRequest::Tamper),
            Command::Fault {
                action:
                    Action::Set {
                        name,
                        value,
                        target,
                    },
            } => send(&target, &AdminRequest::SetFault(name, value)),
            Command::Fault {
                action: Action::Clear { name, target, .. },
            } => send(&target, &AdminRequest::ClearFault(name)),
            Command::Fault {
                action: Action::List(target),
            } => send(&target, &AdminRequest::Status),
            Command::Dump(target) => dump::run(&target.dir),
        }
    }
}

/// A PIN file's content without the line's end.
fn pin(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut pin = Zeroizing::new(fs::read(path)?);
    while pin.last().is_some_and(|byte| b"\r\n".contains(byte)) {
        pin.pop();
    }
    Ok(pin)
}

fn send(target: &Target, request: &AdminRequest) -> io::Result<()> {
    let status = ask(&target.dir, request)?;
    let text = match target.output {
        Output::Json => serde_json::to_string_pretty(&status).map_err(io::Error::other)?,
        Output::Text => text(&status),
    };
    writeln!(io::stdout(), "{text}")
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        format!(
            "label {:?}, broken {}, flags {:#x}",
            status.label, status.broken, status.flags
        ),
        format!(
            "{} objects, {} sessions, {} calls",
            status.objects, status.sessions, status.calls
        ),
    ];
    lines.extend(status.faults.iter().map(|(fault, value)| {
        let name = fault.to_possible_value();
        let name = name.map(|name| name.get_name().to_owned());
        format!("fault {} {value}", name.unwrap_or_default())
    }));
    lines.join("\n")
}
