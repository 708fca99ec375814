mod hsm;

use clap::Subcommand;
use lethe_client::KeyspaceName;

use super::keyspace::fields;
use super::output::Output;
use super::remote::Remote;
use super::{Failure, block_on};

/// `lethe rotate`
#[derive(Subcommand)]
pub(super) enum Rotate {
    /// A new key version, which issues from now on.
    Keyspace {
        /// Name of the keyspace.
        name: KeyspaceName,
        #[command(flatten)]
        remote: Remote,
    },
    /// A new root in the HSM, now.
    Root {
        #[command(flatten)]
        remote: Remote,
    },
    /// Everything to another HSM, while the service goes on.
    Hsm(hsm::Hsm),
}

impl Rotate {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        block_on(async {
            let shown = match self {
                Self::Hsm(hsm) => return hsm.run(output).await,
                Self::Keyspace { name, remote } => {
                    serde_json::to_value(remote.client()?.rotate_keyspace(&name).await?)?
                }
                Self::Root { remote } => remote.client()?.rotate_root().await?,
            };
            output.print(&shown, || fields(&shown))
        })
    }
}
