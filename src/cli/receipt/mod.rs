//! `lethe receipt`

mod reading;
mod report;
mod verify;

use clap::Subcommand;

use super::Failure;
use super::output::Output;

/// `lethe receipt`
#[derive(Subcommand)]
pub(super) enum Receipt {
    /// Checks receipts with the public keys alone.
    Verify(verify::Verify),
}

impl Receipt {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => command.run(output),
        }
    }
}
