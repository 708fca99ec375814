//! The command line.

use clap::{Parser, Subcommand};

use crate::attacks::Attacks;
use crate::control::Control;
use crate::error::BenchError;
use crate::run::{Load, Operate, Run, Shreds};

/// Benchmarks of Lethe.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures control, Lethe and OpenBao in one run and compares with the targets of docs/design.md.
    Run(Run),
    /// Shreds conversations by the million and compares with the targets of docs/design.md.
    Shreds(Shreds),
    /// Rotates under load and rewraps keys by the million, and compares with the targets of docs/design.md.
    Operate(Operate),
    /// Attacks a service of its own, one attack after the other, and says what a good client notices.
    Attacks(Attacks),
    /// Serves a fixed body over the service's stack.
    Control(Control),
    /// Loads a running control server or service, to try settings or to profile.
    Load(Load),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`BenchError`], for the user to read.
    pub fn run(self) -> Result<(), BenchError> {
        match self.command {
            Command::Run(run) => run.run(),
            Command::Shreds(shreds) => shreds.run(),
            Command::Operate(operate) => operate.run(),
            Command::Attacks(attacks) => attacks.run(),
            Command::Control(control) => control.run(),
            Command::Load(load) => load.run(),
        }
    }
}
