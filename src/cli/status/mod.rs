mod paint;
mod text;

use clap::Args;

use super::output::{Output, printable_value};
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe status`
#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    remote: Remote,
}

impl Status {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let status = block_on(async { Ok(self.remote.client()?.status().await?) })?;
        output.print_painted(&status, || text::text(&printable_value(&status)))
    }
}
