use clap::Args;
use lethe_client::ApprovalId;

use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe withdraw`
#[derive(Args)]
pub(super) struct Withdraw {
    /// Ids of the approvals, as `lethe approve` shows them.
    #[arg(required = true)]
    ids: Vec<ApprovalId>,
    #[command(flatten)]
    remote: Remote,
}

impl Withdraw {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let client = self.remote.client()?;
        block_on(async {
            for id in self.ids {
                let withdrawn = client.withdraw_approval(id).await?;
                output.print(&withdrawn, || format!("{id}  withdrawn"))?;
            }
            Ok(())
        })
    }
}
