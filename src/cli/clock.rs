use clap::Subcommand;

use super::keyspace::fields;
use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe clock`
#[derive(Subcommand)]
pub(super) enum Clock {
    /// Says that the service's wall clock is right, although it jumped. The service then destroys what
    /// has expired by it. Look at the clock first.
    Confirm {
        #[command(flatten)]
        remote: Remote,
    },
}

impl Clock {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let Self::Confirm { remote } = self;
        let shown = block_on(async { Ok(remote.client()?.confirm_clock().await?) })?;
        output.print(&shown, || fields(&shown))
    }
}
